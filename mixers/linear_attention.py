"""Linear attention: the plain form of attention by feature maps."""

from collections.abc import Sequence

from .feature_map_attention import FeatureMapAttention


class LinearAttention(FeatureMapAttention):
    """Linear attention (https://arxiv.org/abs/2006.16236, equation 5), bidirectional or under a context.

        y_t = phi(q_t)^T sum_u phi(k_u) v_u^T / phi(q_t)^T sum_u phi(k_u),   phi = elu + 1

    heads: the product is taken per head. feature_map: ``elu`` (+ 1) as published, ``softmax`` over the
    head's features, ``sigmoid`` or ``relu``.
    directions: what each head sees, in turn, as in DirectionalAttention; ``whole`` as published.
    Raises ValueError for heads that do not divide d_model, an unknown feature map or an unknown direction.
    """

    paper = "2006.16236"
    year = 2020

    def __init__(
        self, d_model: int, *, heads: int = 4, feature_map: str = "elu", directions: Sequence[str] = ("whole",)
    ):
        super().__init__(d_model, heads=heads, feature_map=feature_map, directions=directions)
