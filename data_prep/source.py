"""What lies in the folder of a split: audio, transcripts, and a fingerprint of both."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from data_prep.audio import FORMATS
from data_prep.errors import DataError
from data_prep.transcripts import is_transcript

FINGERPRINT_FORMAT = 2  # raise it when the same source would give another manifest


class Folder(NamedTuple):
    """Names in a folder of a split; `path` is relative to the split, "" for the split itself."""

    path: str
    audio: list[str]
    transcripts: list[str]

    def file(self, name: str) -> str:
        """The path of a file in it, relative to the split."""
        return f"{self.path}/{name}" if self.path else name


def list_source(split: Path) -> tuple[list[Folder], str]:
    """The folders of a split that hold audio or transcripts, in order, and their fingerprint.

    The fingerprint is of names, sizes and times of change, relative to the split, so that a corpus may move.
    Links are followed; a folder that is reached by several paths, as by a link to its parent, is read once. Hidden
    files (a leading dot) are no part of a corpus. Raises DataError for a folder that cannot be listed.
    """
    folders, visited, digest = [], set(), hashlib.sha256(f"format {FINGERPRINT_FORMAT}".encode())
    open_paths = [""]
    while open_paths:
        path = open_paths.pop()
        try:
            status = os.stat(split / path)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            folder, subfolders, marks = _list_folder(split, path)
        except OSError as error:
            raise DataError(f"can't list {error.filename}: {error.strerror}") from None
        open_paths += reversed(subfolders)
        if marks:
            folders.append(folder)
            digest.update("".join(marks).encode(errors="surrogateescape"))
    return folders, digest.hexdigest()


def _list_folder(split: Path, path: str) -> tuple[Folder, list[str], list[str]]:
    """The folder, the paths of its subfolders, and a text for the fingerprint per file, all sorted by name."""
    folder, subfolders, marks = Folder(path, [], []), [], []
    with os.scandir(split / path) as entries:
        entries = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    for entry in entries:
        # A link to itself makes entry.is_dir raise.
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
            subfolders.append(folder.file(entry.name))
            continue
        if entry.name.lower().endswith(FORMATS):
            folder.audio.append(entry.name)
        elif is_transcript(entry.name):
            folder.transcripts.append(entry.name)
        else:
            continue
        try:
            status = entry.stat()
            mark = f"{status.st_size}\0{status.st_mtime_ns}"
        except OSError:  # a link to nowhere: reported as damaged when it is read
            mark = "nowhere"
        marks.append(f"\0{folder.file(entry.name)}\0{mark}")
    return folder, subfolders, marks
