"""Which recordings a command line names, and what they are called. Imports no torch."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, NoReturn

import numpy as np

from data_prep.audio import FORMATS, Header, read_header
from data_prep.errors import DataError
from data_prep.text import printable
from recipes.errors import RecipeError
from recipes.inference.audio.reading import is_pipe, parse_audio, read_audio
from recipes.inference.audio.samples import SAMPLE_RATE, as_array, check_scale, mono

STDIN = "-"
STDIN_NAME = "standard input"


@dataclass(frozen=True)
class Recording:
    """What can be transcribed.

    id: for its output, in UTF-8 whatever the file is called; path: of a file; samples: 16 kHz mono where it is no file.
    """

    id: str
    path: str | None = None
    samples: np.ndarray | None = None

    @property
    def name(self) -> str:
        """The name of the recording in messages."""
        return printable(self.path) if self.path else self.id

    def read(self) -> np.ndarray:
        """``[samples]`` at 16 kHz. Raises DataError, one line with the name, for what cannot be used."""
        if self.samples is not None:
            return self.samples
        assert self.path is not None
        return read_audio(self.path)

    def seconds(self) -> float:
        """As the file's header says; 0 where it says nothing of use."""
        if self.samples is not None:
            return len(self.samples) / SAMPLE_RATE
        if is_pipe(str(self.path)):
            return 0.0
        try:
            header = read_header(str(self.path))
        except OSError:  # it says so when it is read
            return 0.0
        return header.frames / header.rate if isinstance(header, Header) and header.rate else 0.0


def recording_of(audio: Any, rate: int | None, name: str) -> Recording:
    """A path, or samples at a rate. Raises DataError for samples that cannot be used."""
    if isinstance(audio, (str, PurePath)):
        return Recording(printable(PurePath(audio).stem), str(audio))
    samples = as_array(audio, name)
    if rate is None:
        raise DataError(f"{name}: samples need their rate: transcribe(samples, rate=16000)")
    check_scale(samples, name)
    return Recording(name, samples=mono(samples, rate, name))


def check_rate(audios: Sequence[Any], rate: int | None) -> None:
    """Raises RecipeError for a rate that nothing would use: a file says its own."""
    if rate is not None and audios and all(isinstance(audio, (str, PurePath)) for audio in audios):
        raise RecipeError(f"rate={rate} is for samples, and {audios[0]} is a file, which has its own: leave it out")


def find_recordings(arguments: Sequence[str], rate: int | None = None) -> list[Recording]:
    """Files, folders, patterns (`*`, `**`) as recordings, in this order, those of a folder by name; `-` comes last.

    A file that is missing is a recording too, which says so when it is read: the others go on. rate: of bare samples
    on standard input. Raises DataError for a folder or pattern without audio, and for standard input without.
    """
    paths: list[tuple[str, str]] = []  # each with what its output is called
    stdin: list[Recording] = []
    for argument in arguments:
        if argument == STDIN:
            if not stdin:
                content = sys.stdin.buffer.read()
                stdin.append(Recording("stdin", samples=parse_audio(content, STDIN_NAME, rate)))
        elif Path(argument).is_dir():
            paths += files_in(Path(argument))
        elif glob.has_magic(argument) and not Path(argument).exists():
            paths += matching(argument)
        else:
            paths.append((argument, PurePath(argument).stem))
    return with_own_ids(paths, stdin)


def files_in(folder: Path) -> list[tuple[str, str]]:
    """All audio below it but hidden files, and what is in hidden folders.

    Raises OSError for a folder in it that cannot be read: its recordings would be missing without a word.
    """
    files = []
    for place, folders, names in os.walk(folder, onerror=raise_error):
        folders[:] = [name for name in folders if not name.startswith(".")]
        audio = [name for name in names if Path(name).suffix.lower() in FORMATS and not name.startswith(".")]
        files += [Path(place, name) for name in audio]
    files.sort()
    if not files:
        raise DataError(f"{folder}: a folder without audio ({' '.join(FORMATS)})")
    return [(str(file), file.relative_to(folder).with_suffix("").as_posix()) for file in files]


def raise_error(error: OSError) -> NoReturn:
    raise error


def matching(pattern: str) -> list[tuple[str, str]]:
    files = [file for file in sorted(glob.glob(pattern, recursive=True)) if Path(file).suffix.lower() in FORMATS]
    if not files:
        raise DataError(f"{pattern}: no audio file matches")
    return [(file, PurePath(file).stem) for file in files]


def with_own_ids(paths: Iterable[tuple[str, str]], stdin: Iterable[Recording] = ()) -> list[Recording]:
    """Each file once. Those that would be called alike get their whole path as the ID, and a number if need be."""
    files: dict[Path, Recording] = {}
    for path, name in paths:
        files.setdefault(Path(path).parent.resolve() / Path(path).name, Recording(printable(name), path))
    recordings = [*files.values(), *stdin]
    count, taken = Counter(recording.id for recording in recordings), set[str]()
    result = []
    for recording in recordings:
        shared = count[recording.id] > 1 and recording.path is not None
        wanted = own = printable(path_as_id(str(recording.path))) if shared else recording.id
        number = 1
        while own in taken:
            number += 1
            own = f"{wanted}-{number}"
        taken.add(own)
        result.append(replace(recording, id=own))
    return result


def path_as_id(path: str) -> str:
    """A path below whatever folder it is put into: `../a/b.flac` is `a/b.flac`."""
    return "/".join(part for part in PurePath(path).parts if part not in ("..", PurePath(path).anchor))
