"""Mamba: a state-space model with input-dependent steps, run over the utterance in both directions."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from .base import Context, Mixer, sum_dtype, zero_padding
from .chunks import checkpointed, from_chunks, masked_chunks, to_chunks, with_left_chunks

try:  # the fused kernel, where it is installed
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn as fused_kernel
except ImportError:
    fused_kernel = None

BLOCK = 64  # frames whose states are in memory at once
STRIDE = 8  # frames that ``recurrence`` steps through, in all strides of a block at once


class MambaState(NamedTuple):
    """The past of the forward scan: with all of it in view its ``hidden`` state, else the ``window`` in view.

    hidden: ``[B, channels, state_size]``; tail: ``[B, conv_size - 1, channels]``, the last inputs of the convolution;
    window: ``[B, frames, channels]``, the inputs of the scan in the left chunks. Unused tensors are empty.
    ``frames`` ``[B]``, int64: the number of past frames.
    """

    hidden: Tensor
    tail: Tensor
    window: Tensor
    frames: Tensor


class Mamba(Mixer):
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
    Raises ValueError for a size below one, or for directions of a causal scan.
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
        super().__init__()
        if separate and causal:
            raise ValueError("Mamba: a causal scan has no directions to be separate")
        step_rank = math.ceil(d_model / 16) if step_rank is None else step_rank
        sizes = {"state_size": state_size, "expansion": expansion, "conv_size": conv_size, "step_rank": step_rank}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"Mamba: {name} {size} must be at least 1")
        channels = expansion * d_model
        self.separate, self.causal = separate, causal
        self.in_proj = nn.Linear(d_model, 2 * channels, bias=False)
        self.forward_scan = SelectiveScan(channels, state_size, conv_size, step_rank)
        if not causal:
            self.backward_scan = SelectiveScan(channels, state_size, conv_size, step_rank)
        self.out_proj = nn.Linear(channels, d_model, bias=False)
        if separate:
            self.backward_in_proj = nn.Linear(d_model, 2 * channels, bias=False)
            self.backward_out_proj = nn.Linear(channels, d_model, bias=False)

    def forward(self, x, mask=None, context=None):
        x = zero_padding(x, mask)
        u, z = self.in_proj(x).chunk(2, -1)
        if context is None or context.left_chunks is None:
            s = self.forward_scan(u, mask)
        else:
            s = self.scan_windows(u, mask, context)
        return self.join(x, s, z, None if self.causal else self.scan_back(x, u, mask, context))

    def join(self, x: Tensor, s: Tensor, z: Tensor, backward: Tensor | None) -> Tensor:
        """y of x, the scan s forward with its gate z, and the scan ``backward``."""
        if backward is None:
            return self.out_proj(s * silu(z))
        if not self.separate:
            return self.out_proj((s + backward) * silu(z))
        backward_z = self.backward_in_proj(x).chunk(2, -1)[1]
        return self.out_proj(s * silu(z)) + self.backward_out_proj(backward * silu(backward_z))

    def scan_windows(self, u: Tensor, mask: Tensor | None, context: Context) -> Tensor:
        """The scan forward, where every chunk starts from an empty state at the first of its left chunks."""
        real = u.new_ones(u.shape[:2], dtype=torch.bool) if mask is None else mask
        windows, seen = with_left_chunks(u, context), with_left_chunks(real, context)
        s = self.forward_scan(windows.flatten(0, 1), seen.flatten(0, 1))[:, -context.chunk :]
        return from_chunks(s.unflatten(0, windows.shape[:2]), u.shape[1])

    def scan_back(self, x: Tensor, u: Tensor, mask: Tensor | None, context: Context | None) -> Tensor:
        """The scan from the last frame, or from the last of every chunk, backward."""
        if self.separate:
            u = self.backward_in_proj(x).chunk(2, -1)[0]
        chunks, real = masked_chunks(u, mask, context)
        s = self.backward_scan(chunks.flatten(0, 1).flip(1), real.flatten(0, 1).flip(1)).flip(1)
        return from_chunks(s.unflatten(0, chunks.shape[:2]), u.shape[1])

    def init_state(self, batch, context):
        like, bounded = self.in_proj.weight, context.left_chunks is not None
        channels, state_size = self.forward_scan.A_log.shape
        hidden = like.new_zeros(batch, 0 if bounded else channels, state_size, dtype=sum_dtype(like))
        tail = like.new_zeros(batch, 0 if bounded else self.forward_scan.conv.kernel_size[0] - 1, channels)
        window = like.new_zeros(batch, context.left_chunks * context.chunk if bounded else 0, channels)
        return MambaState(hidden, tail, window, like.new_zeros(batch, dtype=torch.int64))

    def step(self, x, state):
        u, z = self.in_proj(x).chunk(2, -1)
        if state.hidden.shape[1]:
            s, hidden, tail = self.forward_scan.step(u, state.hidden, state.tail)
            state = state._replace(hidden=hidden, tail=tail)
        else:
            kept, window = state.window.shape[1], torch.cat([state.window, u], 1)
            seen = torch.arange(window.shape[1], device=u.device) >= kept - state.frames[:, None]
            s = self.forward_scan(window, seen)[:, kept:]
            state = state._replace(window=window[:, u.shape[1] :])
        y = self.join(x, s, z, None if self.causal else self.scan_back(x, u, None, None))
        return y, state._replace(frames=state.frames + u.shape[1])

    def state_size(self, frames, context=None):
        channels, state_size = self.forward_scan.A_log.shape
        if context is None or context.left_chunks is None:
            return channels * (state_size + self.forward_scan.conv.kernel_size[0] - 1)
        return channels * context.left_chunks * context.chunk


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
        if fused_kernel is not None and u.is_cuda:
            return fused_scan(u, *self.parameters_of(u)) + self.D * u
        return blocked_scan(u, *self.parameters_of(u))[0] + self.D * u

    def step(self, u: Tensor, hidden: Tensor, tail: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The next frames u from a state ``[B, channels, state_size]`` and the last inputs of the convolution on."""
        inputs = torch.cat([tail, u], 1)
        kept = self.conv.kernel_size[0] - 1
        convolved = self.conv(inputs.transpose(1, 2))[..., kept : inputs.shape[1]]
        u = silu(convolved.transpose(1, 2))
        s, hidden = blocked_scan(u, *self.parameters_of(u), hidden)
        return s + self.D * u, hidden, inputs[:, inputs.shape[1] - kept :]

    def parameters_of(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """dt, A, B and C of frames u ``[B, T, channels]``."""
        dt, B, C = self.x_proj(u).split(self.sizes, -1)
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
