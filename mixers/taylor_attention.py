"""Taylor attention: the first terms of softmax's exponential, with relative positions, at linear cost."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .base import Context, check_even
from .chunks import PastSums, empty_past, first_frames
from .directions import Kernel
from .feature_map_attention import FeatureMapAttention, Sums, weigh
from .positions import rotate


def series(s: Tensor) -> Tensor:
    """1 + s + s^2 / 2, the first terms of exp(s), by a single tensor that backward needs."""
    return ((1 + s).square() + 1) / 2


def taylor(x: Tensor) -> Tensor:
    """Features whose scalar products are ``series`` of those of x: ``[…, f]`` → ``[…, taylor_size(f)]``.

    Of a pair of numbers there is one product, x_i x_j, i < j, which counts for both orders.
    """
    first, second = torch.triu_indices(x.shape[-1], x.shape[-1], device=x.device)
    # Picked by products with ones and zeros: the gradient of an index is many times slower.
    choose = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    weights = ((1 + (first != second)).to(x.dtype) / 2).sqrt()
    return torch.cat([torch.ones_like(x[..., :1]), x, (x @ (choose[first].T * weights)) * (x @ choose[second].T)], -1)


def taylor_size(f: int) -> int:
    """How many features ``taylor`` makes of f numbers."""
    return 1 + f + f * (f + 1) // 2


KERNEL = Kernel(series, taylor)


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
    Near frames on one side are scored by e itself, which is cheaper than by its features.

    head_size: f, of queries, keys and values. A head's sums are about f^2 / 2 by f: small heads cost less.
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
        q, k = (rotate(part * scale, start[..., None, None]) for part in (q, k))
        return q, k, v

    def kv_sums(self, k, v, weights):
        return super().kv_sums(self.feature_map(k), v, weights)

    def read(self, q, kv_sums, weights):
        return super().read(self.feature_map(q), kv_sums, weights)

    def read_near(self, products, q, k, v, weights):
        # The weights are of the values: a key of zeros has a score too.
        values = weigh(torch.cat([v, torch.ones_like(v[..., :1])], -1), weights)
        sums = products(q, k, values, kernel=KERNEL)
        return [Sums(sums[..., :-1], sums[..., -1:])]

    def sum_shape(self):
        heads, _, columns = super().sum_shape()
        return heads, taylor_size(self.head_size), columns

    def init_state(self, batch: int, context: Context):
        like = self.out.weight
        past = empty_past(like, batch, context, *self.sum_shape())
        return TaylorState(*past, like.new_zeros(batch, dtype=torch.int64))

    def step(self, x, state):
        q, k, v = self.project(x, state.frames)
        y, past = self.advance(q, k, v, PastSums(state.chunks, state.running))
        return y, TaylorState(*past, state.frames + x.shape[1])
