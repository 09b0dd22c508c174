"""Directional attention: linear attention with heads for what is past, what is to come, and the whole."""

from collections.abc import Sequence

from .feature_map_attention import FeatureMapAttention


class DirectionalAttention(FeatureMapAttention):
    """Linear attention (https://arxiv.org/abs/2006.16236, equations 5 and 8) whose heads look in several directions.

        y_t = sum_u phi(q_t)^T phi(k_u) v_u / sum_u phi(q_t)^T phi(k_u),   over
        u <= t in a head of the past,   u >= t in one of the future,   all u in one of the whole

    A sum over all frames is blind to their order; sums over what is before and after are not. They cost the same
    and need no positions. Under a context the future ends with the chunk, and a stream keeps running sums of the past.

    directions: assigned to the heads in turn. heads: the product is taken per head.
    feature_map: phi, ``elu`` (+ 1), ``softmax`` over the head's features, ``sigmoid`` or ``relu``.
    Raises ValueError for heads that do not divide d_model, an unknown feature map or an unknown direction.
    """

    paper = "2006.16236"
    year = 2020

    def __init__(
        self,
        d_model: int,
        *,
        heads: int = 4,
        feature_map: str = "elu",
        directions: Sequence[str] = ("past", "future", "whole", "whole"),
    ):
        super().__init__(d_model, heads=heads, feature_map=feature_map, directions=directions)
