"""The Branchformer encoder around any mixer (https://arxiv.org/abs/2207.02971)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mixers.base import Context, Mixer, Streaming, check_option, zero_padding
from mixers.dropout import Dropout
from recipes.models.depthwise import ConvState, DepthwiseConv
from recipes.models.edges import ENDS, reflect_ends
from recipes.models.encoder import Block, BlockState, Encoder
from recipes.models.frame_wise import nearly_frame_wise
from recipes.models.options import EVEN, ODD, SHARE, SIZE, check_options


class ConvGatingUnit(Streaming):
    """Convolutional spatial gating unit (CSGU): one half of the units is gated by the other, convolved over time.

    SpeechBrain's takes no mask, so that padding leaks into the last frames; here the gate's input is zero
    after each utterance's end. As there, the gate starts near one, so that the layer begins as a plain MLP.
    ends: ``zeros``, or ``reflect`` as in SpeechBrain, which fails on an utterance shorter than half the kernel.
    Raises ValueError for another word and for an even kernel_size.
    """

    def __init__(self, units: int, kernel_size: int, dropout: float, ends: str):
        super().__init__()
        check_option("Branchformer", "ends", ends, ENDS)
        self.ends = ends
        self.norm = nn.LayerNorm(units // 2)
        self.depthwise = DepthwiseConv("Branchformer", units // 2, kernel_size)
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.depthwise.weight, std=1e-6)
        nn.init.constant_(self.depthwise.get_parameter("bias"), 1.0)
        if ends == "reflect":
            self.depthwise.padding = (0,)  # the reflected frames take its place
            self.cannot_stream = "with ends: reflect it mirrors the end of the utterance"

    def forward(self, x: Tensor, mask: Tensor | None, context: Context | None = None) -> Tensor:
        """``[B, T, units]`` → ``[B, T, units / 2]``."""
        if context is not None:
            self.check_streaming()
        gated, gate = x.chunk(2, dim=-1)
        gate = self.norm(gate)
        gate = zero_padding(gate, mask) if self.ends == "zeros" else reflect_ends(gate, mask, self.depthwise.reach)
        return self.dropout(gated * self.depthwise(gate, context))

    def step(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """``forward`` of the next chunk ``[B, <= chunk, units]``."""
        gated, gate = x.chunk(2, dim=-1)
        gate, state = self.depthwise.step(self.norm(gate), state)
        return self.dropout(gated * gate), state


class ConvGatingMLP(nn.Module):
    """MLP with a convolutional gating unit (cgMLP), normalised first."""

    def __init__(
        self,
        d_model: int,
        units: int,
        kernel_size: int,
        dropout: float,
        activation: Callable[[], nn.Module],
        ends: str,
    ):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.up, self.activation = nn.Linear(d_model, units), activation()
        self.csgu = ConvGatingUnit(units, kernel_size, dropout, ends)
        self.down = nn.Linear(units // 2, d_model)

    def forward(self, x: Tensor, mask: Tensor | None, context: Context | None = None) -> Tensor:
        """``[B, T, d_model]`` → the same shape."""
        if context is not None or self.csgu.ends != "zeros":  # the ends of a chunk and of an utterance are no piece's
            return self.transform(x, mask, context)
        return nearly_frame_wise(self.transform, x, mask, self.csgu.depthwise.reach)

    def transform(self, x: Tensor, mask: Tensor | None, context: Context | None = None) -> Tensor:
        return self.down(self.csgu(self.activation(self.up(self.norm(x))), mask, context))

    def step(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """``forward`` of the next chunk ``[B, <= chunk, d_model]``."""
        x, state = self.csgu.step(self.activation(self.up(self.norm(x))), state)
        return self.down(x), state


class BranchformerBlock(Block):
    """The mixer and a convolutional gating MLP side by side; both are concatenated, projected and added."""

    def __init__(
        self,
        d_model: int,
        mixer: Mixer,
        csgu_units: int,
        kernel_size: int,
        dropout: float,
        activation: Callable[[], nn.Module],
        ends: str,
    ):
        super().__init__()
        self.mixer_norm, self.mixer = nn.LayerNorm(d_model), mixer
        self.cgmlp = ConvGatingMLP(d_model, csgu_units, kernel_size, dropout, activation, ends)
        self.merge = nn.Linear(2 * d_model, d_model)
        self.dropout = Dropout(dropout)

    @property
    def depthwise(self) -> DepthwiseConv:
        return self.cgmlp.csgu.depthwise

    def forward(self, x: Tensor, mask: Tensor | None, context: Context | None = None) -> Tensor:
        mixed = self.dropout(self.mixer(self.mixer_norm(x), mask, context))
        gated = self.dropout(self.cgmlp(x, mask, context))
        return x + self.dropout(self.merge(torch.cat([mixed, gated], dim=-1)))

    def init_state(self, batch: int, context: Context) -> BlockState:
        self.cgmlp.csgu.check_streaming()
        return super().init_state(batch, context)

    def step(self, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        mixed, mixer = self.mixer.step(self.mixer_norm(x), state.mixer)
        gated, conv = self.cgmlp.step(x, state.conv)
        return x + self.merge(torch.cat([mixed, gated], dim=-1)), BlockState(mixer, conv)


class Branchformer(Encoder):
    """A stack of Branchformer blocks, one for every mixer in ``mixers``.

    mixers: one callable ``d_model -> Mixer`` per layer. csgu_units: width of the gating branch, half of which
    is the gate. activation: of the gating branch. ends: what the gate's convolution sees beyond the ends of an
    utterance: ``zeros``, or ``reflect``, the utterance mirrored, as in stock SpeechBrain.
    Raises ValueError for sizes below 1, an even kernel_size, odd csgu_units or unknown ends.
    """

    def __init__(
        self,
        d_model: int,
        mixers: Sequence[Callable[[int], Mixer]],
        *,
        csgu_units: int = 3072,
        kernel_size: int = 31,
        dropout: float = 0.1,
        activation: Callable[[], nn.Module] = nn.GELU,
        ends: str = "zeros",
    ):
        check_options(
            "Branchformer",
            d_model=(d_model, SIZE),
            csgu_units=(csgu_units, EVEN),
            kernel_size=(kernel_size, ODD),
            dropout=(dropout, SHARE),
        )
        super().__init__(
            d_model,
            (
                BranchformerBlock(d_model, mixer(d_model), csgu_units, kernel_size, dropout, activation, ends)
                for mixer in mixers
            ),
        )
