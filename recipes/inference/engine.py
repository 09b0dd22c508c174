"""What transcribes recordings, as a command line sees it: a trained run, a release, an exported model. No torch."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np

from data_prep.errors import DataError
from recipes.inference.recordings import Recording
from recipes.inference.transcript import Transcript


class Outcome(NamedTuple):
    """What became of a recording: its transcript, or the error that names it."""

    recording: Recording
    transcript: Transcript | None
    error: DataError | None = None


class Engine(Protocol):
    def describe(self, longest: float) -> list[str]:
        """For the screen, what transcribes and how. longest: seconds of the longest recording."""

    def transcribe_each(
        self, recordings: Sequence[Recording], *, nbest: int = 1, on_progress: Callable[[float], object] | None = None
    ) -> Iterator[Outcome]:
        """What becomes of each recording, in this order. nbest: readings of each, none beside the text where 1.

        on_progress: called with the seconds of audio that were done since the last call.
        """


class ReadBatch(NamedTuple):
    """The numbers of recordings with their samples ``[samples]``, and the errors of those that cannot be used."""

    audios: dict[int, np.ndarray]
    errors: dict[int, DataError]


def groups(recordings: Sequence[Recording], seconds: float) -> Iterator[list[Recording]]:
    """The recordings in their order, some of at least so many seconds together, as their headers say."""
    group: list[Recording] = []
    total = 0.0
    for recording in recordings:
        group.append(recording)
        total += recording.seconds()
        if total >= seconds:
            yield group
            group, total = [], 0.0
    if group:
        yield group


def read_batches(recordings: Sequence[Recording], batches: Sequence[list[int]]) -> Iterator[ReadBatch]:
    """Each batch, numbers of recordings, with its samples; the next one is read while a batch is worked on."""

    def read(batch: list[int]) -> ReadBatch:
        result = ReadBatch({}, {})
        for number in batch:
            try:
                result.audios[number] = recordings[number].read()
            except DataError as error:
                result.errors[number] = error
        return result

    with ThreadPoolExecutor(1) as reader:
        reading = [reader.submit(read, batch) for batch in batches[:1]]
        for position in range(len(batches)):
            result = reading.pop().result()
            if position + 1 < len(batches):
                reading.append(reader.submit(read, batches[position + 1]))
            yield result
