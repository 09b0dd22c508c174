"""Fetch the official LibriSpeech archives: `python -m data_prep.download FOLDER --corpus mini`.

Each split is fetched to `FOLDER/<split>.tar.gz.part` (an interrupted transfer goes on from there), checked
against its MD5 sum, unpacked in a temporary folder and moved to `FOLDER/LibriSpeech/<split>` in a single step. So a
split that exists is complete, and is skipped.
"""

import hashlib
import http.client
import os
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError, command_line
from data_prep.splits import named_splits

BASE_URL = "https://www.openslr.org/resources"
# Split: number of the OpenSLR resource, MD5 sum of its archive. The sums are those of OpenSLR's md5sum.txt
# for the two resources, taken from public LibriSpeech scripts that quote it (for 31, PaddlePaddle's
# DeepSpeech).
ARCHIVES = {
    "train-clean-5": (31, "5df7d4e78065366204ca6845bb08f490"),
    "dev-clean-2": (31, "6d7ab67ac6a1d2c993d050e16d61080d"),
    "train-clean-100": (12, "2a93770f6d5c6c964bc36631d331a522"),
    "train-clean-360": (12, "c0e676e450a7ff2f54aeade5171606fa"),
    "train-other-500": (12, "d1a0fd59409feb2c614ce4d30c387708"),
    "dev-clean": (12, "42e2234ba48799c1f50f24a7926300a1"),
    "dev-other": (12, "c8d0bcc9cca99d4f8b62fcc847357931"),
    "test-clean": (12, "32fa31d27d2e1cad72775fee3f4849a9"),
    "test-other": (12, "fb5a50374b501bb3bac4815ee91d3135"),
}
CORPORA = {  # by OpenSLR resource: mini LibriSpeech has 5 hours to train on, LibriSpeech 960
    "mini": [split for split, (resource, _) in ARCHIVES.items() if resource == 31],
    "full": [split for split, (resource, _) in ARCHIVES.items() if resource == 12],
}
UNPACKED = 1.1  # unpacked bytes per byte of archive, generously: FLAC hardly compresses
ATTEMPTS = 5  # in a row without a new byte
TIMEOUT = 60  # seconds without an answer
BLOCK = 1 << 18


def download(
    folder,
    splits: Iterable[str] = CORPORA["mini"],
    base_url=BASE_URL,
    keep_archives=False,
    pause: float = 1.0,
) -> Path:
    """Fetch, check and unpack the splits that do not exist yet; return `folder/LibriSpeech`.

    `base_url` is a mirror that has `31/train-clean-5.tar.gz` and so on. `pause` is the first wait, in
    seconds, after a lost connection; every further wait is twice as long. Raises DataError for an unknown split, too
    little disk space, an unreachable or missing archive, a wrong checksum and an archive that can't be
    unpacked safely.
    """
    folder = Path(folder)
    corpus = folder / "LibriSpeech"
    wanted = named_splits(ARCHIVES, splits)
    missing = [split for split in wanted if not (corpus / split).is_dir()]
    for split in wanted:
        if split not in missing:
            print(f"{split}: already in {corpus}")
    urls = {split: f"{base_url.rstrip('/')}/{ARCHIVES[split][0]}/{split}.tar.gz" for split in missing}
    folder.mkdir(parents=True, exist_ok=True)
    _check_space(folder, urls, keep_archives)
    for split, url in urls.items():
        archive = folder / f"{split}.tar.gz"
        if not archive.exists():
            fetch(url, archive, pause)
        check(archive, ARCHIVES[split][1])
        unpack(archive, folder, split)
        if not keep_archives:
            archive.unlink()
    return corpus


def fetch(url: str, target, pause: float = 1.0) -> None:
    """Fetch `url` to `target` through `<target>.part`, going on where an earlier transfer stopped.

    Raises DataError when the server refuses, or when the connection fails `ATTEMPTS` times without a new
    byte.
    """
    target = Path(target)
    part = target.with_name(f"{target.name}.part")
    failures = 0
    while True:
        size_before = _size(part)
        try:
            _transfer(url, part)
            break
        except _ConnectionLost as error:
            reason = error
        failures = 0 if _size(part) > size_before else failures + 1
        if failures == ATTEMPTS:
            raise DataError(f"{url}: {reason}; run the same command again to go on from byte {_size(part)}")
        time.sleep(pause * 2**failures)
    os.replace(part, target)


def check(archive, md5: str) -> None:
    """Raises DataError when the MD5 sum differs; the archive is then set aside as `<archive>.corrupt`."""
    archive = Path(archive)
    digest = hashlib.md5(usedforsecurity=False)
    with open(archive, "rb") as raw, _reading(raw, f"checking {archive.name}") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != md5:
        aside = archive.with_name(f"{archive.name}.corrupt")
        os.replace(archive, aside)
        raise DataError(
            f"{archive.name} is corrupt (MD5 {digest.hexdigest()}, expected {md5}) and is now {aside};"
            " delete it and run the same command again to fetch a new one"
        )


