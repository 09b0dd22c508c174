"""One process at a time writes into a folder."""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from data_prep.files import naming
from recipes.errors import RecipeError
from recipes.files import LOCK

HELD: set[TextIO] = set()
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # of a file system that has none


@contextlib.contextmanager
def locked(folder: Path, what: str = "run") -> Iterator[TextIO]:
    """Hold the folder's lock, which the system drops with the process, however it ends.

    Yields the open lock file: a child process that inherits it (``pass_fds``) holds the lock too. Raises RecipeError,
    naming host and process, where another process holds it. On a file system without locks a note is printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(
                f"{folder}: another {what} is going on there ({holder(folder)}): wait for it, or stop it"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            print(f"note: the file system of {folder} has no locks: make sure that nothing else writes there")
        HELD.add(file)
        with naming(folder / LOCK):
            file.truncate(0)
            # Past the file's buffer, whose rest would be written at its end: a full disk is said once, by its name.
            os.write(file.fileno(), json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode())
        try:
            yield file
        finally:
            HELD.discard(file)
            if not file.closed:
                file.truncate(0)


def _let_go() -> None:
    """Loading processes, which are forked, outlive a training that is killed by seconds: its lock must not."""
    for file in HELD:
        file.close()
    HELD.clear()


os.register_at_fork(after_in_child=_let_go)


def holder(folder: Path) -> str:
    """In words, who wrote the lock file last."""
    try:
        values = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        return f"process {values['process']} on {values['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its process is not known"
