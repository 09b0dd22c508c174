"""Softmax attention through torch's fused kernel, or with dropout on a CPU without it."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from .dropout import dropout

SCORES_IN_CACHE = 2**21  # so many of all heads and utterances are computed at once
ROWS_AT_ONCE = 256  # where there are more


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
    queries = queries * (queries.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        shape = queries.shape[-2], keys.shape[-2]
        visible = torch.ones(shape, dtype=torch.bool, device=queries.device).tril()
    mixed = []
    for rows in blocks_of_rows(queries, keys):
        scores = queries[..., rows, :] @ keys.transpose(-1, -2)
        if visible is not None:
            scores = scores + as_scores(rows_of(visible, rows), scores)
        mixed.append(dropout(scores.softmax(-1), p, True) @ values)
    return join(mixed)


def blocks_of_rows(queries: Tensor, keys: Tensor) -> list[slice]:
    """The queries in blocks, over whose scores one goes while they are in the cache of a CPU; elsewhere all at once.

    One goes over scores several times: masks, softmax, dropout, product. At 60 s of speech (1,500 queries) this makes
    attention one and a half to twice as fast.
    """
    frames = queries.shape[-2]
    whole = queries.device.type != "cpu" or torch.compiler.is_compiling() or torch.compiler.is_exporting()
    if whole or queries[..., 0].numel() * keys.shape[-2] <= SCORES_IN_CACHE:
        return [slice(0, frames)]
    rows = math.ceil(frames / math.ceil(frames / ROWS_AT_ONCE))
    return [slice(start, min(start + rows, frames)) for start in range(0, frames, rows)]


def rows_of(visible: Tensor, rows: slice) -> Tensor:
    """These rows of what is broadcastable to ``[B, heads, queries, keys]``."""
    return visible if visible.shape[-2] == 1 else visible[..., rows, :]


def join(blocks: list[Tensor]) -> Tensor:
    """Blocks of frames ``[B, heads, rows, size]``, one after the other."""
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, 2)


def as_scores(visible: Tensor, like: Tensor) -> Tensor:
    """``visible`` as 0, and -inf where a query may not see a key: adding it costs less than filling all scores."""
    return like.new_zeros(visible.shape).masked_fill(~visible, float("-inf"))
