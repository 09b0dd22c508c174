"""Sums over the frames that a frame may see: for whole utterances at once, and chunk by chunk in a stream.

Every linear mixer that can stream sees the past through sums over frames. The sum over all visible frames is
a sum of per-chunk sums, so these helpers need nothing but the chunk sums ``[B, C, …]``.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from .base import Context, sum_dtype, zero_padding


def to_chunks(x: Tensor, chunk: int) -> Tensor:
    """``[B, T, …]`` → ``[B, ceil(T / chunk), chunk, …]``, zeros after the end."""
    missing = -x.shape[1] % chunk
    if missing:
        x = torch.cat([x, x.new_zeros(x.shape[0], missing, *x.shape[2:])], dim=1)
    return x.unflatten(1, (-1, chunk))


def from_chunks(x: Tensor, frames: int) -> Tensor:
    """``[B, C, chunk, …]`` → ``[B, frames, …]``: the inverse of ``to_chunks``."""
    return x.flatten(1, 2)[:, :frames]


def masked_chunks(x: Tensor, mask: Tensor | None, context: Context | None) -> tuple[Tensor, Tensor]:
    """x ``[B, C, chunk, d_model]`` with zeros in its padding, and the mask, bool ``[B, C, chunk]``.

    Without a context the utterance is a single chunk.
    """
    chunk = x.shape[1] if context is None else context.chunk
    all_real = x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
    return to_chunks(zero_padding(x, mask), chunk), to_chunks(all_real, chunk)


def first_frames(chunks: Tensor) -> Tensor:
    """The number of each chunk's first frame, int64 ``[C]``, of ``[B, C, chunk, …]``."""
    return torch.arange(chunks.shape[1], device=chunks.device) * chunks.shape[2]


def with_left_chunks(x: Tensor, context: Context) -> Tensor:
    """Every chunk with its left chunks before it, zeros before the first frame.

    ``[B, T, …]`` → ``[B, ceil(T / chunk), (left_chunks + 1) * chunk, …]``, for a context with a bound.
    """
    assert context.left_chunks is not None
    x = to_chunks(x, context.chunk).flatten(1, 2)
    before = x.new_zeros(x.shape[0], context.left_chunks * context.chunk, *x.shape[2:])
    size = before.shape[1] + context.chunk
    return torch.cat([before, x], 1).unfold(1, size, context.chunk).movedim(-1, 2)


def left_sums(chunk_sums: Tensor, left_chunks: int | None, decay: float = 1.0) -> Tensor:
    """The sum over the ``left_chunks`` chunks before each chunk (None: over all before it).

    chunk_sums: ``[B, C, …]``. With a ``decay`` each chunk is weighted by decay^n, where n chunks stand between
    the two. A bounded sum adds up its own window: as the difference of two running sums it would lose precision
    over an hour of audio.
    """
    ends = (0, 0) * (chunk_sums.dim() - 2)
    if left_chunks is None:
        earlier = pad(chunk_sums, (*ends, 1, 0))[:, :-1]
        return earlier.cumsum(1) if decay == 1.0 else decayed_sum(earlier, decay)
    if left_chunks == 0:
        return torch.zeros_like(chunk_sums)
    left_chunks = min(left_chunks, chunk_sums.shape[1])  # there is nothing further to the left
    window = pad(chunk_sums, (*ends, left_chunks, 0))[:, :-1].unfold(1, left_chunks, 1)
    if decay == 1.0:
        return window.sum(-1)
    return window @ decay_powers(left_chunks, decay, chunk_sums).flip(0)


BLOCK = 64  # frames whose decayed sum is taken as a matrix product


def decay_powers(size: int, decay: float, like: Tensor) -> Tensor:
    """decay^0, decay^1, …, ``[size]``, rounded once to the dtype of ``like``."""
    exponents = torch.arange(size, dtype=torch.float64, device=like.device)
    return (decay**exponents).to(like.dtype)


def decayed_sum(x: Tensor, decay: float) -> Tensor:
    """y_t = sum over u <= t of decay^(t - u) x_u, in linear time; x, y: ``[B, T, …]``, 0 <= decay <= 1.

    Inside a block of BLOCK frames it is a matrix product. What a block gets from earlier blocks is again a decayed
    sum, over the last values of these blocks and with decay^BLOCK, so the function calls itself. A few levels of
    recursion cover hours, and no factor exceeds one.
    """
    frames, flat = x.shape[1], x.flatten(2)
    size = min(frames, BLOCK)
    powers = decay_powers(size, decay, x)
    place = torch.arange(size, device=x.device)
    inside = powers[(place[:, None] - place).clamp(min=0)].tril() @ to_chunks(flat, size)
    if frames > size:
        carried = left_sums(inside[:, :, -1], None, decay**size)
        inside = inside + (powers * decay)[:, None] * carried[:, :, None]
    return from_chunks(inside, frames).reshape(x.shape)


class PastSums(NamedTuple):
    """The streaming state of a mixer that sees the past through chunk sums.

    With a bounded left context it keeps the sum of each chunk, oldest first, in ``chunks``
    ``[B, left_chunks, …]``; without a bound their total in ``running`` ``[B, 1, …]``. The unused tensor is empty.
    """

    chunks: Tensor
    running: Tensor


def empty_past(like: Tensor, batch: int, context: Context, *shape: int) -> PastSums:
    """The state of ``batch`` streams at their first frame, for sums of ``shape`` on the device of ``like``."""
    zeros = like.new_zeros(batch, sums_kept(context), *shape, dtype=sum_dtype(like))
    return PastSums(zeros[:, :0], zeros) if context.left_chunks is None else PastSums(zeros, zeros[:, :0])


def visible_sum(past: PastSums) -> Tensor:
    """The sum over all past frames that the next chunk sees: ``[B, …]``."""
    return past.chunks.sum(1) + past.running.sum(1)


def append(past: PastSums, chunk_sum: Tensor, decay: float | Tensor = 1.0) -> PastSums:
    """The state after a chunk with the sum ``chunk_sum`` ``[B, …]``; older sums are multiplied by ``decay``."""
    chunk_sum = chunk_sum[:, None]
    if past.running.shape[1]:
        return past._replace(running=past.running * decay + chunk_sum)
    return past._replace(chunks=torch.cat([past.chunks * decay, chunk_sum], 1)[:, 1:])


def sums_kept(context: Context | None) -> int:
    """How many sums ``PastSums`` holds."""
    return 1 if context is None or context.left_chunks is None else context.left_chunks


def checkpointed(function: Callable, *arguments):
    """``function(*arguments)``, which keeps only its arguments and computes intermediate tensors again for backward.

    Worth its time where these tensors are many times the size of the frames: a matrix for every chunk, or a state
    for every frame.
    """
    if not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
