"""Reading and merging manifests, and how an error reaches the screen."""

import os
import shutil
import subprocess
import sys
from subprocess import PIPE

import pytest

from data_prep.arguments import ArgumentParser
from data_prep.corpus import Corpus
from data_prep.errors import DataError, command_line
from data_prep.librispeech import prepare_split
from data_prep.manifest import located, merge, read_manifest
from tests.support.corpus import write_corpus
from tests.support.manifests import to_csv


def test_merge_keeps_order_and_does_not_write_an_unchanged_file_again(tmp_path):
    write_corpus(tmp_path, {"train-a": (1, 2), "train-b": (1, 3)})
    manifests = list(Corpus(tmp_path).prepare(tmp_path, valid=[], test=[], progress=False).train.values())
    merged = merge(manifests, tmp_path / "new" / "train.csv")
    assert list(read_manifest(merged)) == [row for manifest in manifests for row in read_manifest(manifest)]
    os.utime(merged, (1, 1))
    merge(manifests, merged)
    assert merged.stat().st_mtime == 1
    merge(manifests[:1], merged)
    assert len(list(read_manifest(merged))) == 2


def test_merge_of_a_file_without_an_end_of_its_last_line(tmp_path):
    for name in ("a", "b"):
        rows = [[f"{name},{number}", 1.0, "x.flac", "1-1", 'SAY "GO"'] for number in range(2)]
        (tmp_path / f"{name}.csv").write_bytes(to_csv(rows).rstrip(b"\n"))
    merged = merge([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "all.csv")
    assert [row["ID"] for row in read_manifest(merged)] == ["a,0", "a,1", "b,0", "b,1"]
    assert {row["wrd"] for row in read_manifest(merged)} == {'SAY "GO"'}


def test_merge_refuses_an_utterance_that_is_in_two_manifests(tmp_path):
    write_corpus(tmp_path, {"train": (1, 2)})
    manifest = prepare_split(tmp_path, "train", tmp_path, progress=False)
    other = shutil.copy(manifest, tmp_path / "other.csv")
    with pytest.raises(DataError) as error:
        merge([manifest, other], tmp_path / "all.csv")
    assert str(error.value) == f"utterance 101-1101-0000 is in both {manifest} and {other}; leave one out"
    assert not (tmp_path / "all.csv").exists()


def test_the_root_is_put_into_a_path_once():
    assert located("$data_root/x/$data_root.flac", "/data/$b") == "/data/$b/x/$data_root.flac"
    assert located("c.flac", "/data") == "c.flac"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no manifest {}: write it with python -m data_prep.librispeech"),
        (
            b"a,b\n1,2\n",
            "{} is no manifest: its first line isn't ID,duration,wav,spk_id,wrd; "
            "python -m data_prep.own makes one of own data",
        ),
        (b"ID,duration,wav,spk_id,wrd\n1-2-3,1.0,$data_", "{}, line 2: not 5 columns; prepare it again"),
        (b"ID,duration,wav,spk_id,wrd\n\xff", "{} is unreadable ("),
    ],
    ids=["missing", "other-columns", "cut", "not-text"],
)
def test_unusable_manifest_is_named(tmp_path, content, message):
    manifest = tmp_path / "train.csv"
    if content is not None:
        manifest.write_bytes(content)
    with pytest.raises(DataError) as error:
        list(read_manifest(manifest))
    assert message.format(manifest) in str(error.value)


@pytest.mark.parametrize(
    ("raised", "status", "shown"),
    [
        (DataError("what, where, what to do"), 2, "error: what, where, what to do\n"),
        (
            PermissionError(13, "Permission denied", "out"),
            2,
            "error: out: Permission denied; change its permissions, or give another place\n",
        ),
        (
            FileExistsError(17, "File exists", "out"),
            2,
            "error: out: File exists; a folder is wanted: give another one\n",
        ),
        (FileNotFoundError(2, "No such file or directory", "out"), 2, "error: out: No such file or directory\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
    ids=["data-error", "no-permission", "file-for-folder", "missing", "ctrl-c"],
)
def test_command_line_shows_a_single_line(capsys, raised, status, shown):
    @command_line
    def main(argv=None):
        raise raised

    assert main() == status
    assert capsys.readouterr().err == shown


def test_command_line_shows_what_argparse_does_not_understand_in_a_single_line(capsys):
    @command_line
    def main(argv=None):
        parser = ArgumentParser(prog="program")
        parser.add_argument("--count", type=int)
        parser.parse_args(argv)

    assert main(["--count", "few"]) == 2
    assert capsys.readouterr().err == "error: argument --count: invalid int value: 'few'; see program --help\n"


@pytest.mark.parametrize("count", [1, 100_000], ids=["in-the-buffer", "beyond-the-buffer"])
def test_command_line_is_quiet_when_nobody_reads_any_more(count):
    """As in `transcribe.py … | head`; without "Exception ignored" at the end of the process too."""
    code = f"""
import sys
from data_prep.errors import command_line

@command_line
def main(argv=None):
    for number in range({count}):
        print("a line")

sys.stdin.read()
sys.exit(main())
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
    process.stdout.close()
    process.stdin.close()
    assert (process.wait(), process.stderr.read()) == (141, "")
    process.stderr.close()


def test_command_line_tells_of_a_pipe_that_is_not_its_output(capsys):
    @command_line
    def main(argv=None):
        raise BrokenPipeError(32, "Broken pipe")

    assert main() == 2
    assert capsys.readouterr().err == "error: [Errno 32] Broken pipe\n"


def test_command_line_keeps_the_traceback_of_a_bug():
    @command_line
    def main(argv=None):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        main()
