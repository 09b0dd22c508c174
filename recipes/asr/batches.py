"""Batches by duration: which utterances are padded together, in which order, and which process takes which.

SpeechBrain's DynamicBatchSampler puts its buckets where a log-normal law expects utterances, so that few buckets
give batches of one, and under distributed training another sampler shuffles its batches by a seed of its own.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from recipes.asr.joining import Joining

Recording = Any  # the number of an utterance, or a tuple of those that are joined


class DurationBatches(Sampler[list[Recording]]):
    """Batches of at most ``batch_seconds`` of padded audio, every utterance once an epoch.

    The utterances are sorted by length, divided into ``buckets`` of equally many, and shuffled inside each bucket. They
    are cut into batches, from the shortest on, and then the batches are shuffled. Both orders depend only on (seed,
    epoch). With one bucket any lengths come together; with as many buckets as utterances there is the least padding.
    An utterance longer than ``batch_seconds`` is a batch of its own.

    ascending_epochs: in this many epochs at the start, the batches go from the shortest to the longest: a curriculum
    by length ("SortaGrad", arXiv 1512.02595), which helps CTC to find its first alignments.
    joining: which utterances are joined into one recording, anew in each epoch; None: none are.
    durations: seconds of each utterance. seed: None for evaluation: sorted by length, the longest batch first.
    rank, ranks: each of several processes takes every ``ranks``-th batch. even: all processes get equally many, which
    distributed training needs; a process without a batch of its own in the last round gets the first of the epoch
    again. Set ``epoch`` before a pass, and ``skip`` to the number of batches that all processes together have done
    already.
    """

    def __init__(
        self,
        durations: Sequence[float],
        batch_seconds: float,
        *,
        buckets: int = 1,
        seed: int | None = None,
        ascending_epochs: int = 0,
        joining: Joining | None = None,
        rank: int = 0,
        ranks: int = 1,
        even: bool = False,
    ):
        self.durations = np.asarray(durations, dtype=np.float64)
        self.batch_seconds, self.buckets, self.seed = batch_seconds, buckets, seed
        self.ascending_epochs, self.joining = ascending_epochs, joining
        self.rank, self.ranks, self.even = rank, ranks, even
        self.epoch, self.skip = 0, 0
        self._planned: tuple[int, list[list[Recording]]] | None = None  # of the epoch that was asked for last

    def batches(self) -> list[list[Recording]]:
        """All batches of the epoch, those of every process, in order."""
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = self.epoch, self._plan()
        return self._planned[1]

    def recordings(self) -> list[Recording]:
        """The recordings of this epoch: numbers of utterances, or tuples of those that are joined."""
        return list(self.joining.groups(self.epoch)) if self.joining else list(range(len(self.durations)))

    def seconds(self, recordings: Sequence[Recording]) -> np.ndarray:
        """The length of each recording."""
        if not self.joining:
            return self.durations[recordings]
        return np.array([self.durations[np.atleast_1d(recording)].sum() for recording in recordings])

    def _plan(self) -> list[list[Recording]]:
        recordings = self.recordings()
        seconds = self.seconds(recordings)
        by_length = np.argsort(seconds, kind="stable")
        if self.seed is None:
            return self._cut(by_length[::-1], seconds, recordings)
        draw = np.random.default_rng([self.seed, self.epoch])
        buckets = np.array_split(by_length, min(self.buckets, len(by_length)))
        order = np.concatenate([draw.permutation(bucket) for bucket in buckets])
        batches = self._cut(order, seconds, recordings)
        if self.epoch <= self.ascending_epochs:
            return batches
        return [batches[index] for index in draw.permutation(len(batches))]

    def _cut(self, order: np.ndarray, seconds: np.ndarray, recordings: list[Recording]) -> list[list[Recording]]:
        """Recordings in this order into batches, each as long as padding allows."""
        batches, batch, longest = [], list[Recording](), 0.0
        for number, duration in zip(order.tolist(), seconds[order].tolist(), strict=True):
            longest = max(longest, duration)
            if batch and longest * (len(batch) + 1) > self.batch_seconds:
                batches.append(batch)
                batch, longest = [], duration
            batch.append(recordings[number])
        return [*batches, batch] if batch else batches

    def own(self) -> list[list[Recording]]:
        """The batches that this process has still to do, in order."""
        batches = self.batches()
        own = batches[self.skip + self.rank :: self.ranks]
        return own + batches[: len(self) - len(own)] if self.even else own

    def total(self) -> int:
        """Batches of the whole epoch, those of every process."""
        return len(self.batches())

    def __len__(self) -> int:
        """Batches that this process has still to do."""
        left = self.total() - self.skip
        return -(-left // self.ranks) if self.even else len(range(self.rank, left, self.ranks))

    def __iter__(self) -> Iterator[list[Recording]]:
        return iter(self.own())

    def padding(self) -> float:
        """Share of the padded audio of the epoch that is padding."""
        padded = sum(self.seconds(batch).max() * len(batch) for batch in self.batches())
        return 1 - self.durations.sum() / padded
