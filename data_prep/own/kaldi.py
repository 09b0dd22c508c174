"""Rows of a data folder of Kaldi: wav.scp, text, and where they are there utt2spk and segments.

The format: https://kaldi-asr.org/doc/data_prep.html
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.errors import DataError
from data_prep.own.rows import BadRow, Row, row_of

RECORDINGS, WORDS, SPEAKERS, SEGMENTS = "wav.scp", "text", "utt2spk", "segments"
OPTIONAL = (SPEAKERS, SEGMENTS)


def is_data_folder(folder: Path) -> bool:
    """Whether it has one of the files that every data folder has."""
    return (folder / RECORDINGS).is_file() or (folder / WORDS).is_file()


def files_of(folder: Path) -> list[Path]:
    """All that is read. Raises DataError where a file is missing that must be there."""
    for name in (RECORDINGS, WORDS):
        if not (folder / name).is_file():
            raise DataError(f"{folder} has no {name}: a data folder of Kaldi has {RECORDINGS} and {WORDS}")
    return [folder / name for name in (RECORDINGS, WORDS, *OPTIONAL) if (folder / name).is_file()]


def kaldi_rows(folder: Path, contents: dict[str, str]) -> Iterator[Row | BadRow]:
    """contents: of the files of the folder, by name. A line of `text` is an utterance, as is one of `segments`."""
    recordings, speakers = dict(_pairs(contents[RECORDINGS])), dict(_pairs(contents.get(SPEAKERS, "")))
    segments = {name: rest.split() for name, rest in _pairs(contents[SEGMENTS])} if SEGMENTS in contents else None
    twice = {file: _told_twice(contents.get(file, "")) for file in (RECORDINGS, SEGMENTS, SPEAKERS)}
    named = set()
    for number, (name, words) in enumerate(_pairs(contents[WORDS]), 1):
        place = f"{folder / WORDS}:{number}"
        named.add(name)
        segment = [name] if segments is None else segments.get(name)
        if segment is None or len(segment) not in (1, 3, 4):
            yield BadRow(place, f"no line of {SEGMENTS} with recording, start and end for {name}")
            continue
        audio, used = recordings.get(segment[0]), ((RECORDINGS, segment[0]), (SEGMENTS, name), (SPEAKERS, name))
        if contradicted := [f"{file} has two lines for {key}" for file, key in used if key in twice[file]]:
            yield BadRow(place, contradicted[0])
        elif audio is None:
            yield BadRow(place, f"no line of {RECORDINGS} for {segment[0]}")
        elif audio.endswith("|"):
            yield BadRow(place, f"{RECORDINGS} has a command for {segment[0]}: only files are read")
        else:
            start, end = segment[1:3] if len(segment) > 1 else (None, None)
            end = None if end == "-1" else end  # Kaldi's "to the end of the file"
            values = {"id": name, "audio": audio, "text": words, "speaker": speakers.get(name)}
            row = row_of(place, {**values, "start": start, "end": end})
            names_channel = len(segment) == 4 and segment[3] != "-1"
            yield row._replace(channels=1) if names_channel and isinstance(row, Row) else row
    for name in (recordings if segments is None else segments).keys() - named:
        yield BadRow(f"{folder / WORDS}:{name}", f"no line of {WORDS} for {name}")


def _told_twice(content: str) -> set[str]:
    """The names of several lines that do not say the same."""
    said: dict[str, set[str]] = {}
    for name, rest in _pairs(content):
        said.setdefault(name, set()).add(rest)
    return {name for name, values in said.items() if len(values) > 1}


def _pairs(content: str) -> Iterator[tuple[str, str]]:
    """The first word of each line that is not empty, and the rest."""
    for line in content.split("\n"):
        name, _, rest = line.strip().partition(" ")
        if name:
            name, tab, tail = name.partition("\t")
            yield name, f"{tail} {rest}".strip() if tab else rest.strip()
