"""Mamba-2: a state-space model with one decay a head, so that whole blocks of frames are matrix products."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from .base import check_heads, sum_dtype
from .chunks import checkpointed, to_chunks
from .decays import decay_ratios, decayed_steps, step_biases
from .norms import rms_norm
from .scans import Scan, ScanMixer, check_sizes

BLOCK = 64  # frames whose pairs are taken at once
SPAN = 16  # blocks whose matrices are in memory at once


class Mamba2(ScanMixer):
    """Bidirectional Mamba-2 (https://arxiv.org/abs/2405.21060, sections 6 and 7).

        u, B, C, dt, z = in_proj(x)          [T, channels], [T, state_size] twice, [T, heads], [T, channels]
        each direction:  u', B', C' = SiLU(conv(u, B, C)),  d = softplus(dt + dt_bias),  A = -exp(A_log)
            each head:  h_t = exp(d_t A) h_(t-1) + d_t B'_t u'_t^T,   s_t = h_t^T C'_t + D u'_t
        y = out_proj(RMSNorm((s forward + s backward) * SiLU(z)))

    Against Mamba d, A and D are numbers of a head, B and C come straight from x, and a norm follows. With log decays
    L_t = sum over u <= t of d_u A, a block of frames after the state h is (section 6)
        s_t = sum over u <= t of exp(L_t - L_u) (C'_t . B'_u) d_u u'_u + exp(L_t) h^T C'_t + D u'_t,
    products of matrices; between blocks h is carried. The directions share in_proj, the norm and out_proj, and have
    a convolution, dt_bias, A and D of their own. Under a context the backward direction starts at the chunk's last
    frame; a stream keeps the state of the forward direction.

    heads: of the channels. state_size: rows of h ``[state_size, channels / heads]``. expansion: channels =
    expansion * d_model. conv_size: kernel of the causal convolution.
    separate: each direction has its own projections and norm, and their outputs are added. causal: the forward
    direction alone.
    Raises ValueError for a size below one, heads that do not divide the channels, or ``separate`` with ``causal``.
    """

    paper = "2405.21060"
    year = 2024

    def __init__(
        self,
        d_model: int,
        *,
        heads: int = 4,
        state_size: int = 64,
        expansion: int = 2,
        conv_size: int = 4,
        separate: bool = False,
        causal: bool = False,
    ):
        check_sizes("Mamba2", state_size=state_size, expansion=expansion, conv_size=conv_size)
        channels = expansion * d_model
        check_heads("Mamba2", heads, channels=channels)
        inputs = channels + 2 * state_size + heads
        make_scan = partial(DualScan, channels, heads, state_size, conv_size)
        make_out_proj = partial(NormedLinear, channels, d_model)
        super().__init__(d_model, inputs, channels, make_scan, make_out_proj, separate=separate, causal=causal)


class NormedLinear(nn.Module):
    """A scan's output s, times SiLU of its gate z, RMSNorm, then a linear layer without bias.

    The gated sum may be beyond float16; the norm brings it down before it is rounded.
    """

    def __init__(self, channels: int, d_model: int):
        super().__init__()
        self.norm_weight = nn.Parameter(torch.ones(channels))
        self.linear = nn.Linear(channels, d_model, bias=False)

    def forward(self, s: Tensor, z: Tensor) -> Tensor:
        gated = s.to(sum_dtype(s)) * silu(z.to(sum_dtype(z)))
        return self.linear(rms_norm(gated, self.norm_weight, floor=1e-5).to(z.dtype))


class DualScan(Scan):
    """A direction of Mamba-2. Parameters have the names of the authors' code."""

    def __init__(self, channels: int, heads: int, state_size: int, conv_size: int):
        super().__init__([channels + 2 * state_size, heads], conv_size, (state_size, heads, channels // heads))
        self.heads, self.parts = heads, [channels, state_size, state_size]
        self.dt_bias = nn.Parameter(step_biases(heads))
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(heads))

    def scan_on(self, u: Tensor, others: list[Tensor], state: Tensor | None) -> tuple[Tensor, Tensor]:
        (dt,) = others
        with torch.autocast(u.device.type, enabled=False):
            u, dt, dt_bias, A_log, D = (part.to(sum_dtype(part)) for part in (u, dt, self.dt_bias, self.A_log, self.D))
            u, B, C = u.split(self.parts, -1)
            u, steps, rates = u.unflatten(-1, (self.heads, -1)), softplus(dt + dt_bias), -A_log.exp()
            if state is None:
                state = u.new_zeros(len(u), *self.state_shape)
            frames, outputs = u.shape[1], []
            for span in zip(*(part.split(SPAN * BLOCK, 1) for part in (u, steps, B, C)), strict=True):
                blocks = [to_chunks(part, min(BLOCK, frames)) for part in span]
                s, state = checkpointed(scan_blocks, *blocks, rates, D, state)
                outputs.append(s.flatten(1, 2))
            return torch.cat(outputs, 1)[:, :frames].flatten(2), state  # rounded after the norm


def scan_blocks(
    u: Tensor, steps: Tensor, B: Tensor, C: Tensor, rates: Tensor, D: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """s of a few blocks, as ``Mamba2`` has it, and the last state.

    u: ``[B, blocks, frames, heads, size]``; steps: ``[B, blocks, frames, heads]``; B, C: ``[B, blocks, frames, n]``;
    rates (A, negative) and D: ``[heads]``; state: the h before, ``[B, n, heads, size]``. Padding has steps of zero.
    """
    so_far = (steps * rates).cumsum(2)
    last, by_head = so_far[:, :, -1:], so_far.transpose(2, 3)[..., None]
    scores = (C @ B.transpose(-1, -2))[:, :, None] * decay_ratios(by_head).squeeze(-1)
    scores = scores * steps.transpose(2, 3)[..., None, :] + torch.diag_embed(D[:, None].expand(-1, steps.shape[2]))
    inside = (scores @ u.transpose(2, 3)).transpose(2, 3)
    # All heads share B and C, so that one product serves them.
    at_end = u * (steps * (last - so_far).exp())[..., None]
    added = (B.transpose(-1, -2) @ at_end.flatten(3)).unflatten(-1, u.shape[3:])
    states = [state, *decayed_steps(last.exp()[..., None], added, state, 1)]
    before = torch.stack(states[:-1], 1)
    carried = (C @ before.flatten(3)).unflatten(-1, u.shape[3:]) * so_far.exp()[..., None]
    return inside + carried, states[-1]
