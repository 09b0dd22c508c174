"""Retention: linear attention whose scores decay with distance, at a fixed rate for each head."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from .base import Context, Mixer, check_even, check_heads, sum_dtype
from .chunks import (
    PastSums,
    append,
    checkpointed,
    decay_powers,
    empty_past,
    first_frames,
    from_chunks,
    left_sums,
    masked_chunks,
    sums_kept,
    visible_sum,
)
from .directions import future_products, past_products, share_out
from .norms import rms_norm
from .positions import rotate
from .products import apply_sums, product_dtype, sum_products


class RetentionState(NamedTuple):
    """``chunks`` and ``running``: the sums of k v^T, as in ``mixers.chunks.PastSums``, decayed to the last frame.

    ``frames`` ``[B]``, int64: the number of past frames.
    """

    chunks: Tensor
    running: Tensor
    frames: Tensor


class Retention(Mixer):
    """Retention of RetNet (https://arxiv.org/abs/2307.08621, equations 5 to 8), in both directions of time.

        r_t = sum_u decay^|t - u| (q_t . k_u) v_u,   decay = 1 - 2^(-5 - head),   head = 0, 1, …
        y = out(RMSNorm(r) * SiLU(gate(x)))

    q and k carry rotary positions and, as in RetNet, the norm is by head. The sum over both directions is that of
    LION's fixed decay (https://arxiv.org/abs/2502.16249), without its division by the scores. Under a context a
    frame sees what is to come in its own chunk.

    directions: of the heads, in turn: ``whole``, ``past`` (u <= t) or ``future`` (u >= t).
    Raises ValueError for heads that do not divide d_model, an odd head size or an unknown direction.
    """

    paper = "2307.08621"
    year = 2023

    def __init__(self, d_model: int, *, heads: int = 4, directions: Sequence[str] = ("whole",)):
        super().__init__()
        check_heads("Retention", heads, d_model=d_model)
        check_even("Retention", "head size", d_model // heads)
        self.shares = share_out("Retention", directions, heads)
        self.look_back = self.shares.past + self.shares.whole
        self.heads, self.head_size = heads, d_model // heads
        self.decays = [1 - 2.0 ** (-5 - head) for head in range(heads)]
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.gate = nn.Linear(d_model, d_model)
        self.norm_weight = nn.Parameter(torch.ones(self.head_size))
        self.out = nn.Linear(d_model, d_model)

    def project(self, x: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v ``[…, heads, T, head size]`` of x ``[…, T, d_model]``; starts ``[…]``: their first frames."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in self.qkv(x).chunk(3, -1))
        q, k, start = q.to(sum_dtype(q)), k.to(sum_dtype(k)) * self.head_size**-0.5, starts[..., None, None]
        return rotate(q, start), rotate(k, start), v

    def finish(self, x: Tensor, retained: list[Tensor]) -> Tensor:
        """y of x and what each head retains, ``[…, 1, T, head size]``."""
        normalized = rms_norm(torch.cat(retained, -3), self.norm_weight).transpose(-2, -3).flatten(-2)
        return self.out(normalized.to(product_dtype(x)) * silu(self.gate(x)))

    def near(self, head: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What a head's frames retain of ``[…, T, head size]`` themselves, in the dtype of sums."""
        decay = self.decays[head]
        if head >= self.look_back:
            return future_products(q, k, v, decay)
        past = past_products(q, k, v, decay)
        return past if head < self.shares.past else past + future_products(q, k, v, decay, include_own=False)

    def far(self, head: int, q: Tensor, sums: Tensor) -> Tensor:
        """What they retain of the past, by the sums that the frame before them saw ``[…, head size, head size]``."""
        decay = self.decays[head]
        return apply_sums(q, sums) * (decay * decay_powers(q.shape[-2], decay, sums))[:, None]

    def chunk_sums(self, head: int, k: Tensor, v: Tensor) -> Tensor:
        """The sum of k v^T as the last frame of ``[…, T, head size]`` sees it: ``[…, head size, head size]``."""
        powers = decay_powers(k.shape[-2], self.decays[head], k.new_empty(0, dtype=sum_dtype(k))).flip(0)
        return sum_products(k * powers[:, None], v)

    def mix_chunks(self, head: int, q: Tensor, k: Tensor, v: Tensor, left_chunks: int | None) -> Tensor:
        """Each chunk retains of itself and its left chunks: ``[B, C, 1, chunk, head size]``."""
        near = self.near(head, q, k, v)
        if head >= self.look_back:
            return near
        past = left_sums(self.chunk_sums(head, k, v), left_chunks, self.decays[head] ** q.shape[-2])
        return near + self.far(head, q, past)

    def forward(self, x, mask=None, context=None):
        chunks, _ = masked_chunks(x, mask, context)  # without biases, keys and values of padding are zero
        heads = zip(*(part.split(1, -3) for part in self.project(chunks, first_frames(chunks))), strict=True)
        left_chunks = 0 if context is None else context.left_chunks
        retained = [checkpointed(self.mix_chunks, number, *head, left_chunks) for number, head in enumerate(heads)]
        return from_chunks(self.finish(chunks, retained), x.shape[1])

    def init_state(self, batch: int, context: Context):
        like = self.out.weight
        past = empty_past(like, batch, context, self.look_back, self.head_size, self.head_size)
        return RetentionState(*past, like.new_zeros(batch, dtype=torch.int64))

    def step(self, x, state):
        past, frames = PastSums(state.chunks, state.running), x.shape[1]
        heads = list(zip(*(part.split(1, 1) for part in self.project(x, state.frames)), strict=True))
        retained = [self.near(number, *head) for number, head in enumerate(heads)]
        if self.look_back:
            for number, sums in enumerate(visible_sum(past).split(1, 1)):
                retained[number] = retained[number] + self.far(number, heads[number][0], sums)
            sums = torch.cat(
                [self.chunk_sums(number, *head[1:]) for number, head in enumerate(heads[: self.look_back])], 1
            )
            decays = sums.new_tensor([decay**frames for decay in self.decays[: self.look_back]])[:, None, None]
            past = append(past, sums, decays)
        return self.finish(x, retained), RetentionState(*past, state.frames + frames)

    def state_size(self, frames, context=None):
        return sums_kept(context) * self.look_back * self.head_size**2
