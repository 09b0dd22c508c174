"""Layers in which a frame sees few others or none, over recordings of hours."""

from collections.abc import Callable

import torch
from torch import Tensor

PIECE = 4096  # frames of 40 ms: 2.7 minutes, longer than any training utterance


def frame_wise(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``layer(x)`` of x ``[…, T, size]``, for a layer in which no frame sees another.

    Without gradients a long x goes through it in pieces, so that what is wide inside the layer (the hidden units of a
    feed-forward layer) stays small. An exported graph and a compiled one have no pieces.
    """
    if not is_cut(x):
        return layer(x)
    return torch.cat([layer(piece) for piece in x.split(PIECE, -2)], -2)


def nearly_frame_wise(
    layer: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, mask: Tensor | None, reach: int
) -> Tensor:
    """``layer(x, mask)`` likewise, for a layer in which a frame sees ``reach`` frames to either side.

    x: ``[B, T, size]``; mask: ``[B, T]`` or None. The pieces overlap.
    """
    if not is_cut(x):
        return layer(x, mask)
    outputs = []
    for start in range(0, x.shape[1], PIECE):
        seen = slice(max(start - reach, 0), start + PIECE + reach)
        output = layer(x[:, seen], None if mask is None else mask[:, seen])
        outputs.append(output[:, start - seen.start :][:, :PIECE])
    return torch.cat(outputs, 1)


def is_cut(x: Tensor) -> bool:
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False  # before the length is looked at: a traced graph would be for shorter ones alone
    return x.shape[-2] > PIECE
