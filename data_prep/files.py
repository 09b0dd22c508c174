"""Files that are written completely or not at all, and checksums to compare them by."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.errors import DataError

TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")  # of `write_atomically`, with its process


def expand_user(path) -> Path:
    """The path with `~` and `~name` replaced by home folders. Raises DataError for a user who does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DataError(f"no home folder for {Path(path).parts[0]}: give the folder's whole path") from None


def checksum(path) -> str | None:
    """SHA-256 of a file, None when there is no such file."""
    path = Path(path)
    if not path.is_file():
        return None
    with naming(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blocks_checksum(blocks: Iterable[bytes]) -> str:
    """SHA-256 of a file of this content."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def write_atomically(path, content: bytes | str | Iterable[bytes]) -> None:
    """Write the whole content or, on failure, nothing: through a temporary file in the same folder.

    content: bytes, text, or blocks of bytes for what is too large to be kept in memory.
    """
    path = Path(path)
    with naming(path):
        _write(path, content)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """The system's errors of a file that is open do not name it: they do then."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _write(path: Path, content: bytes | str | Iterable[bytes]) -> None:
    content = content.encode() if isinstance(content, str) else content
    blocks = [content] if isinstance(content, bytes) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.writelines(blocks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def contents(folder) -> set[str]:
    """The names in a folder, without what a killed `write_atomically` left there; none where there is no folder."""
    if not Path(folder).is_dir():
        return set()
    return {path.name for path in Path(folder).iterdir() if not TEMPORARY.fullmatch(path.name)}


def remove_leftovers(folder) -> None:
    """Remove what `write_atomically` left in the folder and below it when its process was killed."""
    for path in Path(folder).rglob(".*.tmp"):
        name = TEMPORARY.fullmatch(path.name)
        if name and not is_running(int(name[1])):
            path.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Whether this machine has a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
