"""What a convolution over time sees beyond the ends of an utterance: zeros, or the utterance reflected."""

import torch
from torch import Tensor

from mixers.base import zero_padding

ENDS = ("zeros", "reflect")  # values of the option `ends`


def reflect_ends(x: Tensor, mask: Tensor | None, frames: int) -> Tensor:
    """``[B, T, …]`` → ``[B, frames + T + frames, …]``: each utterance with its mirror image at both ends.

    mask: bool ``[B, T]``, True = real frame; None = all are. For one utterance this equals torch's reflecting
    padding, which cannot pad an utterance of ``frames`` or fewer; here zeros stand for the missing frames.
    """
    lengths = mask.sum(1) if mask is not None else torch.full(x.shape[:1], x.shape[1], device=x.device)
    target, last = torch.arange(-frames, x.shape[1] + frames, device=x.device), lengths[:, None] - 1
    source = torch.where(target > last, 2 * last - target, target.abs())
    index = source.clamp(0, x.shape[1] - 1).view(*source.shape, *[1] * (x.dim() - 2))
    reflected = x.gather(1, index.expand(-1, -1, *x.shape[2:]))
    return zero_padding(reflected, (source >= 0) & (source <= last))
