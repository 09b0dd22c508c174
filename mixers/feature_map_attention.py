"""Attention whose scores are products of positive features, so that keys and values can be summed first."""

from functools import partial
from math import pi, prod

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, sigmoid, softmax

from mixers.base import Mixer, check_heads, check_option, sum_dtype
from mixers.chunks import append, from_chunks, heard, in_chunks, no_past, recomputed, sum_before, totals_kept


def elu_plus_one(x: Tensor) -> Tensor:
    """elu(x) + 1, without the digits that exp(x) - 1 + 1 would lose."""
    return relu(x) + x.clamp(max=0).exp()


FEATURE_MAPS = {"softmax": partial(softmax, dim=-1), "sigmoid": sigmoid, "relu": relu, "elu": elu_plus_one}


class FeatureMapAttention(Mixer):
    """What linear attention, cosFormer and XNOR attention share: (phi(q) phi(k)^T) v as phi(q) (phi(k)^T v).

    Frames may be weighted: each feature a of frame t becomes [w_1 a ; w_2 a ; …] on both sides. Padded
    frames weigh nothing; ``cosine`` weighs by sine and cosine of the frame's place in its utterance.
    Raises ValueError for heads that do not divide d_model or an unknown feature map.
    """

    cosine = False

    def __init__(self, d_model: int, *, heads: int, feature_map: str):
        super().__init__()
        check_heads(type(self).__name__, heads, d_model=d_model)
        check_option(type(self).__name__, "feature_map", feature_map, tuple(FEATURE_MAPS))
        self.heads = heads
        self.feature_map = FEATURE_MAPS[feature_map]
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.out = nn.Linear(d_model, d_model)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """phi(q), phi(k) and v of x ``[…, T, d_model]``, each ``[…, heads, T, d_model / heads]``."""
        layers = self.query, self.key, self.value
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3) for layer in layers)
        return self.feature_map(q), self.feature_map(k), v

    def total(self, k: Tensor, v: Tensor, weights: Tensor) -> Tensor:
        """Sums over time that tell all a query needs to know: ``[…, heads, rows, d_model / heads + 1]``.

        k, v: ``[…, heads, T, d_model / heads]``; weights: ``[…, T, w]``.
        """
        return summed(weigh(k, weights), v)

    def attend(self, q: Tensor, total: Tensor, weights: Tensor) -> Tensor:
        """What queries ``[…, heads, T, d_model / heads]`` get from a total; the same shape."""
        return averaged(weigh(q, weights) if self.cosine else q, total)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, left_chunks: int | None) -> Tensor:
        """Each chunk attends to itself and the chunks in its sight: ``[B, C, …]``."""
        totals = self.total(k, v, weights)
        return self.attend(q, totals + sum_before(totals, left_chunks), weights)

    def joined(self, y: Tensor) -> Tensor:
        """``[…, heads, T, d_model / heads]`` → ``[…, T, d_model]``, projected."""
        return self.out(y.transpose(-2, -3).flatten(-2))

    def forward(self, x, mask=None, context=None):
        if context is not None:
            self.check_streaming()
        chunks, real = in_chunks(x, mask, context)
        q, k, v = self.project(chunks)
        real = real.to(sum_dtype(x))
        weights = cosine_weights(real) if self.cosine else real[..., None]
        if context is None:
            y = self.attend(q, self.total(k, v, weights), weights)
        else:
            # A matrix for every chunk, so one head at a time.
            heads = zip(*(part.split(1, -3) for part in (q, k, v)), strict=True)
            y = torch.cat([recomputed(self.mix, *head, weights, context.left_chunks) for head in heads], -3)
        return from_chunks(self.joined(y), x.shape[1])

    def total_shape(self) -> tuple[int, int, int]:
        head_size = self.out.in_features // self.heads
        return self.heads, head_size, head_size + 1

    def init_state(self, batch, context):
        self.check_streaming()
        return no_past(self.out.weight, batch, context, *self.total_shape())

    def step(self, x, state):
        self.check_streaming()
        q, k, v = self.project(x)
        weights = x.new_ones(*x.shape[:2], 1, dtype=sum_dtype(x))
        total = self.total(k, v, weights)
        y = self.attend(q, heard(state) + total, weights)
        return self.joined(y), append(state, total)

    def state_size(self, frames, context=None):
        self.check_streaming()
        return totals_kept(context) * prod(self.total_shape())


def cosine_weights(real: Tensor) -> Tensor:
    """sin and cos of pi t / 2T, t = 1 … T, T each row's own length: ``[…, T]`` → ``[…, T, 2]``, zero in padding.

    So a product of two features counts cos(pi (t - u) / 2T): near frames more than far ones.
    """
    angles = real.cumsum(-1) * (pi / 2) / real.sum(-1, keepdim=True).clamp(min=1)
    return torch.stack([angles.sin(), angles.cos()], -1) * real[..., None]


def weigh(features: Tensor, weights: Tensor) -> Tensor:
    """``[…, heads, T, f]`` by ``[…, T, w]`` → ``[…, heads, T, w * f]``."""
    return (features[..., None, :] * weights[..., None, :, :, None].to(features.dtype)).flatten(-2)


def summed(k: Tensor, v: Tensor) -> Tensor:
    """Sums over time of k v^T and, as the last column, of k, in the dtype of sums.

    k: ``[…, T, f]``; v: ``[…, T, d]``; returns ``[…, f, d + 1]``.
    """
    products = (k.transpose(-1, -2) @ v).to(sum_dtype(v))
    return torch.cat([products, k.sum(-2, dtype=sum_dtype(v))[..., None]], -1)


def averaged(q: Tensor, total: Tensor) -> Tensor:
    """Values averaged with weights q k^T over their row sum: ``[…, T, f]`` → ``[…, T, d]``."""
    total = total.to(q.dtype)
    weight = q @ total[..., -1:]
    # A query may agree with no key at all: then nothing, and not nothing divided by nothing.
    return q @ total[..., :-1] / weight.clamp(min=torch.finfo(sum_dtype(q)).eps)
