"""Attention whose scores are products of positive features, so that keys and values can be summed first."""

from collections.abc import Callable, Sequence
from functools import partial
from math import pi, prod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, sigmoid, softmax

from .base import Mixer, check_heads, check_option, sum_dtype
from .chunks import (
    PastSums,
    append,
    checkpointed,
    empty_past,
    from_chunks,
    left_sums,
    masked_chunks,
    sums_kept,
    visible_sum,
)
from .directions import DIRECTIONS, future_products, past_products, share_out
from .products import apply_sums, product_dtype, sum_products

FeatureMap = Callable[[Tensor], Tensor]


def elu_plus_one(x: Tensor) -> Tensor:
    """elu(x) + 1, without the digits that exp(x) - 1 + 1 would lose."""
    return relu(x) + x.clamp(max=0).exp()


FEATURE_MAPS: dict[str, FeatureMap] = {
    "softmax": partial(softmax, dim=-1),
    "sigmoid": sigmoid,
    "relu": relu,
    "elu": elu_plus_one,
}


class Sums(NamedTuple):
    """The sum of values times their scores, ``[…, T, d]``, and the sum of the scores, ``[…, T, 1]``.

    Both in the dtype of sums.
    """

    values: Tensor
    scores: Tensor

    def plus(self, other: "Sums") -> "Sums":
        return Sums(self.values + other.values, self.scores + other.scores)


