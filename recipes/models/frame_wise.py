"""Layers that treat every frame by itself, over recordings of hours."""

from collections.abc import Callable

import torch
from torch import Tensor

PIECE = 4096  # frames of 40 ms: 2.7 minutes, longer than any training utterance


def frame_wise(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``layer(x)`` of x ``[…, T, size]``, for a layer in which no frame sees another.

    Without gradients a long x goes through it in pieces, so that what is wide inside the layer (the hidden units of a
    feed-forward layer) stays small. An exported graph and a compiled one have no pieces.
    """
    if x.shape[-2] <= PIECE or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return layer(x)
    return torch.cat([layer(piece) for piece in x.split(PIECE, -2)], -2)
