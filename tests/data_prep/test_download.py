"""Download from a server on this machine that fails on request."""

import hashlib
import http.server
import io
import tarfile
import threading
from types import SimpleNamespace

import pytest

from data_prep import download as download_module
from data_prep.download import check, download, fetch, main, unpack
from data_prep.errors import DataError

SPLIT = "dev-clean-2"
NAME = f"{SPLIT}.tar.gz"


def make_archive(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return content.getvalue()


GOOD = make_archive(
    {
        "LibriSpeech/SPEAKERS.TXT": b"84 | F\n",
        f"LibriSpeech/{SPLIT}/84/121123/84-121123.trans.txt": b"84-121123-0000 GO\n",
        f"LibriSpeech/{SPLIT}/84/121123/84-121123-0000.flac": b"".join(
            hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(30_000)
        ),
    }
)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; knows Range. `server.plan` lists the failures of the GETs to come."""

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        content = self.server.files.get(self.path)
        if content is None or self.server.no_head:
            return self.send_error(404 if content is None else 405)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        failure = self.server.plan.pop(0) if self.server.plan else ""
        content = self.server.files.get(self.path)
        if content is None or failure == "busy":
            return self.send_error(503 if failure else 404)
        start, status = 0, 200
        if self.headers.get("Range") and failure != "no range":
            start, status = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")), 206
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if failure == "other range":
            start -= 1
        body = content[start:]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if failure == "cut":
            body = body[: len(body) // 2]
        self.server.sent += len(body)
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.plan, server.ranges = {f"/31/{NAME}": GOOD}, [], []
        server.sent, server.no_head = 0, False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.base_url = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


@pytest.fixture
def official(monkeypatch):
    """Make the archive of these tests the official one."""
    monkeypatch.setitem(download_module.ARCHIVES, SPLIT, (31, hashlib.md5(GOOD).hexdigest()))


def fetch_good(server, folder):
    """Fetch the archive to `folder` and return its path; GOOD must come out."""
    fetch(f"{server.base_url}/31/{NAME}", folder / NAME, pause=0)
    assert (folder / NAME).read_bytes() == GOOD
    assert not (folder / f"{NAME}.part").exists()


def test_download_unpacks_and_a_second_call_fetches_nothing(server, official, tmp_path, capsys):
    corpus = download(tmp_path, [SPLIT], server.base_url)
    assert (corpus / SPLIT / "84/121123/84-121123.trans.txt").read_text() == "84-121123-0000 GO\n"
    assert (corpus / "SPEAKERS.TXT").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["LibriSpeech"]
    server.ranges.clear()
    assert download(tmp_path, [SPLIT], server.base_url) == corpus
    assert server.ranges == []
    assert f"{SPLIT}: already in {corpus}" in capsys.readouterr().out


def test_archive_is_kept_when_asked_and_used_when_there(server, official, tmp_path):
    download(tmp_path, [SPLIT], server.base_url, keep_archives=True)
    assert (tmp_path / NAME).read_bytes() == GOOD
    (tmp_path / "LibriSpeech" / SPLIT).rename(tmp_path / "gone")
    server.ranges.clear()
    download(tmp_path, [SPLIT], server.base_url)
    assert server.ranges == []
    assert (tmp_path / "LibriSpeech" / SPLIT).is_dir()


def test_cut_transfer_goes_on_and_no_byte_is_sent_twice(server, tmp_path):
    server.plan = ["cut", "cut"]
    fetch_good(server, tmp_path)
    half, three_quarters = len(GOOD) // 2, len(GOOD) // 2 + (len(GOOD) - len(GOOD) // 2) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={three_quarters}-"]
    assert server.sent == len(GOOD)


def test_many_cuts_do_not_end_a_download_that_gets_further(server, tmp_path):
    server.plan = ["cut"] * 2 * download_module.ATTEMPTS
    fetch_good(server, tmp_path)
    assert server.sent == len(GOOD)


def test_server_without_sizes_beforehand_works(server, official, tmp_path):
    server.no_head = True
    assert (download(tmp_path, [SPLIT], server.base_url) / SPLIT).is_dir()


def test_next_run_goes_on_with_the_part_of_a_killed_one(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(GOOD[:1000])
    fetch_good(server, tmp_path)
    assert (server.ranges, server.sent) == (["bytes=1000-"], len(GOOD) - 1000)


def test_complete_part_is_used(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(GOOD)
    fetch_good(server, tmp_path)
    assert server.sent == 0


@pytest.mark.parametrize(
    ("part", "plan"),
    [(GOOD[:1000], ["no range"]), (GOOD[:1000], ["other range"]), (GOOD + b"more", [])],
    ids=["ignores-range", "answers-another-range", "part-too-long"],
)
def test_server_that_does_not_fit_the_part_starts_over(server, tmp_path, part, plan):
    (tmp_path / f"{NAME}.part").write_bytes(part)
    server.plan = plan
    fetch_good(server, tmp_path)


def test_busy_server_is_asked_again(server, tmp_path):
    server.plan = ["busy", "busy"]
    fetch_good(server, tmp_path)
    assert len(server.ranges) == 3


@pytest.mark.parametrize("no_head", [False, True], ids=["head", "no-head"])
def test_missing_archive_is_a_single_line(server, official, tmp_path, no_head):
    server.files.clear()
    server.no_head = no_head
    with pytest.raises(DataError) as error:
        download(tmp_path, [SPLIT], server.base_url + "/", pause=0)
    assert str(error.value) == (
        f"{server.base_url}/31/{NAME}: the server answers 404 Not Found;"
        " check the address, or give a mirror as --base-url"
    )


def test_part_is_kept_when_the_server_stays_busy_and_the_error_says_how_to_go_on(server, tmp_path):
    server.plan = ["cut"] + ["busy"] * 20
    with pytest.raises(DataError) as error:
        fetch(f"{server.base_url}/31/{NAME}", tmp_path / NAME, pause=0)
    assert str(error.value) == (
        f"{server.base_url}/31/{NAME}: the server answers 503 Service Unavailable;"
        f" run the same command again to go on from byte {len(GOOD) // 2}"
    )
    server.plan.clear()
    fetch_good(server, tmp_path)
    assert server.sent == len(GOOD)


def test_no_server_is_a_single_line(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"no connection \(.*refused\); run the same command again"):
        download(tmp_path, [SPLIT], server.base_url, pause=0)


def test_base_url_without_scheme_is_a_single_line(tmp_path):
    with pytest.raises(DataError, match=r"unknown url type: .*; give --base-url as https://…"):
        download(tmp_path, [SPLIT], "mirror.example", pause=0)


def test_corrupt_archive_is_set_aside_and_the_next_run_fetches_a_new_one(server, official, tmp_path):
    damaged = bytearray(GOOD)
    damaged[5000] ^= 1
    server.files[f"/31/{NAME}"] = bytes(damaged)
    with pytest.raises(DataError) as error:
        download(tmp_path, [SPLIT], server.base_url)
    md5 = [hashlib.md5(content).hexdigest() for content in (damaged, GOOD)]
    assert str(error.value) == (
        f"{NAME} is corrupt (MD5 {md5[0]}, expected {md5[1]}) and is now {tmp_path / NAME}.corrupt;"
        " delete it and run the same command again to fetch a new one"
    )
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.corrupt"]
    server.files[f"/31/{NAME}"] = GOOD
    assert (download(tmp_path, [SPLIT], server.base_url) / SPLIT).is_dir()


UNSAFE = {
    "parent": make_archive({"../escaped.txt": b"x"}),
    "link": make_archive({f"LibriSpeech/{SPLIT}/a": b"x"}, {f"LibriSpeech/{SPLIT}/link": "../../../../etc"}),
    "absolute-link": make_archive({}, {"LibriSpeech/link": "/etc/passwd"}),
}


@pytest.mark.parametrize("content", UNSAFE.values(), ids=UNSAFE)
def test_archive_that_reaches_outside_is_refused(tmp_path, content):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / NAME).write_bytes(content)
    with pytest.raises(DataError) as error:
        unpack(folder / NAME, folder, SPLIT)
    assert str(error.value).startswith(f"{folder / NAME} isn't safe to unpack (")
    assert str(error.value).endswith("); delete it and fetch the official one")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["data", f"data/{NAME}"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            make_archive({"LibriSpeech/other/x": b"x"}),
            f"has no LibriSpeech/{SPLIT} in it; delete it and fetch",
        ),
        (GOOD[: len(GOOD) // 2], "can't be unpacked ("),
        (b"<html>", "can't be unpacked ("),
    ],
    ids=["another-split", "cut", "no-archive"],
)
def test_archive_that_does_not_hold_the_split_leaves_nothing(tmp_path, content, message):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DataError) as error:
        unpack(tmp_path / NAME, tmp_path, SPLIT)
    assert message in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_python_that_cannot_unpack_safely_is_refused(tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(DataError, match=r"unpacking safely needs Python 3.11.4 or newer"):
        unpack(tmp_path / NAME, tmp_path, SPLIT)


def test_interrupted_unpacking_is_not_taken_for_a_split(server, official, tmp_path, monkeypatch):
    def interrupted(tar, path, **_):
        (path / "LibriSpeech" / SPLIT / "84").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(tarfile.TarFile, "extractall", interrupted)
        download(tmp_path, [SPLIT], server.base_url)
    assert not (tmp_path / "LibriSpeech").exists()
    (tmp_path / f".unpacking-{SPLIT}" / "LibriSpeech" / SPLIT / "leftover").mkdir(parents=True)  # of a killed run
    corpus = download(tmp_path, [SPLIT], server.base_url)
    assert [path.name for path in (corpus / SPLIT).iterdir()] == ["84"]
    assert server.sent == len(GOOD)


def test_full_disk_is_reported_before_anything_is_fetched(server, official, tmp_path, monkeypatch):
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * len(GOOD)))
    with pytest.raises(DataError) as error:
        download(tmp_path, [SPLIT], server.base_url)
    assert str(error.value) == (
        f"{tmp_path} has 0.0 GB free, {SPLIT} need 0.0 GB:"
        " make room, fetch fewer --splits or give a folder on another disk"
    )
    assert server.ranges == []
    # What was fetched earlier takes no new room: 1.1 archives to unpack and half an archive to fetch.
    (tmp_path / f"{NAME}.part").write_bytes(GOOD[: len(GOOD) // 2])
    download(tmp_path, [SPLIT], server.base_url)


def test_command_fetches_the_named_split(server, official, tmp_path, capsys):
    assert main([str(tmp_path), "--splits", SPLIT, "--base-url", server.base_url]) == 0
    assert f"next: python -m data_prep.librispeech {tmp_path}/LibriSpeech OUT" in capsys.readouterr().out


def test_command_names_the_nearest_split(tmp_path, capsys):
    assert main([str(tmp_path), "--splits", "dev-clean-1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no split 'dev-clean-1' among: dev-clean, dev-clean-2, dev-other, test-clean")
    assert error.endswith("; did you mean 'dev-clean-2'?\n")


def test_corpora_hold_every_official_split():
    assert download_module.CORPORA["mini"] == ["train-clean-5", "dev-clean-2"]
    assert len(download_module.CORPORA["full"]) == 7
    assert all(len(md5) == 32 for _, md5 in download_module.ARCHIVES.values())


def test_check_passes_the_right_sum(tmp_path):
    (tmp_path / NAME).write_bytes(GOOD)
    check(tmp_path / NAME, hashlib.md5(GOOD).hexdigest())
    assert (tmp_path / NAME).exists()
