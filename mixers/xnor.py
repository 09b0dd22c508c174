"""XNOR attention: frames attend where they agree, both in present and in absent features."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import relu, sigmoid

from .base import check_option
from .feature_map_attention import FeatureMapAttention, product_sums, read_sums, weigh


class XNOR(FeatureMapAttention):
    """XNOR attention (https://arxiv.org/abs/2210.16643), linear in time, for batches of any lengths.

        A = phi(q) phi(k)^T,  B = (1 - phi(q)) (1 - phi(k))^T,  each divided by its row sums
        y = out(A v + B v)

    variant: ``plain`` as above; ``cos``: features weighted by sine and cosine of the frame's place, as in
    cosFormer; ``weighted``: y = out(relu(w_0) A v + relu(w_1) B v); ``gated``: y = out(g_0 A v + g_1 B v) with
    g_t = sigmoid(gate([A v ; B v]_t)) for each frame and head; ``term_gated``: the gate's input is averaged
    over time first, which gives a single gate for each utterance and head.
    feature_map: phi, ``softmax`` over the head's features or ``sigmoid``. heads: products are taken per head.
    directions: what each head sees, in turn, as in DirectionalAttention; ``whole`` as published.
    output_scale: a factor of the initial weights of ``out``. At first A v and B v are both close to the plain mean over
    time, so y is twice this mean, the same for every frame. At full size it drowns the frames that it is added to.
    ``cos`` and ``term_gated`` need the whole utterance and cannot stream.
    Raises ValueError for an unknown variant, feature map or direction, or heads that do not divide d_model.
    """

    paper = "2210.16643"
    year = 2022
    variants = ("plain", "cos", "weighted", "gated", "term_gated")
    feature_maps = ("softmax", "sigmoid")

    def __init__(
        self,
        d_model: int,
        *,
        heads: int = 4,
        variant: str = "plain",
        feature_map: str = "softmax",
        directions: Sequence[str] = ("whole",),
        output_scale: float = 1.0,
    ):
        check_option("XNOR", "variant", variant, self.variants)
        check_option("XNOR", "feature_map", feature_map, self.feature_maps)
        super().__init__(d_model, heads=heads, feature_map=feature_map, directions=directions)
        with torch.no_grad():
            self.out.weight.mul_(output_scale)
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

    # A single pass over keys and values serves both terms, because the complement's sums follow from the plain
    # sums:
    #   (1 - phi(k))^T v = V - phi(k)^T v,  V = sum_u v_u   and   sum_u (1 - phi(k_u)) = T - sum_u phi(k_u).
    # With frame weights:  sum_u w_u (1 - phi(k_u)) v_u^T = 1 (sum_u w_u v_u)^T - sum_u w_u phi(k_u) v_u^T.
    # So B adds a row to kv_sums, [V, T] below [phi(k)^T v, sum phi(k)]; cos, with two weights, adds two rows.

    def kv_sums(self, k, v, weights):
        ones = weights[..., None, :, :].expand(*k.shape[:-1], -1).to(k.dtype)
        return torch.cat([product_sums(weigh(k, weights), v), product_sums(ones, v)], -2)

    def sum_shape(self):
        heads, rows, columns = super().sum_shape()
        return heads, rows + 1, columns

    def read(self, q, kv_sums, weights):
        count = weights.shape[-1]
        agreeing, everything = kv_sums.split([kv_sums.shape[-2] - count, count], -2)
        differing = everything.repeat_interleave(q.shape[-1], -2) - agreeing
        not_q = 1 - q
        if self.cosine:
            q, not_q = weigh(q, weights), weigh(not_q, weights)
        return [read_sums(q, agreeing), read_sums(not_q, differing)]

    def feature_pairs(self, q, k):
        return [(q, k), (1 - q, 1 - k)]

    def combine(self, means, weights):
        a, b = means
        if self.variant == "weighted":
            a_weight, b_weight = relu(self.term_weights)
            return a_weight * a + b_weight * b
        if self.variant in ("gated", "term_gated"):
            both = torch.cat([a, b], -1)
            if self.variant == "term_gated":
                real = weights[..., None, :, :]
                mean = (both * real).sum(-2, keepdim=True) / real.sum(-2, keepdim=True).clamp(min=1)
                both = mean.to(a.dtype)
            a_gate, b_gate = sigmoid(self.gate(both)).split(1, -1)
            return a_gate * a + b_gate * b
        return a + b
