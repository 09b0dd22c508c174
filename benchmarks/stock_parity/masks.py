"""How much of an utterance the masks really hide, of ours and of SpeechBrain's with the same numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.stock_parity.stock_model import MELS, StockAugment
from mixers.base import lengths_to_mask
from recipes.models import SpecAugment

QUANTILES = {"tenth": 0.1, "median": 0.5, "nine_tenths": 0.9}


def masked_shares(masks: SpecAugment, batches: Sequence[Sequence[float]]) -> dict[str, dict[str, dict[str, float]]]:
    """By side (ours, stock) and by what (frames, bands, all): mean and quantiles over utterances of the share hidden.

    masks: of ours, whose numbers SpeechBrain's get too. batches: seconds of the utterances of each batch.
    """
    still = SpecAugment(  # a warp would blur the masks of which it comes after
        time_masks=masks.time_masks,
        time_width=masks.time_width,
        freq_masks=masks.freq_masks,
        freq_width=masks.freq_width,
        warp=0,
        max_share=masks.max_share,
    )
    return {side: shares(module.train(), batches) for side, module in (("ours", still), ("stock", StockAugment(still)))}


def shares(augment: nn.Module, batches: Sequence[Sequence[float]]) -> dict[str, dict[str, float]]:
    hidden: dict[str, list[Tensor]] = {"frames": [], "bands": [], "all": []}
    for seconds in batches:
        lengths = torch.tensor([1 + round(100 * duration) for duration in seconds])
        noise = torch.randn(len(seconds), int(lengths.max()), MELS)
        masked = augment(noise, lengths) != noise
        real = lengths_to_mask(lengths, noise.shape[1])
        hidden["frames"].append((masked.all(2) & real).sum(1) / lengths)
        hidden["bands"].append((masked | ~real[..., None]).all(1).sum(1) / MELS)
        hidden["all"].append((masked & real[..., None]).sum((1, 2)) / (lengths * MELS))
    return {name: summary(torch.cat(values)) for name, values in hidden.items()}


def summary(values: Tensor) -> dict[str, float]:
    figures = {"mean": values.mean(), **{name: values.quantile(share) for name, share in QUANTILES.items()}}
    return {name: round(float(value), 3) for name, value in figures.items()}
