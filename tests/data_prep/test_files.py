"""Files that are written as a whole, and what a kill leaves of them."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from data_prep.errors import DataError, command_line
from data_prep.files import remove_leftovers, write_atomically


def test_a_failed_write_keeps_the_file_and_leaves_nothing(tmp_path):
    def blocks():
        yield b"new"
        raise ZeroDivisionError

    write_atomically(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "file", blocks())
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as of a file that is open, without its name

    monkeypatch.setattr("data_prep.files.os.fsync", fail)
    assert command_line(lambda argv: write_atomically(tmp_path / "file", "new"))() == 2
    message = f"error: no disk space left for {tmp_path / 'file'}: free some space and give the same command again\n"
    assert capsys.readouterr().err == message and not os.listdir(tmp_path)


def test_what_a_kill_leaves_is_removed_at_the_next_start(tmp_path):
    """The killed process leaves its temporary file, in a folder below too; others' files stay."""
    (tmp_path / "below").mkdir()
    child = os.fork()
    if child == 0:

        def blocks():
            yield b"new"
            os.kill(os.getpid(), signal.SIGKILL)

        write_atomically(tmp_path / "below" / "file", blocks())
        os._exit(0)
    os.waitpid(child, 0)
    (leftover,) = (tmp_path / "below").iterdir()
    assert leftover.name == f".file.{child}.tmp"
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    others = [tmp_path / f".summary.json.{running.pid}.tmp", tmp_path / ".notes.tmp", tmp_path / "file.1.tmp"]
    for path in others:
        path.touch()
    remove_leftovers(tmp_path)
    assert not leftover.exists()
    assert all(path.exists() for path in others), "a process that is running still writes its file"
    running.communicate(b"\n")
    remove_leftovers(tmp_path)
    assert [path.exists() for path in others] == [False, True, True]


def test_where_standard_output_is_closed_a_command_goes_on(monkeypatch):
    """As a shell closes it: >&-"""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    @command_line
    def speak(argv):
        print("nobody hears this")
        if argv:
            raise DataError(argv[0])

    assert (speak([]), speak(["nor this"])) == (0, 2)
