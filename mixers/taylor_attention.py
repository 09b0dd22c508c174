"""Taylor attention: the first terms of softmax's exponential, with relative positions, at linear cost."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .base import Context, check_even
from .chunks import PastSums, empty_past, first_frames
from .feature_map_attention import FeatureMapAttention
from .positions import rotate


def taylor(x: Tensor) -> Tensor:
    """Features whose scalar products are 1 + s + s^2 / 2, s that of x: ``[…, f]`` → ``[…, 1 + f + f^2]``."""
    squares = (x[..., :, None] * x[..., None, :]).flatten(-2) * 2**-0.5
    return torch.cat([torch.ones_like(x[..., :1]), x, squares], -1)


class TaylorState(NamedTuple):
    """``chunks`` and ``running``: the sums of ``FeatureMapAttention``, as in ``mixers.chunks.PastSums``.

    ``frames`` ``[B]``, int64: the number of past frames.
    """

    chunks: Tensor
    running: Tensor
    frames: Tensor


class TaylorAttention(FeatureMapAttention):
    """Attention whose exponential is its Taylor series to the second term, with rotary positions.

        y_t = sum_u e(s_tu) v_u / sum_u e(s_tu),   e(s) = 1 + s + s^2 / 2,   s_tu = R_t q_t . R_u k_u / sqrt(f),   over
        u <= t in a head of the past,   u >= t in one of the future,   all u in one of the whole

    e(s) is the scalar product of [1, a, a (x) a / sqrt(2)] of both sides, so that keys and values are summed first
    (Based, https://arxiv.org/abs/2402.18668), and it is nowhere below 1/2. Its square tells a key that
    meets two conditions from those that meet either, as softmax does and a product of positive features does not.
    R_t are the rotary positions (https://arxiv.org/abs/2104.09864): scores hang on the distance t - u.

    head_size: f, of queries, keys and values. A head's sums are f^2 + f + 1 by f + 1: small heads cost less.
    directions: of the heads, in turn.
    Raises ValueError for an odd head size, or one that does not divide d_model, and for an unknown direction.
    """

    paper = "2402.18668"
    year = 2024

    def __init__(
        self,
        d_model: int,
        *,
        head_size: int = 8,
        directions: Sequence[str] = ("past", "future", "whole", "whole"),
    ):
        check_even("TaylorAttention", "head size", head_size)
        if head_size < 1 or d_model % head_size:
            raise ValueError(f"TaylorAttention: head_size {head_size} must divide d_model {d_model}")
        super().__init__(d_model, heads=d_model // head_size, feature_map=taylor, directions=directions)
        self.head_size = head_size

    def project(self, x, past_frames: Tensor | None = None):
        """past_frames: the number of frames ``[B]`` before a stream's ``[B, T, d_model]``; None for chunks
        ``[B, C, chunk, d_model]`` of whole utterances.
        """
        start = first_frames(x) if past_frames is None else past_frames
        q, k, v = self.split_projection(x)
        scale = self.head_size**-0.25
        q, k = (self.feature_map(rotate(part * scale, start[..., None, None])) for part in (q, k))
        return q, k, v

    def sum_shape(self):
        heads, _, columns = super().sum_shape()
        return heads, 1 + self.head_size + self.head_size**2, columns

    def init_state(self, batch: int, context: Context):
        like = self.out.weight
        past = empty_past(like, batch, context, *self.sum_shape())
        return TaylorState(*past, like.new_zeros(batch, dtype=torch.int64))

    def step(self, x, state):
        q, k, v = self.project(x, state.frames)
        y, past = self.advance(q, k, v, PastSums(state.chunks, state.running))
        return y, TaylorState(*past, state.frames + x.shape[1])
