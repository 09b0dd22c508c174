"""Transcript files of a corpus: a line is an ID, then the words, as in LibriSpeech's `*.trans.txt`."""

import codecs
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data_prep.text import normalize

NAMES = "*.trans.txt, transcripts.txt or transcript.txt"
RULE = "a line is an ID without blanks, a blank and the words, in UTF-8 or UTF-16"
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Line(NamedTuple):
    """A line of a transcript file. words: None when the line cannot be decoded."""

    number: int
    id: str
    words: str | None


def is_transcript(name: str) -> bool:
    """Whether a file of this name holds transcripts."""
    name = name.lower()
    return name.endswith(".trans.txt") or name in ("transcripts.txt", "transcript.txt")


def utterance_id(name: str) -> str:
    """The ID in Unicode's form NFC: names of files come decomposed from some systems."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def read_transcript(path: Path) -> Iterator[Line]:
    """Yield all lines that are not empty; none for a link to nowhere."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    text = content.decode("utf-16" if content.startswith(UTF16) else "utf-8-sig", errors="replace")
    for number, line in enumerate(text.split("\n"), 1):
        parts = line.split(None, 1)
        if parts:
            words = None if "\N{REPLACEMENT CHARACTER}" in line else normalize("".join(parts[1:]))
            yield Line(number, utterance_id(parts[0]), words)
