"""How the samples of a stream become chunks, and how long chunks may be. Imports no torch."""

from numbers import Integral
from typing import NamedTuple

from recipes.errors import RecipeError
from recipes.inference.audio.samples import SAMPLE_RATE

CHUNK = 16  # encoder frames of 40 ms, where nothing else is said


class Chunks(NamedTuple):
    """How samples become chunks.

    chunk: frames in a chunk. frame_samples: samples in a frame. first_samples: samples that the first chunk needs in
    addition. The window of its last frame reaches this far beyond the chunk's end; later chunks are shifted by as much.
    """

    chunk: int
    frame_samples: int
    first_samples: int

    @property
    def samples(self) -> int:
        return self.chunk * self.frame_samples

    @property
    def frame_seconds(self) -> float:
        return self.frame_samples / SAMPLE_RATE


def check_chunks(chunk: int, left_chunks: int | None) -> None:
    """Raises RecipeError for a chunk without a frame."""
    for name, least, value in (("chunk", 1, chunk), ("left_chunks", 0, left_chunks)):
        is_whole = isinstance(value, Integral) and not isinstance(value, bool)  # numpy's too
        if value is not None and not (is_whole and value >= least):
            raise RecipeError(f"{name} must be a whole number from {least} up, not {value}")
