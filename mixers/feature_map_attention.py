"""Attention whose scores are products of positive features, so that keys and values can be summed first."""

from collections.abc import Callable
from functools import partial
from math import pi, prod

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, sigmoid, softmax

from .base import Mixer, check_heads, check_option, sum_dtype
from .chunks import append, checkpointed, empty_past, from_chunks, left_sums, masked_chunks, sums_kept, visible_sum
from .products import apply_sums, product_dtype, sum_products


def elu_plus_one(x: Tensor) -> Tensor:
    """elu(x) + 1, without the digits that exp(x) - 1 + 1 would lose."""
    return relu(x) + x.clamp(max=0).exp()


FEATURE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": partial(softmax, dim=-1),
    "sigmoid": sigmoid,
    "relu": relu,
    "elu": elu_plus_one,
}


class FeatureMapAttention(Mixer):
    """The common part of linear attention, cosFormer and XNOR: (phi(q) phi(k)^T) v as phi(q) (phi(k)^T v).

    Frames may be weighted: each feature a of frame t becomes [w_1 a ; w_2 a ; …] on both sides. Padded
    frames have weight zero; ``cosine`` weighs by sine and cosine of the frame's place in its utterance.
    Raises ValueError for heads that do not divide d_model or an unknown feature map.
    """

    cosine = False

    def __init__(self, d_model: int, *, heads: int, feature_map: str):
        super().__init__()
        check_heads(type(self).__name__, heads, d_model=d_model)
        check_option(type(self).__name__, "feature_map", feature_map, tuple(FEATURE_MAPS))
        self.heads = heads
        self.feature_map = FEATURE_MAPS[feature_map]
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """phi(q), phi(k) and v of x ``[…, T, d_model]``, each ``[…, heads, T, d_model / heads]``."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in self.qkv(x).chunk(3, -1))
        return self.feature_map(q), self.feature_map(k), v

    def kv_sums(self, k: Tensor, v: Tensor, weights: Tensor) -> Tensor:
        """The sums over time that a query needs: ``[…, heads, rows, d_model / heads + 1]``.

        k, v: ``[…, heads, T, d_model / heads]``; weights: ``[…, T, w]``.
        """
        return product_sums(weigh(k, weights), v)

    def attend(self, q: Tensor, kv_sums: Tensor, weights: Tensor) -> Tensor:
        """The mixed values of queries ``[…, heads, T, d_model / heads]``; the same shape."""
        return weighted_mean(weigh(q, weights) if self.cosine else q, kv_sums)

    def mix_chunks(self, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, left_chunks: int | None) -> Tensor:
        """Each chunk attends to itself and its left chunks: ``[B, C, …]``."""
        kv_sums = self.kv_sums(k, v, weights)
        return self.attend(q, kv_sums + left_sums(kv_sums, left_chunks), weights)

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
            y = self.attend(q, self.kv_sums(k, v, weights), weights)
        else:
            # There is a matrix for every chunk, so heads run one after the other to save memory.
            heads = zip(*(part.split(1, -3) for part in (q, k, v)), strict=True)
            y = torch.cat([checkpointed(self.mix_chunks, *head, weights, context.left_chunks) for head in heads], -3)
        return from_chunks(self.join_heads(y), x.shape[1])

    def sum_shape(self) -> tuple[int, int, int]:
        """The shape of a stream's ``kv_sums``: heads, rows, columns."""
        head_size = self.out.in_features // self.heads
        return self.heads, head_size, head_size + 1

    def init_state(self, batch, context):
        self.check_streaming()
        return empty_past(self.out.weight, batch, context, *self.sum_shape())

    def step(self, x, state):
        self.check_streaming()
        q, k, v = self.project(x)
        weights = x.new_ones(*x.shape[:2], 1, dtype=sum_dtype(x))
        kv_sums = self.kv_sums(k, v, weights)
        y = self.attend(q, visible_sum(state) + kv_sums, weights)
        return self.join_heads(y), append(state, kv_sums)

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


def weighted_mean(q: Tensor, kv_sums: Tensor) -> Tensor:
    """The mean of values with weights q k^T: q ``[…, T, f]``, kv_sums ``[…, f, d + 1]`` → ``[…, T, d]``."""
    values, weight = (apply_sums(q, part) for part in kv_sums.split([kv_sums.shape[-1] - 1, 1], -1))
    smallest = torch.finfo(weight.dtype).eps
    mean = values / weight.clamp(min=smallest)
    # A query that agrees with no key gets zeros, and no gradient: divided by a weight of zero, it would be infinite.
    return mean.where(weight > smallest, 0.0).to(product_dtype(q))
