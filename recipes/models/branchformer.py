"""The Branchformer encoder around any mixer (https://arxiv.org/abs/2207.02971)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mixers.base import Mixer, check_option, zero_padding
from recipes.models.edges import ENDS, reflect_ends
from recipes.models.encoder import Encoder, depthwise_conv
from recipes.models.options import EVEN, ODD, SHARE, SIZE, check_options


class ConvGatingUnit(nn.Module):
    """Convolutional spatial gating unit (CSGU): one half of the units is gated by the other, convolved over time.

    SpeechBrain's takes no mask, so that padding leaks into the last frames; here the gate's input is zero
    after each utterance's end. As there, the gate starts near one, so that the layer begins as a plain MLP.
    ends: ``zeros``, or ``reflect`` as in SpeechBrain, which fails on an utterance shorter than half the kernel.
    Raises ValueError for another word and for an even kernel_size.
    """

    def __init__(self, units: int, kernel_size: int, dropout: float, ends: str):
        super().__init__()
        check_option("Branchformer", "ends", ends, ENDS)
        self.ends, self.half_kernel = ends, kernel_size // 2
        self.norm = nn.LayerNorm(units // 2)
        self.depthwise = depthwise_conv("Branchformer", units // 2, kernel_size)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.depthwise.weight, std=1e-6)
        nn.init.constant_(self.depthwise.get_parameter("bias"), 1.0)
        if ends == "reflect":
            self.depthwise.padding = (0,)  # the reflected frames take its place

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, T, units]`` → ``[B, T, units / 2]``."""
        gated, gate = x.chunk(2, dim=-1)
        gate = self.norm(gate)
        gate = zero_padding(gate, mask) if self.ends == "zeros" else reflect_ends(gate, mask, self.half_kernel)
        return self.dropout(gated * self.depthwise(gate.transpose(1, 2)).transpose(1, 2))


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

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, T, d_model]`` → the same shape."""
        return self.down(self.csgu(self.activation(self.up(self.norm(x))), mask))


class BranchformerBlock(nn.Module):
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
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, T, d_model]`` → the same shape. mask: bool ``[B, T]``, True = real frame; None = all are."""
        mixed = self.dropout(self.mixer(self.mixer_norm(x), mask))
        gated = self.dropout(self.cgmlp(x, mask))
        return x + self.dropout(self.merge(torch.cat([mixed, gated], dim=-1)))


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
