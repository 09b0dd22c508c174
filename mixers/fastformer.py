"""Fastformer: attention through a global query and a global key."""

import math

import torch
from torch import Tensor, nn

from .base import Mixer, check_heads, sum_dtype, zero_padding
from .products import sum_products


class FastFormer(Mixer):
    """Fastformer (https://arxiv.org/abs/2108.09084, section 3.1), linear in time.

        q = mean of the q_t, weighted by softmax_t(w_q . q_t / sqrt(d_head))       the global query, per head
        p_t = q * k_t,   k = mean of the p_t, weighted by softmax_t(w_k . p_t / sqrt(d_head))
        y_t = W (k * v_t) + q_t

    heads: each has its own scores, computed from all features, as in the authors' code.
    tied: the queries are also the values, as published; otherwise values have their own projection.
    Raises ValueError for heads that do not divide d_model.
    """

    paper = "2108.09084"
    year = 2021

    cannot_stream = "every new chunk changes the global query, and with it the weights of all past keys"

    def __init__(self, d_model: int, *, heads: int = 4, tied: bool = True):
        super().__init__()
        check_heads("FastFormer", heads, d_model=d_model)
        self.heads = heads
        self.scale = 1 / math.sqrt(d_model // heads)
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = self.query if tied else nn.Linear(d_model, d_model)
        # No biases: a softmax over time is invariant to them.
        self.query_score = nn.Linear(d_model, heads, bias=False)
        self.key_score = nn.Linear(d_model, heads, bias=False)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None, context=None):
        if context is not None:
            self.check_streaming()
        x = zero_padding(x, mask)
        q, k = self.query(x), self.key(x)
        v = q if self.value is self.query else self.value(x)
        global_query = self.pooled(q, self.query_score(q), mask)
        # w . (q * k_t) = (w * q) . k_t and mean(q * k_t) = q * mean(k_t), so the p_t need no memory.
        scores = k @ (self.key_score.weight * global_query).transpose(-1, -2)
        global_key = global_query * self.pooled(k, scores, mask)
        return self.out(global_key * v) + q

    def pooled(self, frames: Tensor, scores: Tensor, mask: Tensor | None) -> Tensor:
        """The mean of frames ``[B, T, d_model]`` over time: ``[B, 1, d_model]``.

        Each head weighs them by the softmax of its scores ``[B, T, heads]``.
        """
        scores = scores.to(sum_dtype(scores)) * self.scale
        if mask is not None:
            # The lowest number and not -inf: an utterance without a real frame stays free of NaN.
            scores = scores.masked_fill(~mask[..., None], torch.finfo(scores.dtype).min)
        weights = scores.softmax(1).transpose(1, 2)[..., None]
        by_head = frames.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return sum_products(weights, by_head).to(frames.dtype).flatten(1)[:, None]
