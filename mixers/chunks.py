"""Sums over the chunks that a frame may see: for whole utterances at once, and chunk by chunk in a stream.

Every linear mixer that can stream hears the past through sums over frames. A sum over all visible
frames is a sum of per-chunk totals, so the totals are all that these helpers know.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from mixers.base import Context, sum_dtype, zero_padding


def to_chunks(x: Tensor, chunk: int) -> Tensor:
    """``[B, T, …]`` → ``[B, ceil(T / chunk), chunk, …]``, zeros after the end."""
    missing = -x.shape[1] % chunk
    if missing:
        x = torch.cat([x, x.new_zeros(x.shape[0], missing, *x.shape[2:])], dim=1)
    return x.unflatten(1, (-1, chunk))


def from_chunks(x: Tensor, frames: int) -> Tensor:
    """``[B, C, chunk, …]`` → ``[B, frames, …]``: ``to_chunks`` undone."""
    return x.flatten(1, 2)[:, :frames]


def in_chunks(x: Tensor, mask: Tensor | None, context: Context | None) -> tuple[Tensor, Tensor]:
    """x with zeros in its padding ``[B, C, chunk, d_model]``, and which frames are real, bool ``[B, C, chunk]``.

    Without a context the utterance is one chunk.
    """
    chunk = x.shape[1] if context is None else context.chunk
    real = x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
    return to_chunks(zero_padding(x, mask), chunk), to_chunks(real, chunk)


def sum_before(totals: Tensor, left_chunks: int | None, fade: float = 1.0) -> Tensor:
    """For each chunk the sum of the ``left_chunks`` totals before it (None: of all before it).

    totals: ``[B, C, …]``; with a ``fade`` a total counts fade^n when n chunks stand between. Bounded
    sums are taken window by window: a difference of running totals would lose the digits that an hour
    of audio needs.
    """
    ends = (0, 0) * (totals.dim() - 2)
    if left_chunks is None:
        earlier = pad(totals, (*ends, 1, 0))[:, :-1]
        return earlier.cumsum(1) if fade == 1.0 else fading_sum(earlier, fade)
    if left_chunks == 0:
        return torch.zeros_like(totals)
    left_chunks = min(left_chunks, totals.shape[1])  # there is nothing further to the left
    seen = pad(totals, (*ends, left_chunks, 0))[:, :-1].unfold(1, left_chunks, 1)
    if fade == 1.0:
        return seen.sum(-1)
    return seen @ fading_weights(left_chunks, fade, totals).flip(0)


BLOCK = 64


def fading_weights(size: int, fade: float, like: Tensor) -> Tensor:
    """fade^0, fade^1, …, ``[size]``, as exact as the dtype of ``like`` can say them."""
    exponents = torch.arange(size, dtype=torch.float64, device=like.device)
    return (fade**exponents).to(like.dtype)


def fading_sum(x: Tensor, fade: float) -> Tensor:
    """y_t = sum over u <= t of fade^(t - u) x_u, in linear time; x, y: ``[B, T, …]``, 0 <= fade <= 1.

    Exact products inside blocks. What a block hears from before it is the same sum over the blocks'
    last values, fading by fade^BLOCK: a few levels span hours, and no factor is above one.
    """
    frames, flat = x.shape[1], x.flatten(2)
    size = min(frames, BLOCK)
    weights = fading_weights(size, fade, x)
    place = torch.arange(size, device=x.device)
    inside = weights[(place[:, None] - place).clamp(min=0)].tril() @ to_chunks(flat, size)
    if frames > size:
        carried = sum_before(inside[:, :, -1], None, fade**size)
        inside = inside + (weights * fade)[:, None] * carried[:, :, None]
    return from_chunks(inside, frames).reshape(x.shape)


class Past(NamedTuple):
    """What a stream keeps of the chunks before this one: their totals.

    With a bounded left context one total a chunk, oldest first, in ``chunks`` ``[B, left_chunks, …]``;
    without a bound their sum in ``running`` ``[B, 1, …]``. The one that is not used is empty.
    """

    chunks: Tensor
    running: Tensor


def no_past(like: Tensor, batch: int, context: Context, *shape: int) -> Past:
    """The past of ``batch`` streams at their first frame, for totals of ``shape`` on the device of ``like``."""
    bounded = context.left_chunks is not None
    zeros = like.new_zeros(batch, context.left_chunks if bounded else 1, *shape, dtype=sum_dtype(like))
    return Past(zeros, zeros[:, :0]) if bounded else Past(zeros[:, :0], zeros)


def heard(past: Past) -> Tensor:
    """The sum of all totals that the next chunk hears: ``[B, …]``."""
    return past.chunks.sum(1) + past.running.sum(1)


def append(past: Past, total: Tensor, fade: float = 1.0) -> Past:
    """The past with one more chunk's total ``[B, …]``; what is older has faded by ``fade``."""
    total = total[:, None]
    if past.running.shape[1]:
        return past._replace(running=past.running * fade + total)
    return past._replace(chunks=torch.cat([past.chunks * fade, total], 1)[:, 1:])


def totals_kept(context: Context | None) -> int:
    """How many totals ``Past`` holds."""
    return 1 if context is None or context.left_chunks is None else context.left_chunks


def recomputed(function: Callable, *arguments):
    """``function(*arguments)``, keeping the arguments only: what lies between is computed again for backward.

    For what is many times the size of the frames: matrices of every chunk, states of every frame.
    """
    if not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
