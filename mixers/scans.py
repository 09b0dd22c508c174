"""What Mamba and Mamba-2 share: a causal scan in each direction of time, between two projections."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from .base import Context, Mixer, sum_dtype, zero_padding
from .chunks import from_chunks, masked_chunks, with_left_chunks
from .convolution import depthwise_conv


class ScanState(NamedTuple):
    """The past of the forward scan: its ``hidden`` state, or under ``left_chunks`` the ``window`` of inputs in view.

    hidden: ``[B, …]``, as ``Scan.state_shape``; tail: ``[B, conv_size - 1, convolved]``, the last inputs of the
    convolution; window: ``[B, frames, inputs]``, the inputs of the scan in the left chunks. Unused tensors are empty.
    ``frames`` ``[B]``, int64: the number of past frames.
    """

    hidden: Tensor
    tail: Tensor
    window: Tensor
    frames: Tensor


class Scan(nn.Module):
    """One direction of time: a causal convolution, SiLU, and a recurrence. Padding may be at either end.

    sizes: how many inputs of a frame are convolved, followed by the sizes of the inputs that are not.
    state_shape: the shape of the recurrence's state for one utterance.
    """

    def __init__(self, sizes: Sequence[int], conv_size: int, state_shape: Sequence[int]):
        super().__init__()
        self.sizes, self.state_shape = list(sizes), tuple(state_shape)
        self.conv = nn.Conv1d(sizes[0], sizes[0], conv_size, groups=sizes[0])

    def scan_on(self, u: Tensor, others: list[Tensor], state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The output of the recurrence over convolved frames u, and its last state. A frame of zeros must add nothing.

        state: the state before the first frame; None: zeros. others: the inputs that are not convolved, as in
        ``sizes``.
        """
        raise NotImplementedError

    def scan(self, u: Tensor, others: list[Tensor]) -> Tensor:
        """``scan_on`` from an empty state, without the last state."""
        return self.scan_on(u, others, None)[0]

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, T, inputs]`` → ``[B, T, channels]``. Padded frames must be zero in what is convolved."""
        u, *others = inputs.split(self.sizes, -1)
        u = silu(self.convolve(u)[:, : u.shape[1]])
        # A padded frame adds nothing, so before the first real frame the state stays empty.
        return self.scan(zero_padding(u, mask), others)

    def step(self, inputs: Tensor, hidden: Tensor, tail: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The next frames from a state and the last inputs of the convolution on."""
        u, *others = inputs.split(self.sizes, -1)
        u = torch.cat([tail, u], 1)
        kept = self.tail_frames
        convolved = silu(self.convolve(u)[:, kept : u.shape[1]])
        s, hidden = self.scan_on(convolved, others, hidden)
        return s, hidden, u[:, u.shape[1] - kept :]

    def convolve(self, u: Tensor) -> Tensor:
        """``[B, T, convolved]`` → ``[B, T + conv_size - 1, convolved]``: zeros stand before the first frame."""
        return depthwise_conv(u, self.conv.weight, self.conv.bias, self.tail_frames)

    @property
    def tail_frames(self) -> int:
        """How many past frames the convolution sees."""
        return self.conv.kernel_size[0] - 1


class GatedLinear(nn.Linear):
    """A scan's output s, times SiLU of its gate z, then a linear layer without bias."""

    def __init__(self, channels: int, d_model: int):
        super().__init__(channels, d_model, bias=False)

    def forward(self, s: Tensor, z: Tensor) -> Tensor:  # type: ignore[override]  # a linear layer with a gate
        return super().forward(s * silu(z))


