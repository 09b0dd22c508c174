"""The depthwise convolution of the encoders: over whole utterances, in chunks, and in a stream."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mixers.base import Context
from mixers.chunks import from_chunks
from mixers.convolution import depthwise_conv
from recipes.models.options import ODD, check_options


class ConvState(NamedTuple):
    """The last input frames of a stream, which the next chunk sees to its left: ``[B, kernel_size // 2, channels]``."""

    past: Tensor


class DepthwiseConv(nn.Conv1d):
    """A convolution over time of every channel by itself, with zeros beyond both ends: ``[B, T, channels]`` → the same.

    Under a context a frame sees the frames to its left, of other chunks too, and zeros beyond the right end of its
    chunk: dynamic chunk convolution (https://arxiv.org/abs/2304.09325), as in https://arxiv.org/abs/2409.07165.
    owner: the class that the error names. Raises ValueError unless kernel_size is odd.
    """

    def __init__(self, owner: str, channels: int, kernel_size: int):
        check_options(owner, kernel_size=(kernel_size, ODD))
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)

    @property
    def reach(self) -> int:
        """Frames that the kernel reaches to either side."""
        return self.kernel_size[0] // 2

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        if context is None:
            return self.convolve(x, int(self.padding[0]))
        frames, chunk = x.shape[1], context.chunk
        windows = pad(x, (0, 0, self.reach, -frames % chunk)).unfold(1, self.reach + chunk, chunk).transpose(2, 3)
        chunks = self.convolve_chunk(windows.flatten(0, 1))
        return from_chunks(chunks.unflatten(0, windows.shape[:2]), frames)

    def convolve(self, x: Tensor, padding: int) -> Tensor:
        """``[B, T, channels]`` with so many zeros at either end → ``[B, T + 2 * padding - 2 * reach, channels]``."""
        return depthwise_conv(x, self.weight, self.bias, padding)

    def convolve_chunk(self, window: Tensor) -> Tensor:
        """A chunk with the frames to its left, ``[B, half + chunk, channels]`` → ``[B, chunk, channels]``."""
        return self.convolve(pad(window, (0, 0, 0, self.reach)), 0)

    def init_state(self, batch: int, context: Context) -> ConvState:
        return ConvState(self.weight.new_zeros(batch, self.reach, self.in_channels))

    def step(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """The next chunk ``[B, <= chunk, channels]``."""
        window = torch.cat([state.past.to(x.dtype), x], 1)
        return self.convolve_chunk(window), ConvState(window[:, x.shape[1] :])

    def state_size(self, frames: int, context: Context | None = None) -> int:
        return self.reach * self.in_channels
