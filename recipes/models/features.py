"""From samples to features: log mel energies, global normalisation, SpecAugment. Padding reaches none of them.

Frames are feature frames (10 ms) in this module.
"""

from collections.abc import Iterable

import torch
from speechbrain.processing.features import Filterbank
from torch import Tensor, nn

from mixers.base import lengths_to_mask, zero_padding
from recipes.models.options import COUNT, NUMBER, POSITIVE, RANGE, SHARE, SIZE, check_options, or_null, whole


class LogMel(nn.Module):
    """Log mel energies in dB, one feature frame every 10 ms.

    SpeechBrain's mel filters, with an absolute ``floor`` instead of its clamp at 80 dB below the loudest
    frame of the utterance: with that clamp a loud ending changes the beginning, so that nothing could stream.
    floor: in dB; the default lies just above the rounding noise of 16-bit audio. window_length: in samples,
    25 ms where None. range_db: the clamp, for checkpoints of stock SpeechBrain: no band lies more than this
    below the loudest of its utterance; None for no clamp. Raises ValueError for values that make no features.
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
        self.window_length, self.hop = window_length or sample_rate // 40, sample_rate // 100
        self.floor, self.range_db = 10 ** (floor / 10), range_db
        bins = self.window_length // 2 + 1
        mel = Filterbank(
            n_mels, log_mel=False, n_fft=self.window_length, sample_rate=sample_rate, f_max=sample_rate / 2
        )
        # The response to the identity is the filter matrix; SpeechBrain computes it anew in every call.
        self.register_buffer("filters", mel(torch.eye(bins)[None])[0], persistent=False)
        self.register_buffer("window", torch.hamming_window(self.window_length), persistent=False)

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """audio ``[B, samples]`` and its lengths in samples → features ``[B, T, n_mels]`` and lengths in frames."""
        audio = zero_padding(audio, lengths_to_mask(lengths, audio.shape[1]))
        with torch.autocast(audio.device.type, enabled=False):  # energies span more than 16 bits can hold
            spectrum = torch.stft(
                audio.float(),
                self.window_length,
                self.hop,
                window=self.window,
                center=True,
                pad_mode="constant",
                return_complex=True,
            )
            power = torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)
            features, lengths = 10 * (power @ self.filters).clamp(min=self.floor).log10(), 1 + lengths // self.hop
            if self.range_db is not None:
                padding = ~lengths_to_mask(lengths, features.shape[1])[..., None]
                loudest = features.masked_fill(padding, float("-inf")).amax((1, 2), keepdim=True)
                features = features.maximum(loudest - self.range_db)
            return features, lengths


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
        return zero_padding((features - self.mean) / self.std, lengths_to_mask(lengths, features.shape[1]))


class SpecAugment(nn.Module):
    """Time warping, time masks and frequency masks (https://arxiv.org/abs/1904.08779), in training only.

    Every utterance draws its own warp and masks, over its own length: in a padded batch a short utterance
    is masked as much as it would be alone. Features are normalised, so a mask writes their mean, zero.

    time_masks, freq_masks: their numbers; time_width, freq_width: [least, most] frames or bands of each mask.
    max_share: no time mask is wider than this share of its utterance. warp: most frames that a point of time moves.
    Raises ValueError for values outside these meanings.
    """

    def __init__(
        self,
        *,
        time_masks: int = 4,
        time_width: tuple[int, int] = (15, 25),
        freq_masks: int = 4,
        freq_width: tuple[int, int] = (10, 20),
        warp: int = 5,
        max_share: float = 0.1,
    ):
        super().__init__()
        check_options(
            "SpecAugment",
            time_masks=(time_masks, COUNT),
            time_width=(time_width, RANGE),
            freq_masks=(freq_masks, COUNT),
            freq_width=(freq_width, RANGE),
            warp=(warp, COUNT),
            max_share=(max_share, SHARE),
        )
        self.time_masks, self.time_width = time_masks, time_width
        self.freq_masks, self.freq_width = freq_masks, freq_width
        self.warp, self.max_share = warp, max_share

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, n_mels]`` → the same shape. lengths: in frames."""
        if not self.training:
            return features
        if self.warp:
            features = warp_time(features, lengths, self.warp)
        bands = torch.full_like(lengths, features.shape[2])
        widest = (lengths * self.max_share).long()
        hidden = random_spans(lengths, features.shape[1], self.time_masks, self.time_width, widest)[:, :, None]
        hidden = hidden | random_spans(bands, features.shape[2], self.freq_masks, self.freq_width, bands)[:, None]
        return features.masked_fill(hidden, 0.0)


def random_spans(lengths: Tensor, size: int, spans: int, width: tuple[int, int], widest: Tensor) -> Tensor:
    """bool ``[B, size]``: the union of ``spans`` random spans inside each row's own length.

    lengths: ``[B]``; width: [least, most]; widest: ``[B]``, an upper limit of the width for each row.
    """
    shape = (lengths.shape[0], spans)
    widths = torch.randint(width[0], width[1] + 1, shape, device=lengths.device).minimum(widest[:, None])
    starts = (torch.rand(shape, device=lengths.device) * (lengths[:, None] - widths + 1)).long()
    position = torch.arange(size, device=lengths.device)
    return ((position >= starts[..., None]) & (position < (starts + widths)[..., None])).any(1)


def warp_time(features: Tensor, lengths: Tensor, most: int) -> Tensor:
    """Move a random frame of each utterance by up to ``most`` frames: one side is stretched, the other compressed.

    Both ends and the lengths stay; between frames the features are interpolated linearly.
    """
    draws = torch.rand(2, lengths.shape[0], device=lengths.device)
    room = (lengths - 2 * most - 1).clamp(min=0)
    centre = most + draws[0] * room
    moved = centre + (2 * draws[1] - 1) * most * (room > 0)  # too short to warp: stays
    last = (lengths - 1).to(moved)
    target = torch.arange(features.shape[1], device=lengths.device)[None].to(moved)
    before = target * (centre / moved.clamp(min=1e-3))[:, None]
    slope = ((last - centre) / (last - moved).clamp(min=1e-3))[:, None]
    after = centre[:, None] + (target - moved[:, None]) * slope
    source = torch.where(target < moved[:, None], before, after)
    source = torch.where(room[:, None] > 0, source, target).clamp(min=0).minimum(last[:, None])
    left = source.floor().long()
    right = (left + 1).minimum(last[:, None].long())
    share = (source - left)[..., None].to(features.dtype)
    index = left[..., None].expand_as(features), right[..., None].expand_as(features)
    return features.gather(1, index[0]) * (1 - share) + features.gather(1, index[1]) * share
