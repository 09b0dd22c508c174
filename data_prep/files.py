"""Files that are written completely or not at all, and checksums to compare them by."""

import hashlib
import os
from pathlib import Path


def checksum(path) -> str | None:
    """SHA-256 of a file, None when there is no such file."""
    path = Path(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def write_atomically(path, content: bytes | str) -> None:
    """Write the whole content or, on failure, nothing: through a temporary file in the same folder."""
    path = Path(path)
    content = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
