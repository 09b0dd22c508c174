"""SpecAugment: each utterance is masked and warped over its own length, whatever the batch."""

import numpy as np
import pytest
import torch

from recipes.models import AdaptiveSpecAugment, SpecAugment
from recipes.models.augment import warp_time


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def only(**masks) -> SpecAugment:
    """SpecAugment in training with these options only."""
    return SpecAugment(**{"time_masks": 0, "freq_masks": 0, "warp": 0, **masks}).train()


def masked_frames(augment: SpecAugment, lengths: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """bool ``[B, T]``: the frames that the time masks hide."""
    torch.manual_seed(seed)
    return (augment(torch.ones(len(lengths), int(lengths.max()), 3), lengths) == 0).all(-1)


def test_augment_does_nothing_in_evaluation():
    features = torch.randn(3, 50, 80, generator=seeded())
    assert SpecAugment().eval()(features, torch.tensor([50, 20, 3])) is features


def test_time_masks_of_a_short_utterance_do_not_depend_on_the_batch():
    """Neither the share of hidden frames nor their positions."""
    augment, copies = only(time_masks=3, time_width=(4, 9), max_share=0.2), 3000
    together = torch.tensor([60, 300] * copies)
    in_batch = masked_frames(augment, together)
    for row, frames in enumerate([60, 300]):
        alone = masked_frames(augment, torch.full((copies,), frames), seed=1).float()
        batched = in_batch[row::2, :frames].float()
        # Positions: how often each frame is hidden. Share: mean and spread over the utterances.
        assert (batched.mean(0) - alone.mean(0)).abs().max() < 0.06
        assert abs(batched.mean() - alone.mean()) < 0.01
        assert abs(batched.mean(1).std() - alone.mean(1).std()) < 0.01
        assert batched.mean() > 0.05
        assert batched[:, 0].any() and batched[:, -1].any()
    assert not in_batch[0::2, 60:].any()


@pytest.mark.parametrize(
    "frames, widest", [(400, 7), (100, 7), (50, 5), (19, 1), (9, 0), (1, 0)], ids=lambda value: str(value)
)
def test_time_mask_width(frames, widest):
    """A mask has the width of the option, at most max_share of its own utterance, in a batch of any length."""
    lengths = torch.tensor([frames] * 200 + [400])
    hidden = masked_frames(only(time_masks=1, time_width=(7, 7), max_share=0.1), lengths)
    assert (hidden[:-1].sum(1) == widest).all()


def test_masks_hide_whole_frames_and_whole_bands_differently_in_each_utterance():
    augment = only(time_masks=1, time_width=(5, 5), freq_masks=1, freq_width=(10, 20), max_share=1.0)
    features = torch.rand(50, 80, 40, generator=seeded()) + 1
    torch.manual_seed(0)
    hidden = augment(features, torch.full((50,), 80)) == 0
    frames, bands = hidden.all(2), hidden.all(1)
    assert torch.equal(hidden, frames[:, :, None] | bands[:, None])
    assert set(frames.sum(1).tolist()) == {5}
    assert set(bands.sum(1).tolist()) == set(range(10, 21))
    assert len({tuple(row.tolist()) for row in frames}) > 25
    assert len({tuple(row.tolist()) for row in bands}) > 25


def test_masks_change_nothing_else():
    features = torch.rand(2, 80, 40, generator=seeded()) + 1
    augmented = only(time_masks=2, time_width=(3, 8), max_share=1.0)(features, torch.tensor([80, 30]))
    visible = augmented != 0
    assert torch.equal(augmented[visible], features[visible])
    assert torch.equal(augmented[1, 30:], features[1, 30:]), "no mask reaches into the padding"


def ramp(frames: int, size: int | None = None) -> torch.Tensor:
    """``[1, size, 1]``: the frame's number, so that a warp shows the source of each frame; then padding."""
    numbers = torch.full((size or frames,), 1e6)
    numbers[:frames] = torch.arange(frames)
    return numbers[None, :, None]


@pytest.mark.parametrize("most", [1, 5])
@pytest.mark.parametrize("frames", [12, 30, 200])
def test_warp_keeps_the_ends_and_moves_little(frames, most):
    moved = []
    for seed in range(100):
        torch.manual_seed(seed)
        source = warp_time(ramp(frames, 300), torch.tensor([frames]), most)[0, :frames, 0]
        assert source[0] == 0 and source[-1] == pytest.approx(frames - 1, abs=1e-3)
        assert (source.diff() > -1e-3).all(), "time runs forwards"
        shift = (source - torch.arange(frames)).abs().max().item()
        assert shift <= most + 1e-3
        moved.append(shift)
    assert max(moved) > 0.7 * most and np.mean(moved) > 0.2 * most


@pytest.mark.parametrize("frames", [1, 2, 10, 11])
def test_warp_does_not_change_very_short_utterances(frames):
    """By themselves, where there is no frame after the last, and in a batch."""
    for size in (frames, 40):
        warped = warp_time(ramp(frames, size), torch.tensor([frames]), 5)[:, :frames]
        assert torch.equal(warped, ramp(frames))


def test_warp_interpolates_between_neighbours():
    torch.manual_seed(3)
    features, lengths = torch.rand(4, 90, 6, generator=seeded()), torch.tensor([90, 90, 90, 70])
    warped = warp_time(features, lengths, 5)
    for row, frames in enumerate(lengths.tolist()):
        assert warped[row, :frames].min() >= features[row, :frames].min() - 1e-6
        assert warped[row, :frames].max() <= features[row, :frames].max() + 1e-6
        torch.testing.assert_close(warped[row, [0, frames - 1]], features[row, [0, frames - 1]])
    assert not torch.equal(warped[0], features[0])


def test_augment_of_the_shortest_utterances():
    """By themselves, with the full recipe's masks."""
    for frames in (1, 2, 3, 7):
        features = torch.ones(1, frames, 80)
        assert SpecAugment().train()(features, torch.tensor([frames])).shape == features.shape


# --- views of an utterance ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SpecAugment, AdaptiveSpecAugment])
def test_views_are_warped_alike_and_masked_each_for_itself(kind):
    """Of the two, the first is every utterance once, the second every one again; in evaluation nothing is hidden."""
    features, lengths = torch.rand(4, 300, 40, generator=seeded()) + 1, torch.tensor([300, 300, 250, 200])
    augment = kind(**({"warp": 20} if kind is SpecAugment else {"warp_share": 0.1}))
    torch.manual_seed(0)
    views = augment.train().views(features, lengths, 2)
    assert views.shape == (8, 300, 40)
    first, second = views.chunk(2)
    shown = (first != 0) & (second != 0)
    assert torch.equal(first[shown], second[shown]) and not torch.equal(first[shown], features[shown])
    assert all(not torch.equal(mine == 0, others == 0) for mine, others in zip(first, second, strict=True))
    assert torch.equal(augment.eval().views(features, lengths, 2), features.repeat(2, 1, 1))


@pytest.mark.parametrize(
    "augment, seconds",
    [
        (only(time_masks=4, time_width=(5, 5)), 30),
        (AdaptiveSpecAugment(time_masks_per_second=0.4, time_share=0.001, freq_masks=0).train(), 10),
    ],
    ids=["masks", "shares"],
)
def test_views_have_two_and_a_half_times_the_time_masks(augment, seconds):
    """Four masks become ten: by the frames that are hidden, where masks hardly ever meet."""
    features, lengths = torch.ones(400, 100 * seconds, 2), torch.full((400,), 100 * seconds)
    torch.manual_seed(0)
    hidden = [
        (masked == 0).float().mean() for masked in (augment(features, lengths), augment.views(features, lengths, 2))
    ]
    assert hidden[1] / hidden[0] == pytest.approx(2.5, rel=0.05)


# --- masks as shares of the utterance ---------------------------------------------------------------------


def adaptive(**masks) -> AdaptiveSpecAugment:
    """AdaptiveSpecAugment in training with these options only."""
    return AdaptiveSpecAugment(**{"time_masks_per_second": 0.0, "freq_masks": 0, "warp_share": 0.0, **masks}).train()


def test_adaptive_masks_do_nothing_in_evaluation_or_without_masks():
    features, lengths = torch.randn(3, 50, 80, generator=seeded()), torch.tensor([50, 20, 3])
    assert AdaptiveSpecAugment().eval()(features, lengths) is features
    assert torch.equal(adaptive()(features, lengths), features)


@pytest.mark.parametrize("frames, masks", [(1, 1), (100, 1), (399, 2), (1000, 5), (9000, 20)])
def test_number_of_adaptive_time_masks(frames, masks):
    """It follows the length, with at least one mask and at most max_time_masks."""
    augment = adaptive(time_masks_per_second=0.5)
    assert augment.time_masks(torch.tensor([frames])).tolist() == [masks]


def test_adaptive_time_masks_are_shares_of_their_own_utterance_in_any_batch():
    augment, copies = adaptive(time_masks_per_second=0.01, time_share=0.1), 3000
    in_batch = masked_frames(augment, torch.tensor([60, 300] * copies))
    for row, frames in enumerate([60, 300]):
        alone = masked_frames(augment, torch.full((copies,), frames), seed=1).float()
        batched = in_batch[row::2, :frames]
        widths = batched.sum(1)
        assert set(widths.tolist()) == set(range(frames // 10 + 1)), "one mask, from nothing to a tenth"
        assert (batched.float().mean(0) - alone.mean(0)).abs().max() < 0.06
        assert batched[:, 0].any() and batched[:, -1].any()
    assert not in_batch[0::2, 60:].any(), "no mask reaches into the padding"


def test_adaptive_frequency_masks():
    features = torch.ones(400, 20, 40)
    torch.manual_seed(0)
    hidden = (adaptive(freq_masks=1, freq_share=0.25)(features, torch.full((400,), 20)) == 0).all(1)
    assert set(hidden.sum(1).tolist()) == set(range(11)), "from nothing to a quarter of 40 bands"
    assert hidden.any(0).all(), "any band"


def test_adaptive_warp_follows_the_length():
    moved = {}
    for frames in (40, 400):
        torch.manual_seed(1)
        rows = torch.arange(400.0).clamp(max=frames - 1).expand(50, 400)[..., None]
        warped = adaptive(warp_share=0.05)(rows, torch.full((50,), frames))
        moved[frames] = (warped - rows)[:, :frames].abs().max().item()
    assert 1 < moved[40] <= 2 + 1e-3 and 15 < moved[400] <= 20 + 1e-3
