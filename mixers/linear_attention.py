"""Linear attention: the plainest of the feature-map family."""

from mixers.feature_map_attention import FeatureMapAttention


class LinearAttention(FeatureMapAttention):
    """Linear attention (https://arxiv.org/abs/2006.16236, equation 5), every frame seeing all others.

        y_t = phi(q_t)^T sum_u phi(k_u) v_u^T / phi(q_t)^T sum_u phi(k_u),   phi = elu + 1

    heads: the product is taken per head. feature_map: ``elu`` (+ 1) as published, ``softmax`` over the
    head's features, ``sigmoid`` or ``relu``.
    """

    def __init__(self, d_model: int, *, heads: int = 4, feature_map: str = "elu"):
        super().__init__(d_model, heads=heads, feature_map=feature_map)
