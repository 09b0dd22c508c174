"""Matrix products over time, in half precision too: however long the time, no sum overflows or stops counting.

bfloat16 has the range of float32, so its products need no care. float16 ends at 65,504, which sums over a minute
of speech reach: it gets products of ``BLOCK`` frames, which are added in float32, and matrices divided by their
largest value.
"""

import torch
from torch import Tensor

from .base import sum_dtype

BLOCK = 256  # frames whose products fit into float16, for values below 255


def product_dtype(x: Tensor) -> torch.dtype:
    """The dtype of matrix products with ``x``: autocast's, where it is on."""
    if x.dtype != torch.float64 and torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


def sum_products(a: Tensor, b: Tensor) -> Tensor:
    """The sum over time of a_t b_t^T, in the dtype of sums: ``[…, T, m]``, ``[…, T, n]`` → ``[…, m, n]``."""
    dtype = product_dtype(b)
    if dtype != torch.float16:
        return (a.to(dtype).transpose(-1, -2) @ b.to(dtype)).to(sum_dtype(b))
    a, scale = scale_to_float16(a)
    b = b.to(dtype)
    in_blocks = a.shape[-2] // BLOCK * BLOCK
    sums = (a[..., in_blocks:, :].transpose(-1, -2) @ b[..., in_blocks:, :]).to(scale.dtype)
    if in_blocks:
        blocks_a, blocks_b = (part[..., :in_blocks, :].unflatten(-2, (-1, BLOCK)) for part in (a, b))
        sums = sums + (blocks_a.transpose(-1, -2) @ blocks_b).sum(-3, dtype=scale.dtype)
    return sums * scale


def apply_sums(x: Tensor, sums: Tensor) -> Tensor:
    """``x @ sums`` in the dtype of sums, as ``sums`` is: ``[…, T, m]``, ``[…, m, n]`` → ``[…, T, n]``."""
    dtype = product_dtype(x)
    if dtype != torch.float16:
        return (x.to(dtype) @ sums.to(dtype)).to(sums.dtype)
    scaled, scale = scale_to_float16(sums)
    return (x.to(dtype) @ scaled).to(sums.dtype) * scale


def scale_to_float16(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each matrix of x ``[…, m, n]`` divided by its largest value, in float16, and those values ``[…, 1, 1]``."""
    scale = x.detach().abs().amax((-2, -1), keepdim=True).to(sum_dtype(x))
    scale = scale.clamp(min=torch.finfo(scale.dtype).tiny)
    return (x / scale).to(torch.float16), scale
