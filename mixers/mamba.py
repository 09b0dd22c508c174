"""Mamba: a state-space model whose steps depend on its input, run over the utterance from both ends."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from mixers.base import Mixer, sum_dtype, zero_padding
from mixers.chunks import recomputed, to_chunks

try:  # the fused kernel, where it is installed
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn as fused_kernel
except ImportError:
    fused_kernel = None

BLOCK = 64  # frames whose states are in memory at once
STRIDE = 8


class Mamba(Mixer):
    """Bidirectional Mamba (https://arxiv.org/abs/2312.00752, algorithm 2), as https://arxiv.org/abs/2407.09732
    has it for speech.

        u, z = W_in x                                                  [T, channels] each
        each direction:  u' = SiLU(conv(u)),  B, C, D = linear in u',  step = softplus(D W + b)
            h_t = exp(step_t A) h_(t-1) + step_t B_t u'_t,   s_t = C_t . h_t + skip u'_t
        y = W_out ((s forward + s backward) * SiLU(z))

    The directions share W_in and W_out and have all else of their own. Linear in time; the states
    ``[channels, state_size]`` of a few frames only are in memory at once.

    state_size: numbers in h for each channel. expansion: channels = expansion * d_model. conv_size: kernel
    of the causal convolution. step_rank: size of D, default d_model / 16, rounded up.
    Raises ValueError for a size below one.
    """

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
        self.into = nn.Linear(d_model, 2 * channels, bias=False)
        self.ahead = SelectiveScan(channels, state_size, conv_size, step_rank)
        self.back = SelectiveScan(channels, state_size, conv_size, step_rank)
        self.out = nn.Linear(channels, d_model, bias=False)

    def forward(self, x, mask=None, context=None):
        if context is not None:
            self.check_streaming()
        u, z = self.into(zero_padding(x, mask)).chunk(2, -1)
        backward_mask = None if mask is None else mask.flip(1)
        s = self.ahead(u, mask) + self.back(u.flip(1), backward_mask).flip(1)
        return self.out(s * silu(z))


class SelectiveScan(nn.Module):
    """One direction: ``[B, T, channels]`` → the same. Padding may stand at either end, and must be zero."""

    def __init__(self, channels: int, state_size: int, conv_size: int, step_rank: int):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, conv_size, groups=channels, padding=conv_size - 1)
        self.select = nn.Linear(channels, step_rank + 2 * state_size, bias=False)
        self.sizes = [step_rank, state_size, state_size]
        self.step = nn.Linear(step_rank, channels)
        self.log_rates = nn.Parameter(torch.arange(1.0, state_size + 1).log().repeat(channels, 1))
        self.skip = nn.Parameter(torch.ones(channels))
        # As published: steps start between 0.001 and 0.1, evenly in their logarithm.
        bound = step_rank**-0.5
        nn.init.uniform_(self.step.weight, -bound, bound)
        steps = torch.empty(channels).uniform_(math.log(0.001), math.log(0.1)).exp()
        with torch.no_grad():
            self.step.bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # softplus of this is ``steps``

    def forward(self, u: Tensor, mask: Tensor | None) -> Tensor:
        u = silu(self.conv(u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        # A padded frame writes nothing, so before the first real frame the state stays empty.
        u = zero_padding(u, mask)
        step, write, read = self.select(u).split(self.sizes, -1)
        step = softplus(self.step(step))
        scan = fused_scan if fused_kernel is not None and u.is_cuda else blocked_scan
        return scan(u, step, -self.log_rates.exp(), write, read) + self.skip * u


def fused_scan(u: Tensor, step: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """``blocked_scan`` by the fused kernel, which takes time last."""
    u, step, write, read = (part.transpose(1, 2).contiguous() for part in (u, step, write, read))
    return fused_kernel(u, step.to(u.dtype), rates.float(), write, read).transpose(1, 2)


def blocked_scan(u: Tensor, step: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """s_t = read_t . h_t of the recurrence h_t = exp(step_t rates) h_(t-1) + step_t write_t u_t.

    u, step: ``[B, T, channels]``; rates: ``[channels, n]``, negative; write, read: ``[B, T, n]``. States are
    kept between blocks only, and computed again for backward.
    """
    dtype = u.dtype
    with torch.autocast(u.device.type, enabled=False):
        parts = [part.to(sum_dtype(part)) for part in (u, step, write, read)]
        rates = rates.to(parts[0].dtype)
        state = parts[0].new_zeros(u.shape[0], *rates.shape)
        blocks = []
        for block in zip(*(part.split(BLOCK, 1) for part in parts), strict=True):
            s, state = recomputed(scan_block, *block, rates, state)
            blocks.append(s)
        return torch.cat(blocks, 1).to(dtype)


def scan_block(
    u: Tensor, step: Tensor, write: Tensor, read: Tensor, rates: Tensor, start: Tensor
) -> tuple[Tensor, Tensor]:
    """``blocked_scan`` of a few frames from the state ``start`` ``[B, channels, n]`` on, and the last state."""
    decays = (step[..., None] * rates).exp()
    states = recurrence(decays, (step * u)[..., None] * write[:, :, None], start)
    return (states @ read[..., None]).squeeze(-1), states[:, -1]


def recurrence(decays: Tensor, inputs: Tensor, start: Tensor) -> Tensor:
    """h_t = decays_t h_(t-1) + inputs_t for all t: ``[B, T, …]`` from ``start`` ``[B, …]``.

    STRIDE steps in all stretches of STRIDE frames at once, each from an empty state; the same over the
    stretches' ends; then every frame adds what had come before its stretch. Products of decays only
    shrink, so nothing overflows however long the time.
    """
    frames = decays.shape[1]
    if frames <= STRIDE:
        return torch.stack(steps(decays, inputs, start, 1), 1)
    decays, inputs = to_chunks(decays, STRIDE), to_chunks(inputs, STRIDE)
    nothing = torch.zeros_like(inputs[:, :, 0])
    local = torch.stack(steps(decays, inputs, nothing, 2), 2)
    faded = decays.cumprod(2)
    ends = recurrence(faded[:, :, -1], local[:, :, -1], start)
    before = torch.cat([start[:, None], ends[:, :-1]], 1)
    return (local + faded * before[:, :, None]).flatten(1, 2)[:, :frames]


def steps(decays: Tensor, inputs: Tensor, state: Tensor, dim: int) -> list[Tensor]:
    """The states after each step along ``dim``."""
    states = []
    for decay, entry in zip(decays.unbind(dim), inputs.unbind(dim), strict=True):
        state = decay * state + entry
        states.append(state)
    return states
