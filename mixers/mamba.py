"""Mamba: a state-space model with input-dependent steps, run over the utterance in both directions."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .base import sum_dtype
from .chunks import checkpointed, to_chunks
from .decays import decayed_steps, step_biases
from .scans import GatedLinear, Scan, ScanMixer, check_sizes

try:  # the fused kernel, where it is installed
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn as fused_kernel
except ImportError:
    fused_kernel = None

BLOCK = 64  # frames whose states are in memory at once
STRIDE = 8  # frames that ``recurrence`` steps through, in all strides of a block at once


class Mamba(ScanMixer):
    """Bidirectional Mamba (https://arxiv.org/abs/2312.00752, algorithm 2), for speech as in
    https://arxiv.org/abs/2407.09732.

        u, z = in_proj(x)                                                        [T, channels] each
        each direction:  u' = SiLU(conv(u)),  r, B, C = x_proj(u'),  dt = softplus(dt_proj(r)),  A = -exp(A_log)
            h_t = exp(dt_t A) h_(t-1) + dt_t B_t u'_t,   s_t = C_t . h_t + D u'_t
        y = out_proj((s forward + s backward) * SiLU(z))

    The directions share in_proj and out_proj and nothing else. Linear in time; only the states
    ``[channels, state_size]`` of a few frames are in memory at once. Under a context the backward direction starts
    at the chunk's last frame; a stream keeps the state of the forward direction.

    state_size: numbers in h for each channel. expansion: channels = expansion * d_model. conv_size: kernel
    of the causal convolution. step_rank: size of r, default d_model / 16, rounded up.
    separate: each direction has its own in_proj and out_proj, whose outputs are added (ExtBiMamba of
    https://arxiv.org/abs/2405.12609). causal: the forward direction alone.
    Raises ValueError for a size below one, or for ``separate`` together with ``causal``.
    """

    paper = "2312.00752"
    year = 2023

    def __init__(
        self,
        d_model: int,
        *,
        state_size: int = 16,
        expansion: int = 2,
        conv_size: int = 4,
        step_rank: int | None = None,
        separate: bool = False,
        causal: bool = False,
    ):
        step_rank = math.ceil(d_model / 16) if step_rank is None else step_rank
        check_sizes("Mamba", state_size=state_size, expansion=expansion, conv_size=conv_size, step_rank=step_rank)
        channels = expansion * d_model
        make_scan = partial(SelectiveScan, channels, state_size, conv_size, step_rank)
        make_out_proj = partial(GatedLinear, channels, d_model)
        super().__init__(d_model, channels, channels, make_scan, make_out_proj, separate=separate, causal=causal)


class SelectiveScan(Scan):
    """A direction of Mamba. Parameters have the names of the authors' code."""

    def __init__(self, channels: int, state_size: int, conv_size: int, step_rank: int):
        super().__init__([channels], conv_size, (channels, state_size))
        self.x_proj = nn.Linear(channels, step_rank + 2 * state_size, bias=False)
        self.parameter_sizes = [step_rank, state_size, state_size]
        self.dt_proj = nn.Linear(step_rank, channels)
        self.A_log = nn.Parameter(torch.arange(1.0, state_size + 1).log().repeat(channels, 1))
        self.D = nn.Parameter(torch.ones(channels))
        bound = step_rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        with torch.no_grad():
            self.dt_proj.bias.copy_(step_biases(channels))

    def scan(self, u: Tensor, others: list[Tensor]) -> Tensor:
        if fused_kernel is not None and u.is_cuda:
            return fused_scan(u, *self.parameters_of(u)) + self.D * u
        return super().scan(u, others)

    def scan_on(self, u: Tensor, others: list[Tensor], state: Tensor | None) -> tuple[Tensor, Tensor]:
        s, state = blocked_scan(u, *self.parameters_of(u), state)
        return s + self.D * u, state

    def parameters_of(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """dt, A, B and C of frames u ``[B, T, channels]``."""
        dt, B, C = self.x_proj(u).split(self.parameter_sizes, -1)
        return softplus(self.dt_proj(dt)), -self.A_log.to(sum_dtype(self.A_log)).exp(), B, C


def fused_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """``blocked_scan`` by the fused kernel, which takes time last."""
    u, dt, B, C = (part.transpose(1, 2).contiguous() for part in (u, dt, B, C))
    return fused_kernel(u, dt.to(u.dtype), A.float(), B, C).transpose(1, 2)


def blocked_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """s_t = C_t . h_t of the recurrence h_t = exp(dt_t A) h_(t-1) + dt_t B_t u_t, and the last h.

    u, dt: ``[B, T, channels]``; A: ``[channels, n]``, negative; B, C: ``[B, T, n]``; state: the h before, zeros where
    it is None. States are kept at block ends only, and computed again for backward.
    """
    dtype = u.dtype
    with torch.autocast(u.device.type, enabled=False):
        parts = [part.to(sum_dtype(part)) for part in (u, dt, B, C)]
        A = A.to(parts[0].dtype)
        if state is None:
            state = parts[0].new_zeros(u.shape[0], *A.shape)
        outputs = []
        for block in zip(*(part.split(BLOCK, 1) for part in parts), strict=True):
            s, state = checkpointed(scan_block, *block, A, state)
            outputs.append(s)
        return torch.cat(outputs, 1).to(dtype), state


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
        return torch.stack(decayed_steps(decays, inputs, start, 1), 1)
    decays, inputs = to_chunks(decays, STRIDE), to_chunks(inputs, STRIDE)
    local = torch.stack(decayed_steps(decays, inputs, torch.zeros_like(inputs[:, :, 0]), 2), 2)
    from_start = decays.cumprod(2)
    ends = recurrence(from_start[:, :, -1], local[:, :, -1], start)
    before = torch.cat([start[:, None], ends[:, :-1]], 1)
    return (local + from_start * before[:, :, None]).flatten(1, 2)[:, :frames]
