"""What every encoder shares: its output, the stack of blocks, the feed-forward layer, the depthwise convolution."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor, nn

from mixers.base import lengths_to_mask, zero_padding
from recipes.models.options import ODD, check_options


class Encoded(NamedTuple):
    """Encoder output: frames ``[B, T, d_model]`` and their lengths, int64 ``[B]``."""

    frames: Tensor
    lengths: Tensor


class Encoder(nn.Module):
    """A stack of blocks, each called with frames and mask, then a LayerNorm."""

    def __init__(self, d_model: int, blocks: Iterable[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = nn.LayerNorm(d_model, eps=1e-6)

    def forward(self, frames: Tensor, lengths: Tensor) -> Encoded:
        """frames ``[B, T, d_model]`` of 40 ms and their lengths → the same shape. Padded frames are zero."""
        mask = lengths_to_mask(lengths, frames.shape[1])
        for block in self.blocks:
            frames = block(frames, mask)
        return Encoded(zero_padding(self.final_norm(frames), mask), lengths)


class FeedForward(nn.Module):
    """Feed-forward layer, normalised first.

    norm_eps: of its LayerNorm; None: no LayerNorm, where the caller normalises. activation: a module class.
    SpeechBrain's layer transposes batch and time before and after, which copies both times; this one does not.
    """

    def __init__(
        self,
        d_model: int,
        d_ffn: int,
        dropout: float,
        activation: Callable[[], nn.Module],
        norm_eps: float | None = 1e-5,
    ):
        super().__init__()
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(d_model, eps=norm_eps)
        self.up, self.activation, self.down = nn.Linear(d_model, d_ffn), activation(), nn.Linear(d_ffn, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[…, d_model]`` → the same shape, to be added to ``x``."""
        hidden = self.dropout(self.activation(self.up(self.norm(x))))
        return self.dropout(self.down(hidden))


def depthwise_conv(owner: str, channels: int, kernel_size: int) -> nn.Conv1d:
    """A convolution over time of every channel by itself, with zeros beyond both ends.

    owner: the class that the error names. Raises ValueError unless kernel_size is odd.
    """
    check_options(owner, kernel_size=(kernel_size, ODD))
    return nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