class ScanMixer(Mixer):
    """The common part of Mamba and Mamba-2.

        u, z = in_proj(x),   y = out_proj((scan forward of u + scan backward of u) * SiLU(z))

    The two directions share in_proj and out_proj. With ``separate`` they share nothing; with ``causal`` there is only
    the forward one. Under a context the backward direction starts at the chunk's last frame, and a stream keeps the
    state of the forward direction. inputs: the size of u. channels: the size of z and of a scan's output.
    Raises ValueError for ``separate`` together with ``causal``.
    """

    def __init__(
        self,
        d_model: int,
        inputs: int,
        channels: int,
        make_scan: Callable[[], Scan],
        make_out_proj: Callable[[], nn.Module],
        *,
        separate: bool,
        causal: bool,
    ):
        super().__init__()
        if separate and causal:
            raise ValueError(f"{type(self).__name__}: a causal scan has no directions to be separate")
        self.separate, self.causal = separate, causal
        self.sizes = [inputs, channels]
        self.in_proj = nn.Linear(d_model, inputs + channels, bias=False)
        self.forward_scan = make_scan()
        if not causal:
            self.backward_scan = make_scan()
        self.out_proj = make_out_proj()
        if separate:
            self.backward_in_proj = nn.Linear(d_model, inputs + channels, bias=False)
            self.backward_out_proj = make_out_proj()

    def forward(self, x, mask=None, context=None):
        x = zero_padding(x, mask)
        u, z = self.in_proj(x).split(self.sizes, -1)
        if context is None or context.left_chunks is None:
            s = self.forward_scan(u, mask)
        else:
            s = self.scan_windows(u, mask, context)
        return self.join(x, s, u, z, mask, context)

    def join(
        self, x: Tensor, s: Tensor, u: Tensor, z: Tensor, mask: Tensor | None = None, context: Context | None = None
    ) -> Tensor:
        """y for frames x, from the forward scan's output s and its gate z. The backward scan, of u, is run here."""
        if self.causal:
            return self.out_proj(s, z)
        if not self.separate:
            return self.out_proj(s + self.scan_back(u, mask, context), z)
        backward_u, backward_z = self.backward_in_proj(x).split(self.sizes, -1)
        backward = self.scan_back(backward_u, mask, context)
        return self.out_proj(s, z) + self.backward_out_proj(backward, backward_z)

    def scan_windows(self, u: Tensor, mask: Tensor | None, context: Context) -> Tensor:
        """The forward scan under ``left_chunks``: every chunk starts at its left chunks, with an empty state."""
        real = u.new_ones(u.shape[:2], dtype=torch.bool) if mask is None else mask
        windows, seen = with_left_chunks(u, context), with_left_chunks(real, context)
        s = self.forward_scan(windows.flatten(0, 1), seen.flatten(0, 1))[:, -context.chunk :]
        return from_chunks(s.unflatten(0, windows.shape[:2]), u.shape[1])

    def scan_back(self, u: Tensor, mask: Tensor | None, context: Context | None) -> Tensor:
        """The backward scan, from the last frame or from the last of every chunk."""
        if mask is None and context is None:
            return self.backward_scan(u.flip(1), None).flip(1)
        chunks, real = masked_chunks(u, mask, context)
        s = self.backward_scan(chunks.flatten(0, 1).flip(1), real.flatten(0, 1).flip(1)).flip(1)
        return from_chunks(s.unflatten(0, chunks.shape[:2]), u.shape[1])

    def init_state(self, batch, context):
        like, bounded, scan = self.in_proj.weight, context.left_chunks is not None, self.forward_scan
        first, *rest = scan.state_shape
        hidden = like.new_zeros(batch, 0 if bounded else first, *rest, dtype=sum_dtype(like))
        tail = like.new_zeros(batch, 0 if bounded else scan.tail_frames, scan.sizes[0])
        window = like.new_zeros(batch, context.left_chunks * context.chunk if bounded else 0, self.sizes[0])
        return ScanState(hidden, tail, window, like.new_zeros(batch, dtype=torch.int64))

    def step(self, x, state):
        u, z = self.in_proj(x).split(self.sizes, -1)
        if state.hidden.shape[1]:
            s, hidden, tail = self.forward_scan.step(u, state.hidden, state.tail)
            state = state._replace(hidden=hidden, tail=tail)
        else:
            kept, window = state.window.shape[1], torch.cat([state.window, u], 1)
            seen = torch.arange(window.shape[1], device=u.device) >= kept - state.frames[:, None]
            s = self.forward_scan(window, seen)[:, kept:]
            state = state._replace(window=window[:, u.shape[1] :])
        return self.join(x, s, u, z), state._replace(frames=state.frames + u.shape[1])

    def state_size(self, frames, context=None):
        scan = self.forward_scan
        if context is None or context.left_chunks is None:
            return math.prod(scan.state_shape) + scan.tail_frames * scan.sizes[0]
        return self.sizes[0] * context.left_chunks * context.chunk


def check_sizes(owner: str, **sizes: int) -> None:
    """Raise ValueError for a size below one."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{owner}: {name} {size} must be at least 1")
