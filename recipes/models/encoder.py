"""What every encoder shares: output, stack of blocks, feed-forward layer, depthwise convolution."""

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn

from mixers.base import lengths_to_mask, zero_padding


class Encoded(NamedTuple):
    """Encoder output: frames ``[B, T, d_model]`` and their lengths, int64 ``[B]``."""

    frames: Tensor
    lengths: Tensor


class Encoder(nn.Module):
    """What every encoder is: a stack of blocks, each called with frames and mask, and a LayerNorm."""

    def __init__(self, d_model: int, blocks: Iterable[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(d_model, eps=1e-6)

    def forward(self, frames: Tensor, lengths: Tensor) -> Encoded:
        """frames ``[B, T, d_model]`` of 40 ms and their lengths → the same shape. Padded frames come out zero."""
        mask = lengths_to_mask(lengths, frames.shape[1])
        for block in self.blocks:
            frames = block(frames, mask)
        return Encoded(zero_padding(self.norm(frames), mask), lengths)


def depthwise_conv(owner: str, channels: int, kernel_size: int) -> nn.Conv1d:
    """A convolution over time of each channel, zeros beyond both ends. Raises ValueError for an even kernel."""
    if kernel_size % 2 == 0:
        raise ValueError(f"{owner}: kernel_size must be odd, not {kernel_size}")
    return nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)


class FeedForward(nn.Sequential):
    """Pre-normalised feed-forward layer. SpeechBrain's transposes batch and time, one copy more each way."""

    def __init__(self, d_model: int, d_ffn: int, dropout: float, activation: type[nn.Module]):
        super().__init__(
            nn.LayerNorm(d_model),
            nn.Linear(d_model, d_ffn),
            activation(),
            nn.Dropout(dropout),
            nn.Linear(d_ffn, d_model),
            nn.Dropout(dropout),
        )
