"""Normalisation by the utterance: its own mean and variance, whatever the batch; no stream."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from recipes.models import UtteranceNorm


def utterances(*frames: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [3 + 5 * torch.randn(length, 4, generator=generator) for length in frames]


def test_every_band_has_zero_mean_and_unit_variance():
    (features,) = utterances(200)
    normalized = UtteranceNorm(floor=1e-9)(features[None], torch.tensor([200]))[0]
    torch.testing.assert_close(normalized.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalized.var(0, unbiased=False), torch.ones(4), atol=1e-4, rtol=0)


def test_loudness_and_colour_make_no_difference():
    (features,) = utterances(80)
    louder = features * 2 + torch.tensor([1.0, -8.0, 30.0, 0.0])
    lengths, norm = torch.tensor([80]), UtteranceNorm(floor=1e-9)
    torch.testing.assert_close(norm(louder[None], lengths), norm(features[None], lengths))


def test_an_utterance_does_not_depend_on_its_batch():
    parts, norm = utterances(50, 7, 1), UtteranceNorm()
    lengths = torch.tensor([50, 7, 1])
    batch = pad_sequence(parts, batch_first=True)
    batch[1, 7:], batch[2, 1:] = float("inf"), 1e4
    normalized = norm(batch, lengths)
    for row, features in enumerate(parts):
        alone = norm(features[None], lengths[row : row + 1])[0]
        torch.testing.assert_close(normalized[row, : len(features)], alone)
        assert not normalized[row, len(features) :].any()


def test_silence_and_no_frames_are_finite():
    norm = UtteranceNorm()
    assert not norm(torch.full((1, 10, 3), -70.0), torch.tensor([10])).any()
    assert norm(torch.zeros(1, 3, 3), torch.tensor([0])).isfinite().all()


def test_it_cannot_stream():
    for part in (lambda norm: norm.check_streaming(), lambda norm: norm.normalized(torch.zeros(1, 1, 4))):
        with pytest.raises(ValueError, match=r"UtteranceNorm cannot stream .*its mean is that of the whole utterance"):
            part(UtteranceNorm())


def test_options_are_checked():
    with pytest.raises(ValueError, match="UtteranceNorm: floor must be a number above 0, not 0"):
        UtteranceNorm(floor=0)
