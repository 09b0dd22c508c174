"""From a voice to a recording: silence around it, a microphone's colour, noise and level."""

import numpy as np

SAMPLE_RATE = 16000  # Hz, LibriSpeech's


def record(samples, sample_rate, tract, noise, generator):
    """The voice as a microphone records it: int16 array at 16 kHz.

    samples: float array, speech without silence around it, any scale, at `sample_rate` Hz; tract: see
    Speaker; noise: (lowest, highest) signal-to-noise ratio in dB. Draws the silence around the speech (0.1 to
    0.3 s on each side), the microphone's spectral tilt, noise and level. Nothing clips: the peak lies 0 to
    9 dB under 0.9 of full scale.
    """
    before, after = generator.uniform(0.1, 0.3, 2)
    speech = np.pad(samples, (int(before * sample_rate), int(after * sample_rate)))
    speech = _resample(speech, SAMPLE_RATE / sample_rate / tract)
    speech[1:] -= generator.uniform(-0.35, 0.35) * speech[:-1]
    power = np.mean(speech**2)
    noise_power = power * 10 ** (-generator.uniform(*noise) / 10)
    slope = generator.uniform(0, 1)
    noisy = speech + np.sqrt(noise_power) * _noise(len(speech), slope, generator)
    peak = 0.9 * 32767 * 10 ** (generator.uniform(-9, 0) / 20)
    return np.round(noisy * (peak / np.abs(noisy).max())).astype(np.int16)


def trim(samples):
    """The samples from the first to the last that a listener could hear."""
    loudness = np.abs(samples)
    audible = np.flatnonzero(loudness > 0.01 * loudness.max(initial=0))
    return samples[audible[0] : audible[-1] + 1] if audible.size else samples[:0]


def _resample(samples, ratio):
    """`samples` at `ratio` (< 1) times their number, through the spectrum: band-limited by construction."""
    # Lengths of small prime factors make the transforms ten times faster; the ratio is met within 0.3 %.
    padded = -(-len(samples) // 1024) * 1024
    length = round(padded * ratio / 256) * 256
    spectrum = np.fft.rfft(samples, padded)[: length // 2 + 1]
    return np.fft.irfft(spectrum, length)[: round(len(samples) * ratio)] * (length / padded)


def _noise(count, slope, generator):
    """Noise of about unit power, its spectrum falling as frequency ** -slope: 0 is white, 1 like wind."""
    padded = -(-count // 1024) * 1024
    frequency = np.fft.rfftfreq(padded, 1 / SAMPLE_RATE)
    shape = np.maximum(frequency, 50.0) ** -slope
    shape[0] = 0
    noise = np.fft.irfft(np.fft.rfft(generator.standard_normal(padded)) * shape, padded)
    return noise[:count] / np.sqrt(np.mean(noise**2))
