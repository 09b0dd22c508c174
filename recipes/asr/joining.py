"""Consecutive utterances of one speaker as one, for training on longer audio than a corpus has."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from recipes.errors import RecipeError

SHORTEST = 1.0  # seconds: the least length that is drawn, which leaves an utterance alone


class Joining:
    """Which utterances are joined in an epoch. It follows from (seed, epoch) alone.

    For each recording a length is drawn, uniformly on a logarithmic scale from one second to ``seconds``, and
    utterances are joined as long as they fit into it. So many utterances stay alone, and a few recordings are nearly
    ``seconds`` long.
    stretches: numbers of utterances that follow one another and are of one speaker. durations: seconds of each
    utterance.
    """

    def __init__(self, stretches: Sequence[np.ndarray], durations: np.ndarray, seconds: float, seed: int):
        self.stretches, self.durations = stretches, np.asarray(durations, dtype=np.float64)
        self.seconds, self.seed = seconds, seed

    def groups(self, epoch: int) -> list[tuple[int, ...]]:
        """The recordings of an epoch, each the numbers of its utterances in their order; every utterance once."""
        draw = np.random.default_rng([self.seed, epoch, 1])  # 1: other numbers than those that shuffle
        return [group for stretch in self.stretches for group in self.cut(stretch, draw)]

    def cut(self, stretch: np.ndarray, draw: np.random.Generator) -> Iterator[tuple[int, ...]]:
        group, total, longest = list[int](), 0.0, 0.0
        for utterance, duration in zip(stretch.tolist(), self.durations[stretch].tolist(), strict=True):
            if group and total + duration > longest:
                yield tuple(group)
                group, total = [], 0.0
            if not group:
                longest = SHORTEST * (self.seconds / SHORTEST) ** draw.random()
            group.append(utterance)
            total += duration
        if group:
            yield tuple(group)


def check_joining(path: Path, hparams: Mapping) -> None:
    """Raises RecipeError, one line, where `joined_seconds` is more than a batch takes."""
    seconds, batch = hparams.get("joined_seconds"), hparams["batch_seconds"]
    if seconds is not None and seconds > batch:
        raise RecipeError(
            f"{path}: joined_seconds {seconds:g} is more than a batch holds: raise --batch_seconds (now {batch:g}), or "
            "lower it"
        )
