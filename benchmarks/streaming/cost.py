"""State and time of a chunk after a stream has gone on for a while. The past is made up, not computed."""

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from mixers import Context
from recipes.config import load
from recipes.models import Recogniser

FRAMES_PER_MINUTE = 1500
BYTES = 4  # of a number


class Streamed:
    """A stream of a recipe's model with random weights, at several ages: minutes."""

    def __init__(self, recipe: Path, mixer: str, context: Context, minutes: Sequence[float]):
        self.recipe, self.mixer, self.context = recipe.stem, mixer, context
        model = load(recipe, {"mixer": mixer, "data_folder": "unused"}).hparams["model"].eval()
        self.model: Recogniser = model
        self.samples = 0.1 * torch.randn(1, context.chunk * model.frame_samples)
        states: list[Any] = [model.init_state(1, context)]
        for _ in range(3):
            states.append(model.step(self.samples, states[-1])[1])
        self.states = {minute: aged(states[-2], states[-1], round(minute * FRAMES_PER_MINUTE)) for minute in minutes}
        self.seconds: dict[float, list[float]] = {minute: [] for minute in minutes}

    def time_a_chunk(self, minute: float) -> None:
        begun = time.process_time()
        self.model.step(self.samples, self.states[minute])
        self.seconds[minute].append(time.process_time() - begun)

    def rows(self) -> list[dict]:
        return [
            {
                "recipe": self.recipe,
                "mixer": self.mixer,
                "chunk": self.context.chunk,
                "left_chunks": self.context.left_chunks,
                "minutes": minute,
                "state_bytes": BYTES * self.model.state_size(round(minute * FRAMES_PER_MINUTE), self.context),
                "chunk_ms": round(1000 * median(seconds), 2),
            }
            for minute, seconds in self.seconds.items()
        ]


def aged(before: Any, after: Any, frames: int) -> Any:
    """The state ``after``, as after so many frames: what has grown since ``before`` is repeated as far as that."""

    def grown(old: Tensor, new: Tensor) -> Tensor:
        for dim, (length, longer) in enumerate(zip(old.shape, new.shape, strict=True)):
            if longer > length:
                return torch.cat([new] * -(-frames // longer), dim).narrow(dim, 0, frames)
        return new

    return tree_map(grown, before, after)


def growth(rows: Sequence[dict]) -> list[float]:
    """The time of a chunk at each age by that of the age before."""
    return [later["chunk_ms"] / earlier["chunk_ms"] for earlier, later in pairwise(rows)]


def measure(
    recipe: Path, mixers: Sequence[str], context: Context, minutes: Sequence[float], repeats: int
) -> list[dict]:
    """CPU time, with all mixers and ages taking turns, so that what else the machine does hits all alike."""
    with torch.inference_mode():
        streams = [Streamed(recipe, mixer, context, minutes) for mixer in mixers]
        for _ in range(repeats + 1):  # the first call of all is slower
            for stream in streams:
                for minute in minutes:
                    stream.time_a_chunk(minute)
        for stream in streams:
            stream.seconds = {minute: seconds[1:] for minute, seconds in stream.seconds.items()}
    return [row for stream in streams for row in stream.rows()]