class FeatureMapAttention(Mixer):
    """The base class of linear attention, cosFormer, XNOR and their relatives.

    It computes (phi(q) phi(k)^T) v as phi(q) (phi(k)^T v), so keys and values are summed over time first. A subclass
    changes the sums (``kv_sums``, ``read``) or, for an equation of several terms, ``feature_pairs`` and ``combine``.

    weights: each frame has weights w_1, w_2, …, and every feature a of its key becomes [w_1 a ; w_2 a ; …]. In general
    there is one weight, 1 for a real frame and 0 for padding. With ``cosine`` there are two, the sine and the cosine of
    the frame's place in its utterance, and queries are weighted alike.
    directions: what each head sees, assigned to the heads in turn: ``past`` (u <= t), ``future`` (u >= t, under a
    context up to the end of the chunk) or ``whole``. The equation stays the same, with its sums over these frames.
    Raises ValueError for heads that do not divide d_model, an unknown feature map or an unknown direction.
    """

    cosine = False

    def __init__(
        self, d_model: int, *, heads: int, feature_map: str | FeatureMap, directions: Sequence[str] = ("whole",)
    ):
        super().__init__()
        check_heads(type(self).__name__, heads, d_model=d_model)
        if not callable(feature_map):
            check_option(type(self).__name__, "feature_map", feature_map, tuple(FEATURE_MAPS))
            feature_map = FEATURE_MAPS[feature_map]
        self.heads = heads
        self.shares = share_out(type(self).__name__, directions, heads)
        self.feature_map = feature_map
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """phi(q), phi(k) and v of x ``[…, T, d_model]``, each ``[…, heads, T, d_model / heads]``."""
        q, k, v = self.split_projection(x)
        return self.feature_map(q), self.feature_map(k), v

    def split_projection(self, x: Tensor) -> tuple[Tensor, ...]:
        """q, k and v of x, before the feature map."""
        return tuple(part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in self.qkv(x).chunk(3, -1))

    def kv_sums(self, k: Tensor, v: Tensor, weights: Tensor) -> Tensor:
        """The sums over time that a query needs: ``[…, heads, rows, d_model / heads + 1]``.

        k, v: ``[…, heads, T, d_model / heads]``; weights: ``[…, T, w]``.
        """
        return product_sums(weigh(k, weights), v)

    def read(self, q: Tensor, kv_sums: Tensor, weights: Tensor) -> list[Sums]:
        """What queries ``[…, heads, T, d_model / heads]`` find in ``kv_sums``, for each term of the equation."""
        return [read_sums(weigh(q, weights) if self.cosine else q, kv_sums)]

    def feature_pairs(self, q: Tensor, k: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The features of queries and keys whose products are the scores, for each term of the equation."""
        return [(q, k)]

    def combine(self, means: list[Tensor], weights: Tensor) -> Tensor:
        """The mixed values ``[…, heads, T, d_model / heads]``, of the mean of each term."""
        return means[0]

    def mix(self, direction: str, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, sums: Tensor | None) -> Tensor:
        """The mixed values of heads of one direction: ``[…, heads, T, d_model / heads]``.

        sums: what all frames of a chunk see alike, in the form of ``kv_sums``: the sums over past chunks, and for
        ``whole`` over this chunk too.
        """
        far = None if sums is None else self.read(q, sums, weights)
        terms = far if direction == "whole" else self.read_one_side(direction, q, k, v, weights, far)
        return self.combine([weighted_mean(term).to(product_dtype(q)) for term in terms or ()], weights)

    def read_one_side(
        self, direction: str, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, far: list[Sums] | None
    ) -> list[Sums]:
        """``read`` for queries that see one side only: frames of their chunk, and ``far``, read from past chunks."""
        products = past_products if direction == "past" else future_products
        terms = self.read_near(products, q, k, v, weights)
        return terms if far is None else [near.plus(further) for near, further in zip(terms, far, strict=True)]

    def read_near(self, products: Callable, q: Tensor, k: Tensor, v: Tensor, weights: Tensor) -> list[Sums]:
        """``read_one_side`` within the chunk. products: ``past_products`` or ``future_products``, for the side."""
        values = torch.cat([v, torch.ones_like(v[..., :1])], -1)
        terms = []
        for q_features, k_features in self.feature_pairs(q, k):
            q_weighted = weigh(q_features, weights) if self.cosine else q_features
            sums = products(q_weighted, weigh(k_features, weights), values)
            terms.append(Sums(sums[..., :-1], sums[..., -1:]))
        return terms

    def mix_chunks(
        self, direction: str, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, left_chunks: int | None
    ) -> Tensor:
        """``mix`` for every chunk and its left chunks: ``[B, C, …]``."""
        sums = None
        if direction != "future":
            kv_sums = self.kv_sums(k, v, weights)
            sums = left_sums(kv_sums, left_chunks) + (kv_sums if direction == "whole" else 0)
        return self.mix(direction, q, k, v, weights, sums)

    def split_heads(self, q: Tensor, k: Tensor, v: Tensor) -> list[tuple[str, Tensor, Tensor, Tensor]]:
        """Each direction that has heads, and these heads' part of q, k and v ``[…, heads, T, d_model / heads]``."""
        parts = zip(DIRECTIONS, *(part.split(self.shares, -3) for part in (q, k, v)), strict=True)
        return [part for part in parts if part[1].shape[-3]]

    def join_heads(self, y: Tensor) -> Tensor:
        """``[…, heads, T, d_model / heads]`` → ``[…, T, d_model]``, projected."""
        return self.out(y.transpose(-2, -3).flatten(-2))

    def forward(self, x, mask=None, context=None):
        if context is not None:
            self.check_streaming()
        chunks, chunk_mask = masked_chunks(x, mask, context)
        q, k, v = self.project(chunks)
        real = chunk_mask.to(sum_dtype(x))
        weights = cosine_weights(real) if self.cosine else real[..., None]
        if context is None:
            mixed = []
            for direction, *heads in self.split_heads(q, k, v):
                sums = self.kv_sums(heads[1], heads[2], weights) if direction == "whole" else None
                mixed.append(self.mix(direction, heads[0], heads[1], heads[2], weights, sums))
        else:
            # There is a matrix for every chunk, so heads run one after the other to save memory.
            mixed = [
                checkpointed(self.mix_chunks, direction, *head, weights, context.left_chunks)
                for direction, *heads in self.split_heads(q, k, v)
                for head in zip(*(part.split(1, -3) for part in heads), strict=True)
            ]
        # torch.cat copies, a single tensor too.
        return from_chunks(self.join_heads(torch.cat(mixed, -3) if len(mixed) > 1 else mixed[0]), x.shape[1])

    def sum_shape(self) -> tuple[int, int, int]:
        """The shape of a stream's ``kv_sums``: heads that look back, rows, columns."""
        head_size = self.out.in_features // self.heads
        return self.shares.past + self.shares.whole, head_size, head_size + 1

    def init_state(self, batch, context):
        self.check_streaming()
        return empty_past(self.out.weight, batch, context, *self.sum_shape())

    def step(self, x, state):
        self.check_streaming()
        q, k, v = self.project(x)
        return self.advance(q, k, v, state)

    def advance(self, q: Tensor, k: Tensor, v: Tensor, state: PastSums) -> tuple[Tensor, PastSums]:
        """``step`` for what ``project`` gives of the next frames."""
        weights = v.new_ones(v.shape[0], v.shape[2], 1, dtype=sum_dtype(v))
        look_back = self.shares.past + self.shares.whole
        kv_sums, past = self.kv_sums(k[:, :look_back], v[:, :look_back], weights), visible_sum(state)
        sums = {"past": past[:, : self.shares.past], "whole": (past + kv_sums)[:, self.shares.past :]}
        mixed = [
            self.mix(direction, heads[0], heads[1], heads[2], weights, sums.get(direction))
            for direction, *heads in self.split_heads(q, k, v)
        ]
        return self.join_heads(torch.cat(mixed, -3)), append(state, kv_sums)

    def state_size(self, frames, context=None):
        self.check_streaming()
        return sums_kept(context) * prod(self.sum_shape())


def cosine_weights(real: Tensor) -> Tensor:
    """sin and cos of pi t / 2T, t = 1 … T, T the row's own length: ``[…, T]`` → ``[…, T, 2]``, zero in padding.

    real: 1 in real frames, 0 in padding. A product of two weighted features then counts cos(pi (t - u) / 2T):
    near frames more than far frames.
    """
    angles = real.cumsum(-1) * (pi / 2) / real.sum(-1, keepdim=True).clamp(min=1)
    return torch.stack([angles.sin(), angles.cos()], -1) * real[..., None]


def weigh(features: Tensor, weights: Tensor) -> Tensor:
    """``[…, heads, T, f]`` by ``[…, T, w]`` → ``[…, heads, T, w * f]``."""
    return (features[..., None, :] * weights[..., None, :, :, None].to(features.dtype)).flatten(-2)


def product_sums(k: Tensor, v: Tensor) -> Tensor:
    """Sums over time of k v^T and, as the last column, of k, in the dtype of sums.

    k: ``[…, T, f]``; v: ``[…, T, d]``; returns ``[…, f, d + 1]``.
    """
    return torch.cat([sum_products(k, v), k.sum(-2, dtype=sum_dtype(v))[..., None]], -1)


def read_sums(q: Tensor, kv_sums: Tensor) -> Sums:
    """q ``[…, T, f]`` by sums over time ``[…, f, d + 1]``, the last column of which is that of the keys."""
    return Sums(*(apply_sums(q, part) for part in kv_sums.split([kv_sums.shape[-1] - 1, 1], -1)))


def weighted_mean(sums: Sums) -> Tensor:
    """The mean of values ``[…, T, d]``."""
    smallest = torch.finfo(sums.scores.dtype).eps
    # A query whose scores are all zero gets zeros and no gradient. A division by their sum would give infinity.
    share = sums.scores.clamp(min=smallest).reciprocal().where(sums.scores > smallest, 0.0)
    return sums.values * share
