"""Rotary linear attention: linear attention with relative positions, and heads that look in several directions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import check_even, sum_dtype
from .chunks import PastSums, first_frames
from .feature_map_attention import FeatureMapAttention, Sums, weigh
from .positions import rotate
from .products import apply_sums, sum_products


class RotaryLinearAttention(FeatureMapAttention):
    """Linear attention with rotary positions (RoFormer, https://arxiv.org/abs/2104.09864, equation 19).

        y_t = sum_u (R_t phi(q_t))^T (R_u phi(k_u)) v_u / sum_u phi(q_t)^T phi(k_u),   over
        u <= t in a head of the past,   u >= t in one of the future,   all u in one of the whole

    R_t turns each pair of features by its frequency times t, so that the scores hang on the distance t - u, as those
    of attention with rotary positions do. The divisor keeps the plain features, whose products are positive, as in the
    paper. It does not bound y by the values: where features are peaked (inputs ten times their usual scale) and few
    frames are seen, the plain products may be far smaller than the turned ones.
    A stream keeps keys that are turned as seen from its next frame; no number grows with the time that has passed.

    directions: assigned to the heads in turn. heads: the product is taken per head.
    feature_map: phi, ``softmax`` over the head's features, ``elu`` (+ 1), ``sigmoid`` or ``relu``.
    Raises ValueError for heads that do not divide d_model, an odd head size, an unknown feature map or direction.
    """

    paper = "2104.09864"
    year = 2021

    def __init__(
        self,
        d_model: int,
        *,
        heads: int = 4,
        feature_map: str = "softmax",
        directions: Sequence[str] = ("past", "future", "whole", "whole"),
    ):
        super().__init__(d_model, heads=heads, feature_map=feature_map, directions=directions)
        check_even("RotaryLinearAttention", "head size", d_model // heads)

    # From here on q and k are ``[…, T, 2 f]``: the features turned, then the same features plain.

    def project(self, x):
        """x: chunks ``[B, C, chunk, d_model]``, or a stream's next frames ``[B, T, d_model]``, which count from 0."""
        q, k, v = super().project(x)
        start = first_frames(x)[:, None, None] if x.dim() == 4 else 0
        q, k = (torch.cat([rotate(features, start), features], -1) for features in (q, k))
        return q, k, v

    def kv_sums(self, k, v, weights):
        turned, plain = (weigh(features, weights) for features in k.chunk(2, -1))
        return torch.cat([sum_products(turned, v), plain.sum(-2, dtype=sum_dtype(v))[..., None]], -1)

    def read(self, q, kv_sums, weights):
        turned, plain = q.chunk(2, -1)
        return [Sums(apply_sums(turned, kv_sums[..., :-1]), apply_sums(plain, kv_sums[..., -1:]))]

    def read_near(self, products, q, k, v, weights):
        turned_q, plain_q = q.chunk(2, -1)
        turned_k, plain_k = (weigh(features, weights) for features in k.chunk(2, -1))
        ones = torch.ones_like(v[..., :1])
        return [Sums(products(turned_q, turned_k, v), products(plain_q, plain_k, ones))]

    def step(self, x, state):
        y, state = super().step(x, state)
        return y, PastSums(*(self.turn_back(sums, x.shape[1]) for sums in state))

    def turn_back(self, sums: Tensor, frames: int) -> Tensor:
        """The sums ``[…, f, d + 1]`` as seen from so many frames later."""
        rows = sums[..., :-1].transpose(-1, -2).contiguous()  # of features
        turned = rotate(rows[..., None, :], -frames).squeeze(-2).transpose(-1, -2)
        return torch.cat([turned, sums[..., -1:]], -1)
