"""What every encoder shares, and the Conformer around any mixer (https://arxiv.org/abs/2005.08100)."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from mixers.base import Mixer, keep, lengths_to_mask


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
        return Encoded(keep(self.norm(frames), mask), lengths)


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


class ConvModule(nn.Module):
    """The Conformer's convolution, LayerNorm in place of BatchNorm as in SpeechBrain.

    SpeechBrain's ConvolutionModule masks what leaves the depthwise convolution but not what enters it,
    so that padding leaks into the last frames; here it is zeroed before.
    """

    def __init__(self, d_model: int, kernel_size: int, dropout: float):
        super().__init__()
        self.gated = nn.Sequential(nn.LayerNorm(d_model), nn.Linear(d_model, 2 * d_model), nn.GLU())
        self.depthwise = depthwise_conv("Conformer", d_model, kernel_size)
        self.after = nn.Sequential(nn.LayerNorm(d_model), nn.SiLU(), nn.Linear(d_model, d_model), nn.Dropout(dropout))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = keep(self.gated(x), mask)
        return self.after(self.depthwise(x.transpose(1, 2)).transpose(1, 2))


class ConformerBlock(nn.Module):
    """Half feed-forward, mixer, convolution, half feed-forward, each residual; LayerNorm last."""

    def __init__(self, d_model: int, mixer: Mixer, d_ffn: int, kernel_size: int, dropout: float, activation):
        super().__init__()
        self.first = FeedForward(d_model, d_ffn, dropout, activation)
        self.norm = nn.LayerNorm(d_model)
        self.mixer = mixer
        self.dropout = nn.Dropout(dropout)
        self.conv = ConvModule(d_model, kernel_size, dropout)
        self.second = FeedForward(d_model, d_ffn, dropout, activation)
        self.last = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + 0.5 * self.first(x)
        x = x + self.dropout(self.mixer(self.norm(x), mask))
        x = x + self.conv(x, mask)
        return self.last(x + 0.5 * self.second(x))


class Conformer(Encoder):
    """A stack of Conformer blocks, one for every mixer in ``mixers``.

    mixers: one callable ``d_model -> Mixer`` a layer. activation: that of the feed-forward layers.
    Raises ValueError for an even kernel_size.
    """

    def __init__(
        self,
        d_model: int,
        mixers: Sequence[Callable[[int], Mixer]],
        *,
        d_ffn: int,
        kernel_size: int = 31,
        dropout: float = 0.1,
        activation: type[nn.Module] = nn.GELU,
    ):
        super().__init__(
            d_model,
            (ConformerBlock(d_model, mixer(d_model), d_ffn, kernel_size, dropout, activation) for mixer in mixers),
        )
