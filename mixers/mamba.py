"""Mamba: a state-space model with input-dependent steps, run over the utterance in both directions."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from .base import Mixer, sum_dtype, zero_padding
from .chunks import checkpointed, to_chunks

try:  # the fused kernel, where it is installed
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn as fused_kernel
except ImportError:
    fused_kernel = None

BLOCK = 64  # frames whose states are in memory at once
STRIDE = 8  # frames that ``recurrence`` steps through, in all strides of a block at once


class Mamba(Mixer):
    """Bidirectional Mamba (https://arxiv.org/abs/2312.00752, algorithm 2), for speech as in
    https://arxiv.org/abs/2407.09732.

        u, z = in_proj(x)                                                        [T, channels] each
        each direction:  u' = SiLU(conv(u)),  r, B, C = x_proj(u'),  dt = softplus(dt_proj(r)),  A = -exp(A_log)
            h_t = exp(dt_t A) h_(t-1) + dt_t B_t u'_t,   s_t = C_t . h_t + D u'_t
        y = out_proj((s forward + s backward) * SiLU(z))

    The directions share in_proj and out_proj and nothing else. Linear in time; only the states
    ``[channels, state_size]`` of a few frames are in memory at once.

    state_size: numbers in h for each channel. expansion: channels = expansion * d_model. conv_size: kernel
    of the causal convolution. step_rank: size of r, default d_model / 16, rounded up.
    Raises ValueError for a size below one.
    """

    paper = "2312.00752"
    year = 2023

    cannot_stream = "its backward direction starts at the utterance's last frame"

    def __init__(
        self,
        d_model: int,
        *,
        state_size: int = 16,
        expansion: int = 2,
        conv_size: int = 4,
        step_rank: int | None = None,
    ):
        super().__init__()
        step_rank = math.ceil(d_model / 16) if step_rank is None else step_rank
        sizes = {"state_size": state_size, "expansion": expansion, "conv_size": conv_size, "step_rank": step_rank}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"Mamba: {name} {size} must be at least 1")
        channels = expansion * d_model
        self.in_proj = nn.Linear(d_model, 2 * channels, bias=False)
        self.forward_scan = SelectiveScan(channels, state_size, conv_size, step_rank)
        self.backward_scan = SelectiveScan(channels, state_size, conv_size, step_rank)
        self.out_proj = nn.Linear(channels, d_model, bias=False)

    def forward(self, x, mask=None, context=None):
        if context is not None:
            self.check_streaming()
        u, z = self.in_proj(zero_padding(x, mask)).chunk(2, -1)
        backward_mask = None if mask is None else mask.flip(1)
        s = self.forward_scan(u, mask) + self.backward_scan(u.flip(1), backward_mask).flip(1)
        return self.out_proj(s * silu(z))


class SelectiveScan(nn.Module):
    """A direction of Mamba: ``[B, T, channels]`` → the same. Padding may be at either end, and must be zero.

    Parameters have the names of the authors' code.
    """

    def __init__(self, channels: int, state_size: int, conv_size: int, step_rank: int):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, conv_size, groups=channels, padding=conv_size - 1)
        self.x_proj = nn.Linear(channels, step_rank + 2 * state_size, bias=False)
        self.sizes = [step_rank, state_size, state_size]
        self.dt_proj = nn.Linear(step_rank, channels)
        self.A_log = nn.Parameter(torch.arange(1.0, state_size + 1).log().repeat(channels, 1))
        self.D = nn.Parameter(torch.ones(channels))
        # As published: steps start between 0.001 and 0.1, evenly in their logarithm.
        bound = step_rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        dt = torch.empty(channels).uniform_(math.log(0.001), math.log(0.1)).exp()
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus of this is ``dt``

    def forward(self, u: Tensor, mask: Tensor | None) -> Tensor:
        u = silu(self.conv(u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        # A padded frame adds nothing, so before the first real frame the state stays empty.
        u = zero_padding(u, mask)
        dt, B, C = self.x_proj(u).split(self.sizes, -1)
        dt = softplus(self.dt_proj(dt))
        scan = fused_scan if fused_kernel is not None and u.is_cuda else blocked_scan
        return scan(u, dt, -self.A_log.to(sum_dtype(self.A_log)).exp(), B, C) + self.D * u


def fused_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """``blocked_scan`` by the fused kernel, which takes time last."""
    u, dt, B, C = (part.transpose(1, 2).contiguous() for part in (u, dt, B, C))
    return fused_kernel(u, dt.to(u.dtype), A.float(), B, C).transpose(1, 2)


def blocked_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """s_t = C_t . h_t of the recurrence h_t = exp(dt_t A) h_(t-1) + dt_t B_t u_t.

    u, dt: ``[B, T, channels]``; A: ``[channels, n]``, negative; B, C: ``[B, T, n]``. States are kept at block
    ends only, and computed again for backward.
    """
    dtype = u.dtype
    with torch.autocast(u.device.type, enabled=False):
        parts = [part.to(sum_dtype(part)) for part in (u, dt, B, C)]
        A = A.to(parts[0].dtype)
        state = parts[0].new_zeros(u.shape[0], *A.shape)
        outputs = []
        for block in zip(*(part.split(BLOCK, 1) for part in parts), strict=True):
            s, state = checkpointed(scan_block, *block, A, state)
            outputs.append(s)
        return torch.cat(outputs, 1).to(dtype)


def scan_block(u: Tensor, dt: Tensor, B: Tensor, C: Tensor, A: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """``blocked_scan`` of a few frames from the state ``start`` ``[B, channels, n]`` on, and the last state."""
    decays = (dt[..., None] * A).exp()
    states = recurrence(decays, (dt * u)[..., None] * B[:, :, None], start)
    return (states @ C[..., None]).squeeze(-1), states[:, -1]


def recurrence(decays: Tensor, inputs: Tensor, start: Tensor) -> Tensor:
    """h_t = decays_t h_(t-1) + inputs_t for all t: ``[B, T, …]`` from ``start`` ``[B, …]``.

    STRIDE steps in all strides at once, each from an empty state; the same recurrence over the strides' ends;
    then every frame adds the state before its stride. Products of decays only shrink, so nothing overflows
    however long the time.
    """
    frames = decays.shape[1]
    if frames <= STRIDE:
        return torch.stack(recurrence_steps(decays, inputs, start, 1), 1)
    decays, inputs = to_chunks(decays, STRIDE), to_chunks(inputs, STRIDE)
    local = torch.stack(recurrence_steps(decays, inputs, torch.zeros_like(inputs[:, :, 0]), 2), 2)
    from_start = decays.cumprod(2)
    ends = recurrence(from_start[:, :, -1], local[:, :, -1], start)
    before = torch.cat([start[:, None], ends[:, :-1]], 1)
    return (local + from_start * before[:, :, None]).flatten(1, 2)[:, :frames]


def recurrence_steps(decays: Tensor, inputs: Tensor, state: Tensor, dim: int) -> list[Tensor]:
    """The states after each step along ``dim``."""
    states = []
    for decay, entry in zip(decays.unbind(dim), inputs.unbind(dim), strict=True):
        state = decay * state + entry
        states.append(state)
    return states
