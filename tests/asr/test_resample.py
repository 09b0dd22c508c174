"""Resampling: torchaudio's own numbers for ordinary rates, the same filter in bounded memory for all others."""

import math

import pytest
import soundfile
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torchaudio.functional import resample as torchaudio_resample

from recipes.asr.audio import AudioReader
from recipes.asr.resample import interpolate, resample

ORDINARY = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000]
ODD = [7919, 15999, 16001, 44099, 47999, 192001]


class LargestTensor(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that any operation made."""

    bytes = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return result


def tone(rate: int, seconds: float, frequency: float) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(round(rate * seconds), dtype=torch.float64) / rate).float()


@pytest.mark.parametrize("rate", ORDINARY)
def test_ordinary_rates_are_torchaudio_bit_for_bit(rate):
    audio = torch.randn(rate // 2 + 17)
    assert torch.equal(resample(audio, rate, 16000), torchaudio_resample(audio, rate, 16000))


@pytest.mark.parametrize("speed", [90, 95, 97, 105, 110])
def test_speeds_are_torchaudio_bit_for_bit(speed):
    audio = torch.randn(12345)
    assert torch.equal(resample(audio, speed, 100), torchaudio_resample(audio, speed, 100))


@pytest.mark.parametrize("rate, target_rate", [(44100, 16000), (8000, 16000), (48000, 16000), (95, 100), (7, 5)])
def test_the_filter_without_a_table_is_torchaudio_filter(rate, target_rate):
    audio = torch.randn(20_001)
    expected = torchaudio_resample(audio, rate, target_rate)
    torch.testing.assert_close(interpolate(audio, rate, target_rate), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("rate", ODD)
def test_odd_rates_keep_time_and_pitch_in_little_memory(rate):
    """A tone is the same tone at 16 kHz, at its end too: no drift."""
    frequency, seconds = 440.0, 2.0
    audio = tone(rate, seconds, frequency)
    with LargestTensor() as largest:
        resampled = resample(audio, rate, 16000)
    assert len(resampled) == math.ceil(len(audio) * 16000 / rate)
    assert largest.bytes < 20e6
    expected, inside = tone(16000, seconds, frequency), slice(200, len(resampled) - 200)
    torch.testing.assert_close(resampled[inside], expected[: len(resampled)][inside], atol=2e-3, rtol=0)


def test_frequencies_that_do_not_fit_are_filtered_out():
    resampled = resample(tone(44099, 1.0, 12000), 44099, 16000)
    assert resampled[200:-200].abs().max() < 0.05


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_the_shortest_audio(samples):
    assert len(resample(torch.ones(samples), 44099, 16000)) == math.ceil(samples * 16000 / 44099)


def test_audio_of_an_odd_rate_is_read(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(44099, 1.0, 440.0).numpy() / 2, 44099)
    with LargestTensor() as largest:
        audio = AudioReader()(str(tmp_path / "a.flac"), "a")
    assert len(audio) == 16000 and largest.bytes < 20e6
