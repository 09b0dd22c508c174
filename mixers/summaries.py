"""What SummaryMixing lets a frame hear of the others: a mean, a fading mean, or nothing.

All take s in chunks, ``[B, C, chunk, d]`` with zeros in padded frames, and give m ``[B, C, chunk, d]``, or
``[B, C, 1, d]`` where all frames of a chunk hear the same. ``step`` is the same for the next chunk of a
stream, without C. ``numbers(d)`` says how many numbers one chunk's total holds.
"""

import torch
from torch import Tensor

from mixers.base import Context, sum_dtype
from mixers.chunks import Past, append, fading_sum, fading_weights, heard, sum_before


class Mean:
    """m = mean of s over the real frames in sight. A total is a chunk's sum of s, and its count of frames."""

    def numbers(self, size: int) -> int:
        return size + 1

    def over(self, s: Tensor, real: Tensor, context: Context | None) -> Tensor:
        totals = total(s, real)
        if context is not None:
            totals = totals + sum_before(totals, context.left_chunks)
        return ratio(totals).to(s.dtype)[:, :, None]

    def step(self, s: Tensor, past: Past) -> tuple[Tensor, Past]:
        now = total(s, all_real(s))
        return ratio(heard(past) + now).to(s.dtype)[:, None], append(past, now)


class FadingMean:
    """m_t = sum_u decay^|t-u| s_u / sum_u decay^|t-u| over the real frames in sight, in linear time.

    A total is a chunk's sum as its last frame hears it: frame u counts decay^(last - u).
    """

    def __init__(self, decay: float):
        self.decay = decay

    def numbers(self, size: int) -> int:
        return size + 1

    def over(self, s: Tensor, real: Tensor, context: Context | None) -> Tensor:
        chunk = s.shape[2]
        with torch.autocast(s.device.type, enabled=False):
            frames = counted(s, real)
            sums = self.inside(frames.flatten(0, 1)).view_as(frames)
            if context is not None:
                past = sum_before(self.total(frames), context.left_chunks, self.decay**chunk)
                sums = sums + self.from_past(past, chunk)
            return ratio(sums).to(s.dtype)

    def step(self, s: Tensor, past: Past) -> tuple[Tensor, Past]:
        chunk = s.shape[1]
        with torch.autocast(s.device.type, enabled=False):
            frames = counted(s, all_real(s))
            sums = self.inside(frames) + self.from_past(heard(past), chunk)
            return ratio(sums).to(s.dtype), append(past, self.total(frames), self.decay**chunk)

    def inside(self, frames: Tensor) -> Tensor:
        """What each of ``[B, T, d]`` hears of all: from its left, from its right, and once itself."""
        right = fading_sum(frames.flip(1), self.decay).flip(1)
        return fading_sum(frames, self.decay) + right - frames

    def total(self, frames: Tensor) -> Tensor:
        """``[…, chunk, d]`` → ``[…, d]``."""
        return fading_weights(frames.shape[-2], self.decay, frames).flip(0) @ frames

    def from_past(self, past: Tensor, chunk: int) -> Tensor:
        """What a chunk's frames hear of what the last frame before them heard: ``[…, d]`` → ``[…, chunk, d]``."""
        weights = self.decay * fading_weights(chunk, self.decay, past)
        return weights[:, None] * past[..., None, :]


class Itself:
    """m_t = s_t: nothing crosses frames."""

    def numbers(self, size: int) -> int:
        return 0

    def over(self, s: Tensor, real: Tensor, context: Context | None) -> Tensor:
        return s

    def step(self, s: Tensor, past: Past) -> tuple[Tensor, Past]:
        return s, past


def all_real(s: Tensor) -> Tensor:
    return s.new_ones(s.shape[:-1], dtype=torch.bool)


def total(s: Tensor, real: Tensor) -> Tensor:
    """The sum of s over time with, as one more feature, the count of frames: ``[…, d + 1]``."""
    return torch.cat([s.sum(-2, dtype=sum_dtype(s)), real.sum(-1, keepdim=True).to(sum_dtype(s))], -1)


def counted(s: Tensor, real: Tensor) -> Tensor:
    """s with one more feature, 1 in real frames, whose sum is the weight of any sum of s."""
    return torch.cat([s.to(sum_dtype(s)), real[..., None].to(sum_dtype(s))], -1)


def ratio(sums: Tensor) -> Tensor:
    """Means from sums whose last feature is the weight; a weight below that of one frame is padding's."""
    return sums[..., :-1] / sums[..., -1:].clamp(min=1)
