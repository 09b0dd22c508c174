"""Polynomial mixing: every frame reads means of products of features, through a gate of its own."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, sigmoid

from .base import Mixer, zero_padding
from .chunks import empty_past, from_chunks, masked_chunks, sums_kept
from .summaries import Mean


class PolynomialMixing(Mixer):
    """The Polynomial Mixer, PoM (https://arxiv.org/abs/2603.00683, of https://arxiv.org/abs/2604.06129).

        h_1, …, h_degree = GELU(W x),   p_1 = h_1,   p_i = p_(i-1) * h_i
        y_t = out(sigmoid(gate(x_t)) * mean of [p_1 ; … ; p_degree] over the real frames)

    Linear in time; a stream keeps one sum. Under a context the mean is over the frames that the chunk may see.

    degree: of the polynomial, 2 or 3 as published. size: features of each power, default d_model.
    Raises ValueError for a degree or size below one.
    """

    paper = "2603.00683"
    year = 2026

    def __init__(self, d_model: int, *, degree: int = 2, size: int | None = None):
        super().__init__()
        size = d_model if size is None else size
        for name, value in (("degree", degree), ("size", size)):
            if value < 1:
                raise ValueError(f"PolynomialMixing: {name} {value} must be at least 1")
        self.degree, self.width = degree, degree * size
        self.factors = nn.Linear(d_model, self.width)
        self.gate = nn.Linear(d_model, self.width)
        self.out = nn.Linear(self.width, d_model)
        self.mean = Mean()

    def powers(self, x: Tensor) -> Tensor:
        """[p_1 ; … ; p_degree] of x ``[…, d_model]``: ``[…, degree * size]``."""
        factors = gelu(self.factors(x)).chunk(self.degree, -1)
        powers = [factors[0]]
        for factor in factors[1:]:
            powers.append(powers[-1] * factor)
        return torch.cat(powers, -1)

    def forward(self, x, mask=None, context=None):
        chunks, chunk_mask = masked_chunks(x, mask, context)
        m = self.mean.over(zero_padding(self.powers(chunks), chunk_mask), chunk_mask, context)
        return from_chunks(self.out(sigmoid(self.gate(chunks)) * m), x.shape[1])

    def init_state(self, batch, context):
        return empty_past(self.out.weight, batch, context, self.mean.sum_size(self.width))

    def step(self, x, state):
        m, state = self.mean.step(self.powers(x), state)
        return self.out(sigmoid(self.gate(x)) * m), state

    def state_size(self, frames, context=None):
        return sums_kept(context) * self.mean.sum_size(self.width)
