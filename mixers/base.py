"""What every mixer is: the protocol, and the few helpers that all of them share."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Context(NamedTuple):
    """What a frame may see when the encoder streams, in encoder frames (40 ms) and whole chunks.

    A frame sees its own chunk of ``chunk`` frames, future frames of that chunk included, and the
    ``left_chunks`` chunks before it; ``None`` means all the past.
    """

    chunk: int
    left_chunks: int | None = None


class Mixer(nn.Module):
    """Mixes frames over time: ``[B, T, d_model]`` in, the same shape out.

    The one promise that every encoder relies on: what stands in padded frames never reaches a valid
    one. What a mixer returns in padded frames is arbitrary.

    ``linear`` says that memory and time grow in proportion to T, forward and backward.
    ``cannot_stream`` says what keeps a mixer from streaming; empty when it can stream.
    """

    linear = True
    cannot_stream = ""

    def forward(self, x: Tensor, mask: Tensor | None = None, context: Context | None = None) -> Tensor:
        """Mix the whole utterance at once.

        x: ``[B, T, d_model]``; mask: bool ``[B, T]``, True = real frame, None = all are;
        context: what each frame may see, None = the whole utterance.
        """
        raise NotImplementedError

    def init_state(self, batch: int, context: Context):
        """The empty streaming state for ``batch`` streams: a NamedTuple of tensors, batch first."""
        self.check_streaming()
        raise NotImplementedError

    def step(self, x: Tensor, state) -> tuple[Tensor, object]:
        """Mix the next chunk ``[B, <=chunk, d_model]``; equal to ``forward(…, context)`` on the whole.

        Only the last chunk of a stream may be shorter than ``context.chunk``.
        """
        self.check_streaming()
        raise NotImplementedError

    def state_size(self, frames: int, context: Context | None = None) -> int:
        """How many floating-point numbers one stream keeps after ``frames`` frames."""
        self.check_streaming()
        raise NotImplementedError

    def check_streaming(self) -> None:
        """Raise ValueError if this mixer cannot stream; a forward that is given a context asks too."""
        if self.cannot_stream:
            raise ValueError(f"{type(self).__name__} cannot stream or take a context: {self.cannot_stream}")


def zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """``x`` with padded frames set to zero. x: ``[B, T, …]``; mask: ``[B, T]`` or None; or both in chunks.

    ``masked_fill`` and not a product, so that even an infinity in the padding is gone.
    """
    if mask is None:
        return x
    return x.masked_fill(~mask.view(mask.shape + (1,) * (x.dim() - mask.dim())), 0.0)


def lengths_to_mask(lengths: Tensor, frames: int) -> Tensor:
    """bool ``[B, frames]``, True for the first ``lengths[b]`` frames of row b."""
    return torch.arange(frames, device=lengths.device)[None] < lengths[:, None]


def sum_dtype(x: Tensor) -> torch.dtype:
    """Sums over time are taken in float32 at least: bfloat16 stops counting at 256."""
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


def check_option(owner: str, name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ValueError unless ``value`` is one of ``known``."""
    if value not in known:
        raise ValueError(f"{owner}: unknown {name} '{value}'; it is one of {', '.join(known)}")
