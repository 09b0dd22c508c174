"""What a convolution over time sees beyond the ends of an utterance: zeros, or the utterance reflected."""

import torch
from torch import Tensor

from mixers.base import zero_padding

ENDS = ("zeros", "reflect")


def reflect_ends(x: Tensor, mask: Tensor | None, frames: int) -> Tensor:
    """``[B, T, …]`` → ``[B, frames + T + frames, …]``: each utterance between its own mirror images.

    mask: bool ``[B, T]``, True = real frame; None = all are. For one utterance the same as torch's
    reflecting padding; that one cannot pad an utterance of ``frames`` or fewer, where here zeros stand
    in for the frames that are not there.
    """
    lengths = mask.sum(1) if mask is not None else torch.full(x.shape[:1], x.shape[1], device=x.device)
    at, last = torch.arange(-frames, x.shape[1] + frames, device=x.device), lengths[:, None] - 1
    source = torch.where(at > last, 2 * last - at, at.abs())
    index = source.clamp(0, x.shape[1] - 1).view(*source.shape, *[1] * (x.dim() - 2))
    reflected = x.gather(1, index.expand(-1, -1, *x.shape[2:]))
    return zero_padding(reflected, (source >= 0) & (source <= last))
