"""Many recordings, read a batch ahead of the work on them. Imports no torch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from data_prep.errors import DataError
from recipes.inference.audio.recordings import Recording


class ReadBatch(NamedTuple):
    """The numbers of recordings with their samples ``[samples]``, and the errors of those that cannot be used."""

    audios: dict[int, np.ndarray]
    errors: dict[int, DataError]


def groups_by_seconds(recordings: Sequence[Recording], seconds: float) -> Iterator[list[Recording]]:
    """Consecutive groups of recordings, each of at least ``seconds`` of audio, as the headers of the files say."""
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
    """The samples of each batch (numbers of recordings). The next batch is read while the caller works on one."""

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
