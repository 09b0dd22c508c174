"""The statistics of SummaryMixing: what a frame sees of all frames is a mean, a decayed mean, or itself alone."""

from typing import Any, Protocol

import torch
from torch import Tensor

from .base import Context, sum_dtype
from .chunks import PastSums, append, decay_powers, decayed_sum, empty_past, left_sums, sums_kept, visible_sum


class Statistic(Protocol):
    """A statistic m of frames s, for whole utterances and for a stream."""

    def over(self, s: Tensor, mask: Tensor, context: Context | None) -> Tensor:
        """m of s ``[B, C, chunk, d]``, which is zero in padded frames, and its mask ``[B, C, chunk]``.

        Returns ``[B, C, chunk, d]``, or ``[B, C, 1, d]`` where all frames of a chunk see the same.
        """

    def init_state(self, like: Tensor, batch: int, context: Context, size: int) -> Any:
        """The state of ``batch`` streams at their first frame, for frames of ``size`` features."""

    def step(self, s: Tensor, past: Any) -> tuple[Tensor, Any]:
        """m of a stream's next chunk s ``[B, chunk, d]``, and the state after it."""

    def state_size(self, context: Context | None, size: int) -> int:
        """How many numbers a stream keeps."""


class SummedPast:
    """The state of a statistic that sees the past through sums of chunks."""

    def sum_size(self, size: int) -> int:
        """The number of values in a chunk's sum, for frames of ``size`` features."""
        return size + 1

    def init_state(self, like: Tensor, batch: int, context: Context, size: int) -> PastSums:
        return empty_past(like, batch, context, self.sum_size(size))

    def state_size(self, context: Context | None, size: int) -> int:
        return sums_kept(context) * self.sum_size(size)


class Mean(SummedPast):
    """m = mean of s over the visible real frames. A chunk's sum is that of s, and its count of real frames."""

    def over(self, s: Tensor, mask: Tensor, context: Context | None) -> Tensor:
        sums = sum_and_count(s, mask)
        if context is not None:
            sums = sums + left_sums(sums, context.left_chunks)
        return mean(sums).to(s.dtype)[:, :, None]

    def step(self, s: Tensor, past: PastSums) -> tuple[Tensor, PastSums]:
        chunk_sum = sum_and_count(s, all_real(s))
        return mean(visible_sum(past) + chunk_sum).to(s.dtype)[:, None], append(past, chunk_sum)


class DecayedMean(SummedPast):
    """m_t = sum_u decay^|t-u| s_u / sum_u decay^|t-u| over the visible real frames, in linear time.

    A chunk's sum is the one that its last frame sees: frame u counts decay^(last - u).
    """

    def __init__(self, decay: float):
        self.decay = decay

    def over(self, s: Tensor, mask: Tensor, context: Context | None) -> Tensor:
        chunk = s.shape[2]
        with torch.autocast(s.device.type, enabled=False):
            frames = with_count(s, mask)
            sums = self.inside(frames.flatten(0, 1)).view_as(frames)
            if context is not None:
                past = left_sums(self.chunk_sum(frames), context.left_chunks, self.decay**chunk)
                sums = sums + self.from_past(past, chunk)
            return mean(sums).to(s.dtype)

    def step(self, s: Tensor, past: PastSums) -> tuple[Tensor, PastSums]:
        chunk = s.shape[1]
        with torch.autocast(s.device.type, enabled=False):
            frames = with_count(s, all_real(s))
            sums = self.inside(frames) + self.from_past(visible_sum(past), chunk)
            return mean(sums).to(s.dtype), append(past, self.chunk_sum(frames), self.decay**chunk)

    def inside(self, frames: Tensor) -> Tensor:
        """What each of ``[B, T, d]`` sees of all: those before it, those after it, and itself once."""
        right = decayed_sum(frames.flip(1), self.decay).flip(1)
        return decayed_sum(frames, self.decay) + right - frames

    def chunk_sum(self, frames: Tensor) -> Tensor:
        """``[…, chunk, d]`` → ``[…, d]``."""
        return decay_powers(frames.shape[-2], self.decay, frames).flip(0) @ frames

    def from_past(self, past: Tensor, chunk: int) -> Tensor:
        """What a chunk's frames see of the past, from what its last frame saw: ``[…, d]`` → ``[…, chunk, d]``."""
        powers = self.decay * decay_powers(chunk, self.decay, past)
        return powers[:, None] * past[..., None, :]


class Identity(SummedPast):
    """m_t = s_t: nothing crosses frames."""

    def sum_size(self, size: int) -> int:
        return 0

    def over(self, s: Tensor, mask: Tensor, context: Context | None) -> Tensor:
        return s

    def step(self, s: Tensor, past: PastSums) -> tuple[Tensor, PastSums]:
        return s, past


def all_real(s: Tensor) -> Tensor:
    """The mask of frames without padding: ``[…, T, d]`` → bool ``[…, T]``."""
    return s.new_ones(s.shape[:-1], dtype=torch.bool)


def sum_and_count(s: Tensor, mask: Tensor) -> Tensor:
    """The sum of s over time with the count of real frames as last feature: ``[…, T, d]`` → ``[…, d + 1]``."""
    return torch.cat([s.sum(-2, dtype=sum_dtype(s)), mask.sum(-1, keepdim=True).to(sum_dtype(s))], -1)


def with_count(s: Tensor, mask: Tensor) -> Tensor:
    """s with a last feature of 1 in real frames, whose weighted sum divides that of s: ``[…, T, d + 1]``."""
    return torch.cat([s.to(sum_dtype(s)), mask[..., None].to(sum_dtype(s))], -1)


def mean(sums: Tensor) -> Tensor:
    """Means from sums whose last feature is the count; a count below one belongs to padding."""
    return sums[..., :-1] / sums[..., -1:].clamp(min=1)
