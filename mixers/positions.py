"""Positions as functions of the frame number: without a table there is no longest utterance.

Angles are computed in float32 at least, whatever the dtype of the result.
"""

import math

import torch
from torch import Tensor


def angles(positions: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """``[…]`` positions → ``[…, size / 2]``: each times frequencies that fall from 1 towards 1/10000.

    The frequencies are those of https://arxiv.org/abs/1706.03762, section 3.5.
    """
    dtype = torch.promote_types(dtype, torch.float32)
    pairs = torch.arange(0, size, 2, device=positions.device, dtype=dtype)
    return positions[..., None].to(dtype) * torch.exp(pairs * (-math.log(10000.0) / size))


def sinusoids(positions: Tensor, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """``[…]`` positions → ``[…, size]`` in ``dtype``: sine and cosine alternate, a pair for each frequency."""
    phases = angles(positions, size, dtype)
    return torch.stack([phases.sin(), phases.cos()], dim=-1).flatten(-2).to(dtype)


def rotate(x: Tensor, start: int | Tensor = 0) -> Tensor:
    """Rotary positions (https://arxiv.org/abs/2104.09864, equation 34) on ``[…, T, size]``, frames from ``start``.

    start may be a tensor that broadcasts to ``[…, T]``.
    Each pair of neighbouring features is turned by its frequency times the frame number. The pairs are taken as complex
    numbers: on a CPU this is four times as fast as sums of products of every second feature.
    """
    frames = start + torch.arange(x.shape[-2], device=x.device)
    phases = angles(frames, x.shape[-1], x.dtype)
    pairs = torch.view_as_complex(x.to(phases.dtype).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(phases), phases)).flatten(-2).to(x.dtype)
