"""Files that are written as a whole, and what a kill leaves of them."""

import os
import signal
import subprocess
import sys

import pytest

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
