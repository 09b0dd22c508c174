"""Which words belong to which audio file, and all utterances for which that is not clear."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from sys import intern
from typing import NamedTuple

from data_prep.audio import FORMATS
from data_prep.manifest import DATA_ROOT, UNKNOWN_SPEAKER
from data_prep.problems import DUPLICATE, MALFORMED_LINE, NO_AUDIO, NO_LINE, NO_TRANSCRIPT, NO_WORDS, NOT_UTF8
from data_prep.reading import by_threads_if_slow
from data_prep.source import Folder
from data_prep.split_manifest import Content, Utterance
from data_prep.text import is_utf8
from data_prep.transcripts import Line, read_transcript, utterance_id

THREE_PARTS = re.compile(r"([^\s_-]+)([_-])([^\s_-]+)\2[^\s_-]+")
FOLDERS_AT_A_TIME = 32  # whose transcripts a thread has in memory
CHARACTERS_SHOWN = 60  # of a line


def pair(root: Path, split: str, folders: Iterable[Folder], workers: int) -> Content:
    """Pair the lines of transcript files with audio files of the same ID; sorted by ID.

    A transcript file serves the audio in its folder and in the folders below that have no transcript file of their
    own. Of several audio files with the same name in a folder, the format that comes first in FORMATS is taken.
    """
    problems: dict[str, list[str]] = defaultdict(list)
    first_lines: dict[str, str] = {}
    pairs: dict[str, Utterance] = {}
    seen, repeated, several_formats = set(), set(), 0
    for group in _groups(root / split, folders, workers):
        audio: dict[str, str] = {}
        lines: dict[str, str] = {}
        for folder in group.folders:
            for identifier, names in _names_by_id(folder.audio).items():
                several_formats += len(names) > 1
                _add(audio, identifier, folder.file(names[0]), repeated)
        for transcript, line in group.lines:
            if line.words is None:
                problems[MALFORMED_LINE].append(f"{transcript}:{line.number}")
                first_lines.setdefault(MALFORMED_LINE, f"{transcript}:{line.number}")
                continue
            _add(lines, line.id, line.words, repeated)
            if line.id not in audio:
                text = f"{line.id} {line.words}"[:CHARACTERS_SHOWN]
                first_lines.setdefault(NO_AUDIO, f"{transcript}:{line.number} '{text}'")
        if group.has_transcript:
            problems[NO_LINE] += audio.keys() - lines.keys()
        else:
            problems[NO_TRANSCRIPT] += [
                f"{folder.path or '.'} ({len(folder.audio)} audio files)" for folder in group.folders
            ]
        problems[NO_AUDIO] += lines.keys() - audio.keys()
        repeated |= seen & (audio.keys() | lines.keys())
        seen |= audio.keys() | lines.keys()
        for identifier in audio.keys() & lines.keys():
            if not lines[identifier]:
                problems[NO_WORDS].append(identifier)
            elif not is_utf8(audio[identifier]):
                problems[NOT_UTF8].append(audio[identifier])
            else:
                speaker = intern(speaker_and_chapter(identifier, audio[identifier]))
                path = f"{DATA_ROOT}/{split}/{audio[identifier]}"
                pairs[identifier] = Utterance(identifier, path, speaker, lines[identifier])
    # Nobody can tell which of two is the right utterance, so an ID that occurs twice is left out altogether.
    problems[DUPLICATE] += repeated
    utterances = [pairs[identifier] for identifier in sorted(pairs.keys() - repeated)]
    return Content(str(root / split), root, utterances, len(seen), problems, first_lines, several_formats)


def speaker_and_chapter(identifier: str, audio: str) -> str:
    """The column spk_id: `SPK-CHAP`, in which the part before the first "-" stands for the speaker.

    From an ID of three parts, `SPK-CHAP-NUMBER` or `SPK_CHAP_NUMBER`; otherwise from the folders that the audio lies
    in, by its path within the split; `unknown` for audio directly in the folder of the split.
    """
    parts = THREE_PARTS.fullmatch(identifier)
    if parts:
        return f"{parts[1]}-{parts[3]}"
    folders = audio.split("/")[:-1]
    return "-".join(folder.replace("-", "_") for folder in folders) or UNKNOWN_SPEAKER


class _Group(NamedTuple):
    """Folders whose audio is served by the same transcript files, and the lines of these, each with its file."""

    folders: list[Folder]
    has_transcript: bool
    lines: list[tuple[str, Line]]


def _groups(split: Path, folders: Iterable[Folder], workers: int) -> Iterator[_Group]:
    by_path = {folder.path: folder for folder in folders}
    with_transcript = {path for path, folder in by_path.items() if folder.transcripts}
    members: dict[str | None, list[Folder]] = defaultdict(list)
    for folder in by_path.values():
        members[_nearest(folder.path, with_transcript)].append(folder)

    def read(path: str | None) -> list[tuple[str, Line]]:
        transcripts = [] if path is None else map(by_path[path].file, by_path[path].transcripts)
        return [(name, line) for name in transcripts for line in read_transcript(split / name)]

    paths = list(members)
    lines = chain.from_iterable(by_threads_if_slow(read, paths, workers, FOLDERS_AT_A_TIME))
    for path, of_path in zip(paths, lines, strict=True):
        yield _Group(members[path], path is not None, of_path)


def _nearest(path: str, places: set[str]) -> str | None:
    """The path itself or the nearest folder above it that is among the places; None when there is none."""
    while path not in places:
        if not path:
            return None
        path = path.rpartition("/")[0]
    return path


def _names_by_id(names: list[str]) -> dict[str, list[str]]:
    """Audio files of a folder by ID; several with the same name in the order of FORMATS."""
    by_id: dict[str, list[str]] = {}
    for name in names:
        by_id.setdefault(utterance_id(name.rpartition(".")[0]), []).append(name)
    for group in by_id.values():
        if len(group) > 1:
            group.sort(key=lambda name: FORMATS.index(f".{name.rpartition('.')[2].lower()}"))
    return by_id


def _add(entries: dict[str, str], identifier: str, value: str, repeated: set[str]) -> None:
    if identifier in entries:
        repeated.add(identifier)
    entries[identifier] = value
