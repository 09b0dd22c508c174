"""Features, their normalisation and SpecAugment: an utterance gets the same ones in any batch."""

import numpy as np
import pytest
import torch
from speechbrain.lobes.features import Fbank
from torch.nn.utils.rnn import pad_sequence

from mixers.base import lengths_to_mask
from recipes.models.features import GlobalNorm, LogMel, SpecAugment, warp_time


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- log mel energies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [400, 16000, 16159, 16160], ids=str)
def test_log_mel_is_speechbrain_fbank(samples):
    """On loud noise, where neither SpeechBrain's clamp (80 dB below the loudest frame) nor our floor has an effect."""
    audio = torch.randn(1, samples, generator=seeded())
    features, lengths = LogMel()(audio, torch.tensor([samples]))
    expected = Fbank(n_mels=80, n_fft=400)(audio)
    assert lengths.tolist() == [expected.shape[1]]
    torch.testing.assert_close(features, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 400, 479, 480], ids=str)
def test_log_mel_frames(samples):
    features, lengths = LogMel()(torch.randn(1, samples, generator=seeded()), torch.tensor([samples]))
    assert features.shape == (1, 1 + samples // 160, 80)
    assert lengths.tolist() == [1 + samples // 160]
    assert features.isfinite().all()


def test_log_mel_floor_and_no_clamp():
    """Silence lies at the floor; a loud ending does not change the beginning."""
    quiet = 1e-4 * torch.randn(1, 16000, generator=seeded())
    quiet[:, 4000:6000] = 0
    loud_ending = quiet.clone()
    loud_ending[:, 12000:] = 1.0
    log_mel, length = LogMel(floor=-60.0), torch.tensor([16000])
    before, after = log_mel(quiet, length)[0], log_mel(loud_ending, length)[0]
    torch.testing.assert_close(before[:, 28:35], torch.full((1, 7, 80), -60.0))
    assert torch.equal(before[:, :70], after[:, :70])
    assert after[:, 80:].max() > 20


def test_log_mel_in_bfloat16_training():
    """Under autocast energies stay in float32."""
    audio, length = torch.randn(1, 4000, generator=seeded()), torch.tensor([4000])
    log_mel = LogMel()
    with torch.autocast("cpu", torch.bfloat16):
        features, _ = log_mel(audio, length)
    assert torch.equal(features, log_mel(audio, length)[0])


# --- normalisation ------------------------------------------------------------------------------------------

BATCHINGS = {"single": [1] * 7, "pairs": [2, 2, 2, 1], "all at once": [7]}


@pytest.mark.parametrize("sizes", BATCHINGS.values(), ids=BATCHINGS)
def test_norm_measures_the_real_frames(sizes):
    random = np.random.default_rng(0)
    utterances = [random.normal(-40, 15, (int(frames), 5)) for frames in random.integers(1, 50, 7)]
    batches, waiting = [], list(utterances)
    for size in sizes:
        group, waiting = waiting[:size], waiting[size:]
        lengths = torch.tensor([len(features) for features in group])
        padded = pad_sequence([torch.tensor(features, dtype=torch.float32) for features in group], batch_first=True)
        mask = lengths_to_mask(lengths, padded.shape[1])
        batches.append((padded.masked_fill(~mask[..., None], 1e6), lengths))
    norm = GlobalNorm(5)
    norm.measure(iter(batches))
    frames = np.concatenate(utterances)
    np.testing.assert_allclose(norm.mean, frames.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.std, frames.std(0), rtol=1e-5)
    for padded, lengths in batches:
        normed, mask = norm(padded, lengths), lengths_to_mask(lengths, padded.shape[1])
        torch.testing.assert_close(normed[mask], (padded[mask] - norm.mean) / norm.std)
        assert (normed[~mask] == 0).all()


def test_norm_is_identity_before_measuring_and_saved_with_the_weights():
    features, lengths = torch.randn(2, 6, 4, generator=seeded()), torch.tensor([6, 6])
    norm, loaded = GlobalNorm(4), GlobalNorm(4)
    norm.measure([])
    assert torch.equal(norm(features, lengths), features)
    norm.measure([(features, lengths)])
    loaded.load_state_dict(norm.state_dict())
    assert torch.equal(loaded(features, lengths), norm(features, lengths))


def test_norm_of_a_band_that_never_changes_is_finite():
    norm = GlobalNorm(3)
    silence = torch.full((1, 10, 3), -70.0)
    norm.measure([(silence, torch.tensor([10]))])
    torch.testing.assert_close(norm(silence, torch.tensor([10])), torch.zeros(1, 10, 3), atol=1e-2, rtol=0)


# --- SpecAugment --------------------------------------------------------------------------------------------


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
