"""XNOR attention: frames attend where they agree, in what they have and in what they lack."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, sigmoid

from mixers.base import check_option
from mixers.feature_map_attention import FeatureMapAttention, averaged, summed, weigh


class XNOR(FeatureMapAttention):
    """XNOR attention (https://arxiv.org/abs/2210.16643), linear in time, for batches of any lengths.

        A = phi(q) phi(k)^T,  B = (1 - phi(q)) (1 - phi(k))^T,  each divided by its row sums
        y = out(A v + B v)

    variant: ``plain`` as above; ``cos``: features weighted by sine and cosine of the frame's place, as in
    cosFormer; ``weighted``: y = out(relu(w_0) A v + relu(w_1) B v); ``gated``: y = out(g_0 A v + g_1 B v) with
    g_t = sigmoid(gate([A v ; B v]_t)) for each frame and head; ``term_gated``: the gate's input is averaged
    over time first, so there is one gate for each utterance and head.
    feature_map: phi, ``softmax`` over the head's features or ``sigmoid``. heads: products are taken per head.
    ``cos`` and ``term_gated`` need the whole utterance and cannot stream.
    Raises ValueError for an unknown variant or feature map, or heads that do not divide d_model.
    """

    variants = ("plain", "cos", "weighted", "gated", "term_gated")
    feature_maps = ("softmax", "sigmoid")

    def __init__(self, d_model: int, *, heads: int = 4, variant: str = "plain", feature_map: str = "softmax"):
        check_option("XNOR", "variant", variant, self.variants)
        check_option("XNOR", "feature_map", feature_map, self.feature_maps)
        super().__init__(d_model, heads=heads, feature_map=feature_map)
        self.variant = variant
        self.cosine = variant == "cos"
        if variant == "weighted":
            self.term_weights = nn.Parameter(torch.ones(2))
        if variant in ("gated", "term_gated"):
            self.gate = nn.Linear(2 * d_model // heads, 2)
        if variant == "cos":
            self.cannot_stream = "the weights of variant 'cos' need the utterance's length"
        if variant == "term_gated":
            self.cannot_stream = "the gate of variant 'term_gated' needs the mean over the whole utterance"

    # One pass over keys and values serves both terms, for the complement's sums follow from the plain ones:
    #   (1 - phi(k))^T v = V - phi(k)^T v,  V = sum_u v_u   and   sum_u (1 - phi(k_u)) = T - sum_u phi(k_u).
    # With frame weights:  sum_u w_u (1 - phi(k_u)) v_u^T = 1 (sum_u w_u v_u)^T - sum_u w_u phi(k_u) v_u^T.
    # So B adds one row to a total, [V, T] below [phi(k)^T v, sum phi(k)]; cos, with two weights, adds two.

    def total(self, k, v, weights):
        ones = weights[..., None, :, :].expand(*k.shape[:-1], -1).to(k.dtype)
        return torch.cat([summed(weigh(k, weights), v), summed(ones, v)], -2)

    def total_shape(self):
        heads, features, columns = super().total_shape()
        return heads, features + 1, columns

    def attend(self, q, total, weights):
        kinds = weights.shape[-1]
        agree, everything = total.split([total.shape[-2] - kinds, kinds], -2)
        differ = everything.repeat_interleave(q.shape[-1], -2) - agree
        not_q = 1 - q
        if self.cosine:
            q, not_q = weigh(q, weights), weigh(not_q, weights)
        return self.combined(averaged(q, agree), averaged(not_q, differ), weights)

    def combined(self, a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
        """One value ``[…, heads, T, d]`` of both terms' values."""
        if self.variant == "weighted":
            of_a, of_b = relu(self.term_weights)
            return of_a * a + of_b * b
        if self.variant in ("gated", "term_gated"):
            both = torch.cat([a, b], -1)
            if self.variant == "term_gated":
                real = weights[..., None, :, :]
                mean = (both * real).sum(-2, keepdim=True) / real.sum(-2, keepdim=True).clamp(min=1)
                both = mean.to(a.dtype)
            of_a, of_b = sigmoid(self.gate(both)).split(1, -1)
            return of_a * a + of_b * b
        return a + b
