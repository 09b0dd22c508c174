"""Convolutional subsampling: four feature frames (10 ms) become one encoder frame (40 ms)."""

from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from mixers.base import check_option, lengths_to_mask, zero_padding
from recipes.models.edges import ENDS, reflect_ends
from recipes.models.options import SHARE, SIZE, SIZES, check_options


class ConvFrontend(nn.Module):
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
        self.ends = ends
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        in_channels, bands = 1, n_mels
        for out_channels in channels:
            bands = (bands + 1) // 2
            padding = 1 if ends == "zeros" else 0
            self.convs.append(nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=padding))
            self.norms.append(nn.LayerNorm([bands, out_channels]))
            in_channels = out_channels
        self.project = nn.Linear(bands * in_channels, d_model)
        self.dropout = nn.Dropout(dropout)

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
