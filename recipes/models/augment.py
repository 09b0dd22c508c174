"""SpecAugment: warped time, masked time and masked bands, each utterance over its own length; views of an utterance.

Frames are feature frames (10 ms) in this module.
"""

import torch
from torch import Tensor, nn

from recipes.models.options import AT_LEAST_ZERO, COUNT, RANGE, SHARE, check_options

FRAMES_PER_SECOND = 100
MASKS_OF_VIEWS = 2.5  # factor of the number of time masks where there are several views (arXiv 2410.05101)


class Augment(nn.Module):
    """Warps and masks features ``[B, T, n_mels]`` in training; lengths are in frames. A subclass says how."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return self.masked(self.warped(features, lengths), lengths) if self.training else features

    def views(self, features: Tensor, lengths: Tensor, count: int) -> Tensor:
        """``count`` views of all utterances, one after the other: ``[count * B, T, n_mels]``.

        As in CR-CTC, time is warped once for all views, so that their frames correspond. Each view has masks of its
        own, with ``MASKS_OF_VIEWS`` times as many time masks.
        """
        if not self.training:
            return features.repeat(count, 1, 1)
        repeated = self.warped(features, lengths).repeat(count, 1, 1)
        return self.masked(repeated, lengths.repeat(count), MASKS_OF_VIEWS)

    def warped(self, features: Tensor, lengths: Tensor) -> Tensor:
        raise NotImplementedError

    def masked(self, features: Tensor, lengths: Tensor, times: float = 1) -> Tensor:
        """times: a factor of the number of time masks."""
        raise NotImplementedError


class SpecAugment(Augment):
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

    def warped(self, features: Tensor, lengths: Tensor) -> Tensor:
        return warp_time(features, lengths, self.warp) if self.warp else features

    def masked(self, features: Tensor, lengths: Tensor, times: float = 1) -> Tensor:
        bands, time_masks = torch.full_like(lengths, features.shape[2]), round(self.time_masks * times)
        widest = (lengths * self.max_share).long()
        hidden = random_spans(lengths, features.shape[1], time_masks, self.time_width, widest)[:, :, None]
        hidden = hidden | random_spans(bands, features.shape[2], self.freq_masks, self.freq_width, bands)[:, None]
        return features.masked_fill(hidden, 0.0)


class AdaptiveSpecAugment(Augment):
    """SpecAugment whose masks grow with the utterance, for sentences of a few seconds and for small corpora.

    The absolute masks of the published LibriSpeech recipes were chosen for utterances of 12 s: in one of 2 s they hide
    up to 40 % of the frames. Here the number of time masks follows the length, and so does their width, as in Park et
    al., "SpecAugment on Large Scale Datasets" (https://arxiv.org/abs/1912.05533), which writes p_M and p_S.

    time_masks_per_second: rounded for each utterance, at least one unless zero, at most ``max_time_masks``.
    time_share: each time mask is drawn from nothing to this share of the utterance. freq_masks: their number;
    freq_share: each is drawn from nothing to this share of the bands. warp_share: most that a point of time moves,
    as a share of the utterance. Raises ValueError for values outside these meanings.
    """

    def __init__(
        self,
        *,
        time_masks_per_second: float = 0.5,
        time_share: float = 0.04,
        max_time_masks: int = 20,
        freq_masks: int = 2,
        freq_share: float = 0.15,
        warp_share: float = 0.0,
    ):
        super().__init__()
        check_options(
            "AdaptiveSpecAugment",
            time_masks_per_second=(time_masks_per_second, AT_LEAST_ZERO),
            time_share=(time_share, SHARE),
            max_time_masks=(max_time_masks, COUNT),
            freq_masks=(freq_masks, COUNT),
            freq_share=(freq_share, SHARE),
            warp_share=(warp_share, SHARE),
        )
        self.time_masks_per_second, self.max_time_masks = time_masks_per_second, max_time_masks
        self.time_share = time_share
        self.freq_masks, self.freq_share, self.warp_share = freq_masks, freq_share, warp_share

    def warped(self, features: Tensor, lengths: Tensor) -> Tensor:
        return warp_time(features, lengths, (lengths * self.warp_share).long()) if self.warp_share else features

    def masked(self, features: Tensor, lengths: Tensor, times: float = 1) -> Tensor:
        _, frames, n_mels = features.shape
        bands, freq_masks = torch.full_like(lengths, n_mels), torch.full_like(lengths, self.freq_masks)
        time_masks = (self.time_masks(lengths) * times).round().long()
        hidden_frames = random_shares(lengths, frames, time_masks, self.time_share)
        hidden_bands = random_shares(bands, n_mels, freq_masks, self.freq_share)
        return features.masked_fill(hidden_frames[:, :, None] | hidden_bands[:, None], 0.0)

    def time_masks(self, lengths: Tensor) -> Tensor:
        """The number of time masks of each utterance, ``[B]``."""
        if not self.time_masks_per_second:
            return torch.zeros_like(lengths)
        return (lengths * (self.time_masks_per_second / FRAMES_PER_SECOND)).round().long().clamp(1, self.max_time_masks)


def random_spans(lengths: Tensor, size: int, spans: int, width: tuple[int, int], widest: Tensor) -> Tensor:
    """bool ``[B, size]``: the union of ``spans`` random spans inside each row's own length.

    lengths: ``[B]``; width: [least, most]; widest: ``[B]``, an upper limit of the width for each row.
    """
    shape = (lengths.shape[0], spans)
    widths = torch.randint(width[0], width[1] + 1, shape, device=lengths.device).minimum(widest[:, None])
    starts = (torch.rand(shape, device=lengths.device) * (lengths[:, None] - widths + 1)).long()
    return covered(starts, widths, size)


def random_shares(lengths: Tensor, size: int, spans: Tensor, share: float) -> Tensor:
    """bool ``[B, size]``: the union of random spans, each from nothing to ``share`` of its row's own length.

    lengths, spans (how many): ``[B]``.
    """
    draws = torch.rand(2, lengths.shape[0], max(int(spans.max()), 1), device=lengths.device)
    wanted = torch.arange(draws.shape[2], device=lengths.device) < spans[:, None]
    widths = (draws[0] * (lengths[:, None] * share + 1)).long() * wanted
    return covered((draws[1] * (lengths[:, None] - widths + 1)).long(), widths, size)


def covered(starts: Tensor, widths: Tensor, size: int) -> Tensor:
    """bool ``[B, size]``: what any of the spans of a row covers. starts, widths: ``[B, spans]``."""
    position = torch.arange(size, device=starts.device)
    return ((position >= starts[..., None]) & (position < (starts + widths)[..., None])).any(1)


def warp_time(features: Tensor, lengths: Tensor, most: int | Tensor) -> Tensor:
    """Move a random frame of each utterance by up to ``most`` frames: one side is stretched, the other compressed.

    most: one number for all utterances, or ``[B]``. Both ends and the lengths stay; between frames the features are
    interpolated linearly.
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
