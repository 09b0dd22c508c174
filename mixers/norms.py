"""Norms of a head's features, in the dtype of sums."""

import torch
from torch import Tensor

from .base import sum_dtype

SMALLEST = 1e-6
FLOOR = 1e-3  # of a mean square: a sum that cancels to nearly nothing is mostly rounding, which is not to grow


def unit_length(x: Tensor) -> Tensor:
    """x ``[…, size]`` divided by its length; silence stays silence."""
    x = x.to(sum_dtype(x))
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + SMALLEST)


def head_norm(x: Tensor, weight: Tensor) -> Tensor:
    """RMSNorm of every head by itself: x ``[…, size]``, weight ``[size]``."""
    x = x.to(sum_dtype(x))
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + FLOOR) * weight.to(x.dtype)
