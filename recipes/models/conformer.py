"""The Conformer encoder around any mixer (https://arxiv.org/abs/2005.08100)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.functional import glu, silu

from mixers.base import Mixer, zero_padding
from recipes.models.encoder import Encoder, FeedForward, depthwise_conv
from recipes.models.options import ODD, SHARE, SIZE, check_options


class ConvModule(nn.Module):
    """The Conformer's convolution, with LayerNorm in place of BatchNorm as in SpeechBrain.

    SpeechBrain's ConvolutionModule masks the output of the depthwise convolution but not its input, so that
    padding leaks into the last frames; here the input is zeroed. Raises ValueError for an even kernel_size.
    """

    def __init__(self, d_model: int, kernel_size: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.pointwise_in = nn.Linear(d_model, 2 * d_model)
        self.depthwise = depthwise_conv("Conformer", d_model, kernel_size)
        self.depthwise_norm = nn.LayerNorm(d_model)
        self.pointwise_out = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, T, d_model]`` → the same shape, to be added to ``x``."""
        x = zero_padding(glu(self.pointwise_in(self.norm(x))), mask)
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return self.dropout(self.pointwise_out(silu(self.depthwise_norm(x))))


class ConformerBlock(nn.Module):
    """Half feed-forward, mixer, convolution, half feed-forward, each residual; then a LayerNorm."""

    def __init__(
        self,
        d_model: int,
        mixer: Mixer,
        d_ffn: int,
        kernel_size: int,
        dropout: float,
        activation: Callable[[], nn.Module],
    ):
        super().__init__()
        self.ffn1 = FeedForward(d_model, d_ffn, dropout, activation)
        self.mixer_norm = nn.LayerNorm(d_model)
        self.mixer = mixer
        self.dropout = nn.Dropout(dropout)
        self.conv = ConvModule(d_model, kernel_size, dropout)
        self.ffn2 = FeedForward(d_model, d_ffn, dropout, activation)
        self.final_norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, T, d_model]`` → the same shape. mask: bool ``[B, T]``, True = real frame; None = all are."""
        x = x + 0.5 * self.ffn1(x)
        x = x + self.dropout(self.mixer(self.mixer_norm(x), mask))
        x = x + self.conv(x, mask)
        return self.final_norm(x + 0.5 * self.ffn2(x))


class Conformer(Encoder):
    """A stack of Conformer blocks, one for every mixer in ``mixers``.

    mixers: one callable ``d_model -> Mixer`` per layer. activation: of the feed-forward layers.
    Raises ValueError for sizes below 1 and an even kernel_size.
    """

    def __init__(
        self,
        d_model: int,
        mixers: Sequence[Callable[[int], Mixer]],
        *,
        d_ffn: int,
        kernel_size: int = 31,
        dropout: float = 0.1,
        activation: Callable[[], nn.Module] = nn.GELU,
    ):
        check_options(
            "Conformer",
            d_model=(d_model, SIZE),
            d_ffn=(d_ffn, SIZE),
            kernel_size=(kernel_size, ODD),
            dropout=(dropout, SHARE),
        )
        super().__init__(
            d_model,
            (ConformerBlock(d_model, mixer(d_model), d_ffn, kernel_size, dropout, activation) for mixer in mixers),
        )
