"""The Branchformer encoder around any mixer (https://arxiv.org/abs/2207.02971)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mixers.base import Mixer, check_option, zero_padding
from recipes.models.edges import ENDS, reflect_ends
from recipes.models.encoder import Encoder, depthwise_conv


class ConvGatingUnit(nn.Module):
    """Convolutional spatial gating unit (CSGU): one half of the units gates the other, seen over time.

    SpeechBrain's takes no mask, so that padding leaks into the last frames; here the gate's input is zero
    after each utterance's end. As there, the gate starts near one: the layer begins as a plain MLP.
    ends: ``zeros``, or ``reflect`` as there (an utterance shorter than half the kernel crashes it).
    """

    def __init__(self, units: int, kernel_size: int, dropout: float, ends: str):
        super().__init__()
        check_option("Branchformer", "ends", ends, ENDS)
        self.ends, self.reach = ends, kernel_size // 2
        self.norm = nn.LayerNorm(units // 2)
        self.depthwise = depthwise_conv("Branchformer", units // 2, kernel_size)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.depthwise.weight, std=1e-6)
        nn.init.ones_(self.depthwise.bias)
        if ends == "reflect":
            self.depthwise.padding = (0,)  # the reflected frames stand there

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``[B, T, units]`` → ``[B, T, units / 2]``."""
        passed, gate = x.chunk(2, dim=-1)
        gate = self.norm(gate)
        gate = zero_padding(gate, mask) if self.ends == "zeros" else reflect_ends(gate, mask, self.reach)
        return self.dropout(passed * self.depthwise(gate.transpose(1, 2)).transpose(1, 2))


class BranchformerBlock(nn.Module):
    """The mixer and a convolutional gating MLP side by side; both are joined, projected and added."""

    def __init__(
        self, d_model: int, mixer: Mixer, csgu_units: int, kernel_size: int, dropout: float, activation, ends: str
    ):
        super().__init__()
        self.norm, self.mixer = nn.LayerNorm(d_model), mixer
        self.before = nn.Sequential(nn.LayerNorm(d_model), nn.Linear(d_model, csgu_units), activation())
        self.csgu = ConvGatingUnit(csgu_units, kernel_size, dropout, ends)
        self.after = nn.Linear(csgu_units // 2, d_model)
        self.merge = nn.Linear(2 * d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        mixed = self.dropout(self.mixer(self.norm(x), mask))
        gated = self.dropout(self.after(self.csgu(self.before(x), mask)))
        return x + self.dropout(self.merge(torch.cat([mixed, gated], dim=-1)))


class Branchformer(Encoder):
    """A stack of Branchformer blocks, one for every mixer in ``mixers``.

    mixers: one callable ``d_model -> Mixer`` a layer. csgu_units: width of the gating branch, half of which
    is the gate. activation: that of the gating branch. ends: what the gate's convolution sees beyond the
    ends of an utterance: ``zeros``, or ``reflect``, the utterance mirrored, as in stock SpeechBrain.
    Raises ValueError for an even kernel_size, odd csgu_units or unknown ends.
    """

    def __init__(
        self,
        d_model: int,
        mixers: Sequence[Callable[[int], Mixer]],
        *,
        csgu_units: int = 3072,
        kernel_size: int = 31,
        dropout: float = 0.1,
        activation: type[nn.Module] = nn.GELU,
        ends: str = "zeros",
    ):
        if csgu_units % 2:
            raise ValueError(f"Branchformer: csgu_units must be even, not {csgu_units}")
        super().__init__(
            d_model,
            (
                BranchformerBlock(d_model, mixer(d_model), csgu_units, kernel_size, dropout, activation, ends)
                for mixer in mixers
            ),
        )
