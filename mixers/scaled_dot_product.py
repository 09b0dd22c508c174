"""Softmax attention through torch's fused kernel, or with dropout on a CPU without it."""

import torch
from torch import Tensor
from torch.nn import functional

from .dropout import dropout


def scaled_dot_product_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    visible: Tensor | None = None,
    causal: bool = False,
    p: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """Softmax attention of ``[B, heads, queries, size]`` to keys and values ``[B, heads, keys, size]``.

    visible: bool, broadcastable to ``[B, heads, queries, keys]``, True where a query may see a key; None = all keys, or
    with ``causal`` those up to its own place. p: dropout of the weights. scale: of the scores; None: 1 / sqrt(size).
    """
    if p == 0 or queries.device.type != "cpu":
        return functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=visible, dropout_p=p, is_causal=causal, scale=scale
        )
    # torch has no fused kernel with dropout for a CPU.
    scores = (queries * (queries.shape[-1] ** -0.5 if scale is None else scale)) @ keys.transpose(-1, -2)
    if causal:
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if visible is not None:
        scores = scores + as_scores(visible, scores)
    return dropout(scores.softmax(-1), p, True) @ values


def as_scores(visible: Tensor, like: Tensor) -> Tensor:
    """``visible`` as 0, and -inf where a query may not see a key: adding it costs less than filling all scores."""
    return like.new_zeros(visible.shape).masked_fill(~visible, float("-inf"))
