"""Features, their normalisation and SpecAugment: an utterance gets the same ones in any batch."""

import numpy as np
import pytest
import torch
from speechbrain.lobes.features import Fbank
from speechbrain.processing.features import Filterbank
from torch.nn.utils.rnn import pad_sequence

from mixers.base import lengths_to_mask
from recipes.models.features import GlobalNorm, LogMel, mel_filters


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


@pytest.mark.parametrize(("n_mels", "window", "rate"), [(80, 400, 16000), (23, 200, 8000), (64, 551, 22050)])
def test_mel_filters_are_speechbrains_bit_for_bit(n_mels, window, rate):
    bins = window // 2 + 1
    expected = Filterbank(n_mels, log_mel=False, n_fft=window, sample_rate=rate, f_max=rate / 2)(torch.eye(bins)[None])
    assert torch.equal(mel_filters(n_mels, bins, rate), expected[0])


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 400, 479, 480], ids=str)
def test_log_mel_frames(samples):
    features, lengths = LogMel()(torch.randn(1, samples, generator=seeded()), torch.tensor([samples]))
    assert features.shape == (1, 1 + samples // 160, 80)
    assert lengths.tolist() == [1 + samples // 160]
    assert features.isfinite().all()


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 1600], ids=str)
def test_an_odd_window_has_as_many_frames_as_it_says(samples):
    """It has no middle: one sample less stands around the audio than around that of an even window."""
    features, lengths = LogMel(n_mels=20, window_length=401)(torch.zeros(1, samples), torch.tensor([samples]))
    assert lengths.tolist() == [features.shape[1]]


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