def unpack(archive, folder, split: str) -> None:
    """Unpack in a temporary folder, then move to `folder/LibriSpeech/<split>` in a single step.

    A failure leaves nothing behind. Raises DataError for an archive that is broken, lacks the split, or holds a
    member (path, link or device) that Python's "data" filter for tar files refuses.
    """
    if not hasattr(tarfile, "data_filter"):
        raise DataError("unpacking safely needs Python 3.11.4 or newer; install one, or unpack by hand")
    archive, folder = Path(archive), Path(folder)
    corpus, staging = folder / "LibriSpeech", folder / f".unpacking-{split}"
    shutil.rmtree(staging, ignore_errors=True)  # of an interrupted run
    try:
        with (
            open(archive, "rb") as raw,
            _reading(raw, f"unpacking {archive.name}") as file,
            tarfile.open(fileobj=file, mode="r|gz") as tar,
        ):
            tar.extractall(staging, filter="data")
        unpacked = staging / "LibriSpeech"
        if not (unpacked / split).is_dir():
            raise DataError(f"{archive} has no LibriSpeech/{split} in it; delete it and fetch the official one")
        corpus.mkdir(exist_ok=True)
        for extra in unpacked.iterdir():  # SPEAKERS.TXT and the like, which every archive has
            if extra.is_file() and not (corpus / extra.name).exists():
                os.replace(extra, corpus / extra.name)
        os.replace(unpacked / split, corpus / split)
    except tarfile.FilterError as error:
        raise DataError(f"{archive} isn't safe to unpack ({error}); delete it and fetch the official one") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} can't be unpacked ({error}); delete it and run the same command again") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _ConnectionLost(Exception):
    """A failure after which another attempt may succeed."""


def _transfer(url: str, part: Path) -> None:
    """A single attempt to bring `part` to its full length. Raises _ConnectionLost when it ends early."""
    start = _size(part)
    with _request(url, start) as response:
        content_range = response.headers.get("Content-Range", "")
        if response.status == 416 and content_range.endswith(f"/{start}"):
            return  # an earlier attempt fetched everything
        if response.status == 416 or (response.status == 206 and not content_range.startswith(f"bytes {start}-")):
            part.unlink()
            raise _ConnectionLost("the server's file does not match the part fetched earlier, which is dropped")
        if start and response.status != 206:
            print(f"{url}: this server can't go on in the middle of a file, so it starts over")
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            open(part, "ab" if start else "wb") as file,
            tqdm(total=total, initial=start, desc=part.stem, unit="B", unit_scale=True) as bar,
        ):
            while block := _read(response):
                file.write(block)
                bar.update(len(block))
    if total is not None and _size(part) < total:
        raise _ConnectionLost(f"the connection ended after {_size(part)} of {total} bytes")


def _request(url: str, start: int = 0, method: str = "GET"):
    """The server's response, from byte `start` on where it supports that; status 416 when there is no such byte."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return error
        if error.code >= 500 or error.code in (408, 429):
            raise _ConnectionLost(f"the server answers {error.code} {error.reason}") from None
        raise DataError(
            f"{url}: the server answers {error.code} {error.reason}; check the address, or give a mirror as --base-url"
        ) from None
    except ValueError as error:
        raise DataError(f"{url}: {error}; give --base-url as https://…") from None
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLost(f"no connection ({getattr(error, 'reason', error)})") from None


def _read(response) -> bytes:
    try:
        return response.read(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLost(f"the connection broke ({error})") from None


def _check_space(folder: Path, urls: dict[str, str], keep_archives: bool) -> None:
    """Raises DataError when archives and unpacked splits do not fit; an unknown size counts as 0."""
    to_unpack, to_fetch = 0, []
    for split, url in urls.items():
        archive = folder / f"{split}.tar.gz"
        size = _size(archive) or _remote_size(url)
        to_unpack += int(UNPACKED * size)
        to_fetch.append(max(0, size - _size(archive) - _size(archive.with_name(f"{archive.name}.part"))))
    needed = to_unpack + (sum(to_fetch) if keep_archives else max(to_fetch, default=0))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder} has {free / 1e9:.1f} GB free, {', '.join(urls)} need {needed / 1e9:.1f} GB:"
            " make room, fetch fewer --splits or give a folder on another disk"
        )


def _remote_size(url: str) -> int:
    try:
        with _request(url, method="HEAD") as response:
            return int(response.headers.get("Content-Length", 0))
    except (_ConnectionLost, DataError):
        return 0  # some mirrors refuse HEAD; the transfer itself reports what is wrong


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reading(file, what: str):
    """The file, with a progress bar over what is read from it."""
    size = os.fstat(file.fileno()).st_size
    return tqdm.wrapattr(file, "read", total=size, desc=what, leave=False)


@command_line
def main(argv=None):
    parser = ArgumentParser(prog="python -m data_prep.download", description="Fetch LibriSpeech.")
    parser.add_argument("folder", help="LibriSpeech/<split> comes in here")
    parser.add_argument("--corpus", default="mini", choices=CORPORA, help="5 hours (mini, default) or 960 (full)")
    parser.add_argument("--splits", nargs="+", metavar="NAME", help=f"instead of a whole corpus: {', '.join(ARCHIVES)}")
    parser.add_argument("--base-url", default=BASE_URL, help="a mirror (default: %(default)s)")
    parser.add_argument("--keep-archives", action="store_true", help="don't delete an archive once it's unpacked")
    arguments = parser.parse_args(argv)
    splits = arguments.splits or CORPORA[arguments.corpus]
    corpus = download(arguments.folder, splits, arguments.base_url, arguments.keep_archives)
    print(f"{corpus} is ready; next: python -m data_prep.librispeech {corpus} OUT")


if __name__ == "__main__":
    raise SystemExit(main())
