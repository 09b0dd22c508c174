"""Statistics of SummaryMixing that know where frames lie: before, after, near, or at what distance."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .base import Context, sum_dtype
from .chunks import PastSums, append, decayed_sum, empty_past, left_sums, sums_kept, to_chunks, visible_sum
from .directions import DIRECTIONS, Shares
from .summaries import Mean, all_real, mean, sum_and_count, with_count


def running_sum(x: Tensor) -> Tensor:
    """The sums up to every frame of ``[…, T, d]``."""
    return decayed_sum(x.reshape(-1, *x.shape[-2:]), 1.0).view(x.shape)


def sliding_sum(x: Tensor, window: int) -> Tensor:
    """y_t = sum of x over t - window … t + window, of the frames that there are: ``[…, T, d]``, in linear time.

    Time is cut into blocks as wide as a window. Each window is then the end of one block and the start of the next.
    Nothing is subtracted, so no precision is lost however long the time.
    """
    width, frames = 2 * window + 1, x.shape[-2]
    padded = pad(x.reshape(-1, *x.shape[-2:]), (0, 0, window, width + window))
    blocks = to_chunks(padded, width)
    starts = pad(running_sum(blocks)[..., :-1, :], (0, 0, 1, 0)).flatten(1, 2)  # of the frames before, in a block
    ends = running_sum(blocks.flip(-2)).flip(-2).flatten(1, 2)
    return (ends[:, :frames] + starts[:, width : width + frames]).view(x.shape)


class DirectionalMean:
    """Some features are means of the frames so far, some of all visible frames, some of the frame and later ones.

    shares: how many features of each kind. Under a context the future ends with the chunk.
    """

    def __init__(self, shares: Shares):
        self.shares = shares
        self.kept = shares.past + shares.whole

    def over(self, s: Tensor, mask: Tensor, context: Context | None) -> Tensor:
        chunk_sums = sum_and_count(s[..., : self.kept], mask)
        return self.means(s, mask, None if context is None else left_sums(chunk_sums, context.left_chunks))

    def means(self, s: Tensor, mask: Tensor, past: Tensor | None) -> Tensor:
        """m of chunks s ``[…, T, d]``; past: the sum and count of what they see of it, ``[…, kept + 1]``."""
        means = []
        with torch.autocast(s.device.type, enabled=False):
            for direction, part in zip(DIRECTIONS, s.split(self.shares, -1), strict=True):
                if not part.shape[-1]:
                    continue
                frames = with_count(part, mask)
                if direction == "future":
                    sums = running_sum(frames.flip(-2)).flip(-2)
                else:
                    sums = running_sum(frames) if direction == "past" else frames.sum(-2, keepdim=True)
                    if past is not None:
                        start = 0 if direction == "past" else self.shares.past
                        features = past[..., start : start + part.shape[-1]]
                        sums = sums + torch.cat([features, past[..., -1:]], -1)[..., None, :]
                means.append(mean(sums).to(s.dtype).expand(part.shape))
        return torch.cat(means, -1)

    def init_state(self, like: Tensor, batch: int, context: Context, size: int) -> PastSums:
        return empty_past(like, batch, context, self.kept + 1)

    def step(self, s: Tensor, past: PastSums) -> tuple[Tensor, PastSums]:
        real = all_real(s)
        return self.means(s, real, visible_sum(past)), append(past, sum_and_count(s[..., : self.kept], real))

    def state_size(self, context: Context | None, size: int) -> int:
        return sums_kept(context) * (self.kept + 1)


class WindowState(NamedTuple):
    """``past``: of the mean of all; ``frames`` ``[B, frames, d + 1]``: those before the chunk, each with its count."""

    past: PastSums
    frames: Tensor


class WindowedMean:
    """[m ; w_t]: the mean of all visible frames, and that of those at most ``window`` frames away."""

    def __init__(self, window: int):
        self.window, self.mean = window, Mean()

    def frames_kept(self, context: Context | None) -> int:
        """How far the windows of a chunk reach back."""
        if context is None:
            return 0
        return self.window if context.left_chunks is None else min(self.window, context.left_chunks * context.chunk)

    def over(self, s: Tensor, mask: Tensor, context: Context | None) -> Tensor:
        m, kept, chunk = self.mean.over(s, mask, context), self.frames_kept(context), s.shape[2]
        frames = pad(with_count(s, mask).flatten(1, 2), (0, 0, kept, 0))
        return self.with_window(m, frames.unfold(1, kept + chunk, chunk).movedim(-1, 2), chunk)

    def with_window(self, m: Tensor, frames: Tensor, chunk: int) -> Tensor:
        """[m ; w] of the last ``chunk`` of frames ``[…, T, d + 1]``."""
        with torch.autocast(m.device.type, enabled=False):
            w = mean(sliding_sum(frames, self.window)[..., -chunk:, :]).to(m.dtype)
        return torch.cat([m.expand_as(w), w], -1)

    def init_state(self, like: Tensor, batch: int, context: Context, size: int) -> WindowState:
        frames = like.new_zeros(batch, self.frames_kept(context), size + 1, dtype=sum_dtype(like))
        return WindowState(self.mean.init_state(like, batch, context, size), frames)

    def step(self, s: Tensor, state: WindowState) -> tuple[Tensor, WindowState]:
        m, past = self.mean.step(s, state.past)
        kept, chunk = state.frames.shape[1], s.shape[1]
        frames = torch.cat([state.frames, with_count(s, all_real(s))], 1)
        return self.with_window(m, frames, chunk), WindowState(past, frames[:, frames.shape[1] - kept :])

    def state_size(self, context: Context | None, size: int) -> int:
        return self.mean.state_size(context, size) + self.frames_kept(context) * (size + 1)


class RotaryState(NamedTuple):
    """``past``: of the mean; ``frames`` ``[B]``, int64: the number of past frames."""

    past: PastSums
    frames: Tensor


class RotaryMean:
    """m_t = R_t^-1 mean of R_u s_u: the mean in which a frame at the distance u - t is turned by R_(u - t).

    R turns pairs of the first ``features`` features, in periods from 5 to 2,000 frames; the others are a plain mean.
    """

    periods = (5.0, 2000.0)

    def __init__(self, features: int):
        self.features, self.mean = features, Mean()

    def turn(self, s: Tensor, places: Tensor) -> Tensor:
        """R_t s_t of s ``[…, T, d]``; places: the t of each, ``[…, T]``, or -t for the inverse."""
        shortest, longest = self.periods
        steps = torch.arange(self.features // 2, dtype=torch.float64, device=s.device)
        periods = shortest * (longest / shortest) ** (steps / max(len(steps) - 1, 1))
        angles = 2 * math.pi * places[..., None].double() / periods  # in float64: the places of an hour
        sin, cos = angles.sin().to(s.dtype), angles.cos().to(s.dtype)
        even, odd = s[..., 0 : self.features : 2], s[..., 1 : self.features : 2]
        turned = torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)
        return torch.cat([turned, s[..., self.features :]], -1)

    def over(self, s: Tensor, mask: Tensor, context: Context | None) -> Tensor:
        places = torch.arange(mask[0].numel(), device=s.device).view(mask.shape[1:])
        m = self.mean.over(self.turn(s, places), mask, context)
        return self.turn(m.expand_as(s), -places)

    def init_state(self, like: Tensor, batch: int, context: Context, size: int) -> RotaryState:
        return RotaryState(self.mean.init_state(like, batch, context, size), like.new_zeros(batch, dtype=torch.int64))

    def step(self, s: Tensor, state: RotaryState) -> tuple[Tensor, RotaryState]:
        places = state.frames[:, None] + torch.arange(s.shape[1], device=s.device)
        m, past = self.mean.step(self.turn(s, places), state.past)
        return self.turn(m.expand_as(s), -places), RotaryState(past, state.frames + s.shape[1])

    def state_size(self, context: Context | None, size: int) -> int:
        return self.mean.state_size(context, size)
