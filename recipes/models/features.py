"""From samples to features: log mel energies, global normalisation. Padding reaches none of them.

Frames are feature frames (10 ms) in this module.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mixers.base import Context, Streaming, lengths_to_mask, zero_padding
from recipes.models.options import NUMBER, POSITIVE, SIZE, check_options, or_null, whole


class SamplesState(NamedTuple):
    """The samples of a stream that feature frames to come still need, ``[B, samples]``."""

    samples: Tensor


class LogMel(Streaming):
    """Log mel energies in dB, one feature frame every 10 ms.

    The mel filters are SpeechBrain's. SpeechBrain clamps at 80 dB below the loudest frame of the utterance, so a loud
    ending changes the beginning and nothing could stream; here an absolute ``floor`` takes the clamp's place.
    floor: in dB; the default lies just above the rounding noise of 16-bit audio. window_length: in samples; None: 25
    ms.
    range_db: the clamp, for checkpoints of stock SpeechBrain: no band lies more than this below the loudest of its
    utterance; None: no clamp. Raises ValueError for values that make no features.

    Frame t is the window around sample ``t * hop``; zeros stand before the first sample and after the last.
    """

    filters: Tensor  # [bins, n_mels]
    window: Tensor  # [window_length]

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        n_mels: int = 80,
        window_length: int | None = None,
        floor: float = -70.0,
        range_db: float | None = None,
    ):
        super().__init__()
        check_options(
            "LogMel",
            sample_rate=(sample_rate, whole(100)),
            n_mels=(n_mels, SIZE),
            window_length=(window_length, or_null(SIZE)),
            floor=(floor, NUMBER),
            range_db=(range_db, or_null(POSITIVE)),
        )
        self.n_mels = n_mels
        self.window_length, self.hop = window_length or sample_rate // 40, sample_rate // 100
        self.sample_rate, self.floor, self.range_db = sample_rate, 10 ** (floor / 10), range_db
        if range_db is not None:
            self.cannot_stream = "its range_db needs the loudest frame of the whole utterance"
        bins = self.window_length // 2 + 1
        self.register_buffer("filters", mel_filters(n_mels, bins, sample_rate), persistent=False)
        self.register_buffer("window", torch.hamming_window(self.window_length), persistent=False)

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """audio ``[B, samples]`` and its lengths in samples → features ``[B, T, n_mels]`` and lengths in frames."""
        audio = zero_padding(audio, lengths_to_mask(lengths, audio.shape[1]))
        half = self.window_length // 2
        features = self.log_mel(pad(audio, (half, half)))
        lengths = 1 + (lengths - self.window_length % 2) // self.hop  # an odd window is padded by one sample less
        if self.range_db is not None:
            padding = ~lengths_to_mask(lengths, features.shape[1])[..., None]
            loudest = features.masked_fill(padding, float("-inf")).amax((1, 2), keepdim=True)
            features = features.maximum(loudest - self.range_db)
        return features, lengths

    def log_mel(self, samples: Tensor) -> Tensor:
        """The frames of all whole windows: ``[B, samples]`` → ``[B, 1 + (samples - window_length) // hop, n_mels]``."""
        with torch.autocast(samples.device.type, enabled=False):  # energies span more than 16 bits can hold
            spectrum = torch.stft(
                samples.float(), self.window_length, self.hop, window=self.window, center=False, return_complex=True
            )
            power = spectrum.real.square() + spectrum.imag.square()
            return 10 * (power.transpose(1, 2) @ self.filters).clamp(min=self.floor).log10()

    @property
    def latency_samples(self) -> int:
        """How many samples after the end of its own hop a frame is known: half a window minus a hop."""
        return max(self.window_length - self.window_length // 2 - self.hop, 0)

    def init_state(self, batch: int, context: Context | None = None) -> SamplesState:
        """Zeros before the first sample. context: of no effect, as frames see the same in a stream."""
        self.check_streaming()
        return SamplesState(self.window.new_zeros(batch, self.window_length // 2))

    def step(self, audio: Tensor, state: SamplesState, last: bool = False) -> tuple[Tensor, SamplesState]:
        """The next samples ``[B, n]``, however many → the frames that they complete, ``[B, T, n_mels]``.

        last: no samples follow, so that zeros complete the frames that are left.
        """
        samples, half = torch.cat([state.samples, audio.to(state.samples)], 1), self.window_length // 2
        if last:
            samples = pad(samples, (0, half))
        needed = self.window_length if last else max(self.window_length, self.hop)
        frames = max(0, 1 + (samples.shape[1] - needed) // self.hop)
        rest = SamplesState(samples[:, frames * self.hop :])
        if not frames:
            return samples.new_zeros(len(samples), 0, self.filters.shape[1]), rest
        return self.log_mel(samples)[:, :frames], rest

    def state_size(self, frames: int, context: Context | None = None) -> int:
        """Numbers kept when a frame has just been completed."""
        self.check_streaming()
        return max(self.window_length - self.hop, 0)


def mel_filters(n_mels: int, bins: int, sample_rate: int) -> Tensor:
    """Triangles over the bins of a spectrum, ``[bins, n_mels]``, bit for bit those of SpeechBrain's `Filterbank`.

    Centres are at like distances in mel = 2595 log10(1 + hertz / 700), from 0 to half the rate. Both sides of a
    triangle are as wide as the way from the centre before. (SpeechBrain itself takes most of a second to import.)
    """
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    hertz = 700 * (10 ** (torch.linspace(0, highest, n_mels + 2) / 2595) - 1)
    centres, widths = hertz[1:-1], hertz[1:-1] - hertz[:-2]
    distance = (torch.linspace(0, sample_rate // 2, bins)[:, None] - centres) / widths
    return torch.minimum(distance + 1, 1 - distance).clamp(min=0)


class GlobalNorm(nn.Module):
    """Zero mean and unit variance per mel band over the training set; identity until measured.

    The statistics are buffers, measured once before training (``measure``) and then fixed: they are saved
    with the weights, and the features do not drift during the first epochs.
    """

    mean: Tensor  # [n_mels]
    std: Tensor  # [n_mels]

    def __init__(self, n_mels: int = 80):
        super().__init__()
        check_options("GlobalNorm", n_mels=(n_mels, SIZE))
        self.n_mels = n_mels
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))

    @torch.no_grad()
    def measure(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the statistics. batches: features ``[B, T, n_mels]`` and lengths in frames; none: no change."""
        total = torch.zeros_like(self.mean, dtype=torch.float64)
        squares, frames = torch.zeros_like(total), 0
        for features, lengths in batches:
            real = features[lengths_to_mask(lengths, features.shape[1])].double()
            total, squares, frames = total + real.sum(0), squares + real.square().sum(0), frames + len(real)
        if frames:
            mean = total / frames
            self.mean.copy_(mean)
            self.std.copy_((squares / frames - mean.square()).clamp(min=1e-4).sqrt())

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, n_mels]`` → the same shape, zero in padded frames. lengths: in frames."""
        return zero_padding(self.normalized(features), lengths_to_mask(lengths, features.shape[1]))

    def normalized(self, features: Tensor) -> Tensor:
        """Every frame by itself, so that a stream needs no state: ``[…, n_mels]`` → the same shape."""
        return (features - self.mean) / self.std
