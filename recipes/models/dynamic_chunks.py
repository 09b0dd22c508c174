"""Dynamic chunk training: what the encoder may see is drawn anew for every batch."""

from collections.abc import Sequence
from typing import Self

import torch

from mixers.base import Context
from recipes.models.options import SHARE, SPAN, check_options


class DynamicChunks:
    """Contexts to train under, so that the same weights serve whole utterances and streams of any chunk size.

    A batch gets a context with ``probability``, and sees whole utterances otherwise. chunk: [least, most] frames of
    40 ms; left_chunks: [least, most] chunks to the left, with ``left_probability``; all the past otherwise.
    The defaults are those of https://arxiv.org/abs/2409.07165; the idea is that of https://arxiv.org/abs/2012.05481.
    Raises ValueError for values outside these meanings.
    """

    def __init__(
        self,
        *,
        probability: float = 0.6,
        chunk: Sequence[int] = (8, 32),
        left_chunks: Sequence[int] = (2, 32),
        left_probability: float = 0.75,
    ):
        check_options(
            "DynamicChunks",
            probability=(probability, SHARE),
            chunk=(chunk, SPAN),
            left_chunks=(left_chunks, SPAN),
            left_probability=(left_probability, SHARE),
        )
        self.probability, self.chunk = probability, chunk
        self.left_chunks, self.left_probability = left_chunks, left_probability

    def draw(self) -> Context | None:
        """The next batch's context, from torch's random numbers, which training seeds for every batch."""
        is_chunked, is_limited = (torch.rand(2) < torch.tensor([self.probability, self.left_probability])).tolist()
        if not is_chunked:
            return None
        chunk, left_chunks = (int(torch.randint(least, most + 1, ())) for least, most in (self.chunk, self.left_chunks))
        return Context(chunk, left_chunks if is_limited else None)

    def smallest(self) -> Self:
        """Always the smallest chunk, and all the past: what takes the most memory."""
        least = [self.chunk[0]] * 2
        return type(self)(probability=1.0, chunk=least, left_chunks=self.left_chunks, left_probability=0.0)
