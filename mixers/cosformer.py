"""cosFormer: linear attention whose scores decrease with distance."""

from collections.abc import Sequence

from .feature_map_attention import FeatureMapAttention


class CosFormer(FeatureMapAttention):
    """cosFormer (https://arxiv.org/abs/2202.08791, its cos-based re-weighting), bidirectional.

        score(t, u) = phi(q_t)^T phi(k_u) cos(pi (t - u) / 2T),   phi = relu,   rows divided by their sum

    The cosine of a difference is a sum of two products, so the features double and time stays linear.
    T is the utterance's own length, independent of its batch. heads: the product is taken per head.
    feature_map: ``relu`` as published, ``elu`` (+ 1), ``softmax`` over the head's features, or ``sigmoid``.
    directions: what each head sees, in turn, as in DirectionalAttention; ``whole`` as published.
    Raises ValueError for heads that do not divide d_model, an unknown feature map or an unknown direction.
    """

    paper = "2202.08791"
    year = 2022

    cosine = True
    cannot_stream = "its cosine weights need the utterance's length"

    def __init__(
        self, d_model: int, *, heads: int = 4, feature_map: str = "relu", directions: Sequence[str] = ("whole",)
    ):
        super().__init__(d_model, heads=heads, feature_map=feature_map, directions=directions)
