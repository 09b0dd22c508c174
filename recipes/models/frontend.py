"""Convolutional subsampling: four feature frames (10 ms) become one encoder frame (40 ms)."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, pad

from mixers.base import Context, Streaming, check_option, lengths_to_mask, zero_padding
from mixers.dropout import Dropout
from recipes.models.edges import ENDS, reflect_ends
from recipes.models.options import SHARE, SIZE, SIZES, check_options


class FrontendState(NamedTuple):
    """The input frames that each convolution needs for its next output, ``[B, 1 or 2, bands, channels]`` each."""

    inputs: tuple[Tensor, ...]


class ConvFrontend(Streaming):
    """3x3 convolutions of stride 2 over time and frequency, then a projection to ``d_model``.

    SpeechBrain's ConvolutionFrontEnd reflects the batch's padded end and takes no lengths; here every
    convolution sees zeros after each utterance's own end, so an utterance is the same in any batch.

    channels: of each convolution; two of them subsample by 4. ends: what lies around an utterance, in time and
    frequency: ``zeros``, or ``reflect``, its mirror image, as checkpoints of stock SpeechBrain expect.
    Raises ValueError for another word, and for sizes below 1.
    """

    def __init__(
        self,
        d_model: int,
        *,
        n_mels: int = 80,
        channels: tuple[int, ...] = (64, 32),
        dropout: float = 0.1,
        ends: str = "zeros",
    ):
        super().__init__()
        check_option("ConvFrontend", "ends", ends, ENDS)
        check_options(
            "ConvFrontend",
            d_model=(d_model, SIZE),
            n_mels=(n_mels, SIZE),
            channels=(channels, SIZES),
            dropout=(dropout, SHARE),
        )
        self.n_mels, self.ends = n_mels, ends
        if ends == "reflect":
            self.cannot_stream = "with ends: reflect it mirrors the end of the utterance"
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        in_channels, bands = 1, n_mels
        self.input_shapes = []  # bands and channels of each convolution's input
        for out_channels in channels:
            self.input_shapes.append((bands, in_channels))
            bands = (bands + 1) // 2
            padding = 1 if ends == "zeros" else 0
            self.convs.append(nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=padding))
            self.norms.append(nn.LayerNorm([bands, out_channels]))
            in_channels = out_channels
        self.project = nn.Linear(bands * in_channels, d_model)
        self.dropout = Dropout(dropout)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """features ``[B, T, n_mels]`` → frames ``[B, ceil(T / 4), d_model]``; lengths likewise."""
        x = features[..., None]  # [B, T, bands, channels]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            mask = lengths_to_mask(lengths, x.shape[1])
            x = zero_padding(x, mask) if self.ends == "zeros" else reflect_ends(x, mask, 1)
            x = x.permute(0, 3, 1, 2)
            if self.ends == "reflect":
                x = pad(x, (1, 1, 0, 0), mode="reflect")  # over frequency
            x = self.dropout(leaky_relu(norm(conv(x).permute(0, 2, 3, 1))))
            lengths = (lengths + 1) // 2
        return self.dropout(self.project(x.flatten(2))), lengths

    @property
    def subsampling(self) -> int:
        """Feature frames that make one encoder frame."""
        return 2 ** len(self.convs)

    def init_state(self, batch: int, context: Context | None = None) -> FrontendState:
        """A frame of zeros before the first. context: of no effect, as frames see the same in a stream."""
        self.check_streaming()
        weight = self.project.weight
        return FrontendState(tuple(weight.new_zeros(batch, 1, *shape) for shape in self.input_shapes))

    def step(self, features: Tensor, state: FrontendState, last: bool = False) -> tuple[Tensor, FrontendState]:
        """The next feature frames ``[B, T, n_mels]``, however many → the frames that they complete.

        Frame j needs the feature frames up to 4 j + 3, so that whole chunks of samples make whole chunks of frames.
        last: no feature frames follow, so that zeros complete the frame that is left.
        """
        x, inputs = features[..., None], []
        for conv, norm, earlier in zip(*self.layers(), state.inputs, strict=True):
            x = torch.cat([earlier, x], 1)
            if last and x.shape[1] % 2 == 0:
                x = pad(x, (0, 0, 0, 0, 0, 1))
            frames = (x.shape[1] - 1) // 2
            inputs.append(x[:, 2 * frames :])
            x = self.convolve(conv, norm, x) if frames else x.new_zeros(len(x), 0, *norm.normalized_shape)
        return self.dropout(self.project(x.flatten(2))), FrontendState(tuple(inputs))

    def layers(self) -> tuple[Iterable[nn.Conv2d], Iterable[nn.LayerNorm]]:
        return cast(Iterable[nn.Conv2d], self.convs), cast(Iterable[nn.LayerNorm], self.norms)

    def convolve(self, conv: nn.Conv2d, norm: nn.LayerNorm, x: Tensor) -> Tensor:
        """A convolution of a stream: frames ``[B, T, bands, channels]``, the first one earlier, to (T - 1) // 2."""
        y = conv2d(x.permute(0, 3, 1, 2), conv.weight, conv.bias, stride=2, padding=(0, 1))
        return self.dropout(leaky_relu(norm(y.permute(0, 2, 3, 1))))

    def state_size(self, frames: int, context: Context | None = None) -> int:
        """Numbers kept when a frame has just been completed."""
        self.check_streaming()
        return sum(bands * channels for bands, channels in self.input_shapes)
