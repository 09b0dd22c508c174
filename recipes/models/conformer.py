"""What every encoder shares, and the Conformer around any mixer (https://arxiv.org/abs/2005.08100)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from mixers.base import Mixer, zero_padding
from recipes.models.encoder import Encoder, FeedForward, depthwise_conv


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
        x = zero_padding(self.gated(x), mask)
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
