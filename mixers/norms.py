"""Norms of features, in the dtype of sums."""

import torch
from torch import Tensor

from .base import sum_dtype

SMALLEST = 1e-6
FLOOR = 1e-3  # added to a mean square: a sum that nearly cancels is mostly rounding error, which must not be amplified


def unit_length(x: Tensor) -> Tensor:
    """x ``[…, size]`` divided by its length; silence stays silence."""
    x = x.to(sum_dtype(x))
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + SMALLEST)


def rms_norm(x: Tensor, weight: Tensor, floor: float = FLOOR) -> Tensor:
    """RMSNorm of x ``[…, size]``, which may be a head's; weight: ``[size]``; floor: added to the mean square."""
    x = x.to(sum_dtype(x))
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + floor) * weight.to(x.dtype)
