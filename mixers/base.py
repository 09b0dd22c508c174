"""The protocol of a mixer, and the few helpers that all mixers share."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Context(NamedTuple):
    """Which frames a frame may see when the encoder streams, in encoder frames (40 ms) and whole chunks.

    A frame sees its own chunk of ``chunk`` frames, future frames of that chunk included, and the
    ``left_chunks`` chunks before it; ``None`` means all the past.
    """

    chunk: int
    left_chunks: int | None = None


class Streaming(nn.Module):
    """A module that can stream, or says why it cannot.

    ``cannot_stream`` gives the reason why not; it is empty when the module can.
    """

    cannot_stream: str = ""

    def check_streaming(self) -> None:
        """Raise ValueError if this module cannot stream; its forward calls this when it gets a context."""
        if self.cannot_stream:
            raise ValueError(f"{type(self).__name__} cannot stream or take a context: {self.cannot_stream}")


class Mixer(Streaming):
    """Mixes frames over time: ``[B, T, d_model]`` in, the same shape out.

    Every encoder relies on one promise: the content of padded frames never reaches a real frame. The output
    in padded frames is arbitrary.

    ``linear`` states that memory and time grow in proportion to T, forward and backward.
    ``cannot_stream`` gives the reason why a mixer cannot stream; it is empty when the mixer can.
    ``paper`` is an arXiv id or a URL and ``year`` the year of publication; both are optional.
    """

    linear: bool = True
    paper: str | None = None
    year: int | None = None

    def forward(self, x: Tensor, mask: Tensor | None = None, context: Context | None = None) -> Tensor:
        """Mix whole utterances at once.

        x: ``[B, T, d_model]``; mask: bool ``[B, T]``, True = real frame, None = all frames are real;
        context: which frames each frame may see, None = the whole utterance.
        """
        raise NotImplementedError

    def init_state(self, batch: int, context: Context):
        """The empty streaming state for ``batch`` streams: a NamedTuple of tensors, batch first."""
        self.check_streaming()
        raise NotImplementedError

    def step(self, x: Tensor, state) -> tuple[Tensor, object]:
        """Mix the next chunk ``[B, <=chunk, d_model]``; equal to ``forward(…, context)`` on the whole utterance.

        Only the last chunk of a stream may be shorter than ``context.chunk``.
        """
        self.check_streaming()
        raise NotImplementedError

    def state_size(self, frames: int, context: Context | None = None) -> int:
        """How many floating-point numbers a stream keeps after ``frames`` frames."""
        self.check_streaming()
        raise NotImplementedError


def zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """``x`` with padded frames set to zero. x: ``[B, T, …]``; mask: ``[B, T]`` or None; or both in chunks.

    ``masked_fill`` and not a product, because infinity times zero is not zero. Raises ValueError for another mask.
    """
    if mask is None:
        return x
    if not torch.compiler.is_compiling():
        check_mask(x, mask)
    mask = mask.view(mask.shape + (1,) * (x.dim() - mask.dim()))
    if x.device.type != "cpu" or x.element_size() not in BITS or torch.compiler.is_compiling():
        return x.masked_fill(~mask, 0.0)
    return MaskedBits.apply(x, -mask.to(BITS[x.element_size()]))


BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # bytes of a number, and the integers of that size


class MaskedBits(torch.autograd.Function):
    """x where ``bits`` is -1, zero where it is 0. On a CPU in a quarter of the time of ``masked_fill``."""

    @staticmethod
    def forward(ctx, x: Tensor, bits: Tensor) -> Tensor:
        ctx.save_for_backward(bits)
        return (x.view(bits.dtype) & bits).view(x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (bits,) = ctx.saved_tensors
        return MaskedBits.apply(gradient, bits), None


def check_mask(x: Tensor, mask: Tensor) -> None:
    """Raise ValueError unless ``mask`` is bool and has the first dimensions of ``x``. Lengths are a common mistake."""
    frames = list(x.shape[: max(mask.dim(), 2)])
    if mask.dtype != torch.bool or list(mask.shape) != frames:
        kind = str(mask.dtype).removeprefix("torch.")
        raise ValueError(
            f"mask must be bool {frames}, True for a real frame, not {kind} {list(mask.shape)}; "
            "of lengths in frames: torch.arange(T) < lengths[:, None]"
        )


def lengths_to_mask(lengths: Tensor, frames: int) -> Tensor:
    """bool ``[B, frames]``, True for the first ``lengths[b]`` frames of row b."""
    return torch.arange(frames, device=lengths.device)[None] < lengths[:, None]


def sum_dtype(x: Tensor) -> torch.dtype:
    """The dtype of sums over time: float32 at least, because bfloat16 stops counting at 256."""
    return torch.promote_types(x.dtype, torch.float32)


def check_heads(owner: str, heads: int, **sizes: int) -> None:
    """Raise ValueError unless ``heads`` divides every size in ``sizes``."""
    for name, size in sizes.items():
        if heads < 1 or size % heads:
            raise ValueError(f"{owner}: heads {heads} must divide {name} {size}")


def check_even(owner: str, name: str, size: int) -> None:
    """Raise ValueError for an odd ``size``: positions are pairs of a sine and a cosine."""
    if size % 2:
        raise ValueError(f"{owner}: its positions need an even {name}, not {size}")


def check_option(owner: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless ``value`` is in ``choices``."""
    if value not in choices:
        raise ValueError(f"{owner}: unknown {name} '{value}'; it is one of {', '.join(choices)}")
