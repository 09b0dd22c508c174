"""A manifest in memory, by columns: a corpus of LibriSpeech's size takes a fifth of what a dict a row would."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np

from data_prep.errors import DataError
from data_prep.manifest import read_rows, speaker_of


class TextColumn(Sequence[str]):
    """Texts in one buffer. Processes that are forked share it: no text of it has a count of references to write to."""

    def __init__(self, texts: Iterable[str] = ()):
        self._bytes, self._ends = bytearray(), array("q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        self._bytes += text.encode()
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return self._bytes[self._ends[place] : self._ends[place + 1]].decode()

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self._ends[1:]:
            yield self._bytes[start:end].decode()
            start = end


class Columns(NamedTuple):
    """A manifest. Durations in seconds; paths as the manifest has them.

    goes_on: bool, whether an utterance is of the speaker of the one before it; never where no speaker is named.
    """

    ids: TextColumn
    durations: np.ndarray
    paths: TextColumn
    words: TextColumn
    goes_on: np.ndarray


def read_columns(manifest) -> Columns:
    """Raises DataError as `read_rows` does, for an ID that occurs twice, and for a duration that is none."""
    ids, durations, paths, words = TextColumn(), array("d"), TextColumn(), TextColumn()
    goes_on, before = bytearray(), ""
    seen = set()
    for identifier, duration, path, speaker, text in read_rows(manifest):
        if identifier in seen:
            raise DataError(f"{manifest}: utterance {identifier} is in it twice; prepare it again")
        seen.add(identifier)
        ids.append(identifier)
        durations.append(_seconds(manifest, identifier, duration))
        paths.append(path)
        words.append(text)
        goes_on.append(speaker == before and bool(speaker_of(speaker)))
        before = speaker
    durations_, goes_on_ = np.frombuffer(durations, dtype=np.float64), np.frombuffer(goes_on, dtype=bool)
    return Columns(ids, durations_, paths, words, goes_on_)


def _seconds(manifest, identifier: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise DataError(f"{manifest}: utterance {identifier} has the duration '{text}', no seconds; prepare it again")
    return seconds
