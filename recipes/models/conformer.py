"""The Conformer encoder around any mixer (https://arxiv.org/abs/2005.08100)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.functional import glu, silu

from mixers.base import Context, Mixer, zero_padding
from mixers.dropout import Dropout
from recipes.models.depthwise import ConvState, DepthwiseConv
from recipes.models.encoder import Block, BlockState, Encoder, FeedForward
from recipes.models.frame_wise import frame_wise
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
        self.depthwise = DepthwiseConv("Conformer", d_model, kernel_size)
        self.depthwise_norm = nn.LayerNorm(d_model)
        self.pointwise_out = nn.Linear(d_model, d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None, context: Context | None = None) -> Tensor:
        """``[B, T, d_model]`` → the same shape, to be added to ``x``."""
        convolved = self.depthwise(zero_padding(frame_wise(self.project_in, x), mask), context)
        return frame_wise(self.project_out, convolved)

    def step(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """``forward`` of the next chunk ``[B, <= chunk, d_model]``."""
        x, state = self.depthwise.step(self.project_in(x), state)
        return self.project_out(x), state

    def project_in(self, x: Tensor) -> Tensor:
        return glu(self.pointwise_in(self.norm(x)))

    def project_out(self, x: Tensor) -> Tensor:
        return self.dropout(self.pointwise_out(silu(self.depthwise_norm(x))))


class ConformerBlock(Block):
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
        self.dropout = Dropout(dropout)
        self.conv = ConvModule(d_model, kernel_size, dropout)
        self.ffn2 = FeedForward(d_model, d_ffn, dropout, activation)
        self.final_norm = nn.LayerNorm(d_model)

    @property
    def depthwise(self) -> DepthwiseConv:
        return self.conv.depthwise

    def forward(self, x: Tensor, mask: Tensor | None, context: Context | None = None) -> Tensor:
        x = x.add(self.ffn1(x), alpha=0.5)
        x = x + self.dropout(self.mixer(self.mixer_norm(x), mask, context))
        x = x + self.conv(x, mask, context)
        return self.final_norm(x.add(self.ffn2(x), alpha=0.5))

    def step(self, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        x = x.add(self.ffn1(x), alpha=0.5)
        mixed, mixer = self.mixer.step(self.mixer_norm(x), state.mixer)
        x = x + mixed
        convolved, conv = self.conv.step(x, state.conv)
        x = x + convolved
        return self.final_norm(x.add(self.ffn2(x), alpha=0.5)), BlockState(mixer, conv)


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
