"""Samples of any kind and rate as 16 kHz mono float32, or one line that says why not. Imports no torch."""

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from data_prep.audio import EMPTY, NOT_FINITE
from data_prep.errors import DataError

SAMPLE_RATE = 16000
SHORTEST_SECONDS = 0.1
LOUDEST = 100.0  # floats above this are no shares of full scale; some above 1 are loud
# Of the filter, as in torchaudio, whose resampling the audio of training goes through.
ZERO_CROSSINGS, ROLLOFF = 6, 0.99


def mono(samples: np.ndarray, rate: int, name: str) -> np.ndarray:
    """Samples ``[samples]``, or ``[samples, channels]``, at any rate, as float32 at 16 kHz.

    Raises DataError, with the name, for other shapes and types, for no sample, for NaN and infinity, and for less than
    a tenth of a second.
    """
    samples = np.asarray(samples)
    channels_first = samples.ndim == 2 and 0 < samples.shape[0] < samples.shape[1]
    if samples.ndim not in (1, 2) or channels_first or (samples.ndim == 2 and not samples.shape[1]):
        raise DataError(f"{name}: samples of shape {list(samples.shape)}; give [samples] or [samples, channels]")
    samples = shares_of_full_scale(samples, name)
    if samples.ndim == 2:
        samples = samples.mean(1)
    if not (isinstance(rate, (int, np.integer)) and rate is not True and rate > 0):
        raise DataError(f"{name}: the rate must be a whole number of samples a second, not {rate}")
    if not len(samples):
        raise DataError(f"{name}: {EMPTY}")
    if not np.isfinite(samples).all():
        raise DataError(f"{name}: {NOT_FINITE}")
    check_length(len(samples) / rate, name)
    return resample(samples.astype(np.float32, copy=False), int(rate), SAMPLE_RATE)


def as_array(samples: Any, name: str) -> np.ndarray:
    """Samples of any kind that numpy takes. Raises DataError, with the name, for what holds none."""
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:  # as of a tensor that asks for its gradient
        raise DataError(f"{name}: no samples that numpy takes ({str(error).splitlines()[0]})") from None
    if not array.ndim:
        raise DataError(f"{name}: samples are wanted, not {type(samples).__name__}")
    return array


def shares_of_full_scale(samples: np.ndarray, name: str) -> np.ndarray:
    """Floats as they are; whole numbers as the shares of their type's range that they are, those without a sign around
    its middle, as in WAV files of 8 bits. Raises DataError, with the name, for other types.
    """
    if samples.dtype.kind == "f":
        return samples
    if samples.dtype.kind not in "iu":
        raise DataError(f"{name}: samples of type {samples.dtype}; give floats or whole numbers")
    if samples.dtype.itemsize > 4:  # of Python's own numbers: as shares of 64 bits, samples of 16 would be silence
        raise DataError(f"{name}: whole numbers of type {samples.dtype}; give the type of the samples, such as int16")
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    middle = half if samples.dtype.kind == "u" else 0.0
    return ((samples - middle) / half).astype(np.float32)


def check_scale(samples: np.ndarray, name: str) -> None:
    """Raises DataError, with the name, for floats that are whole samples and no shares of full scale."""
    peak = float(np.abs(samples).max(initial=0.0)) if samples.dtype.kind == "f" else 0.0
    if LOUDEST < peak < math.inf:
        raise DataError(f"{name}: floats up to {peak:g}; give shares of full scale, -1 to 1, or whole numbers as such")


def check_length(seconds: float, name: str) -> None:
    """Raises DataError for less than a tenth of a second."""
    if seconds < SHORTEST_SECONDS:
        raise DataError(
            f"{name}: {1000 * seconds:.0f} ms of audio hold no word; {1000 * SHORTEST_SECONDS:.0f} ms is the least"
        )


def resample(audio: np.ndarray, rate: int, target_rate: int) -> np.ndarray:
    """``[samples]`` at ``rate`` → ``[ceil(samples * target_rate / rate)]``: `recipes.asr.resample` without torch.

    Output samples that lie alike between two input samples have the same filter: each filter is computed once and
    applied to all of them, so there is no table of filters for any two rates.
    """
    if rate == target_rate:
        return audio
    divisor = math.gcd(rate, target_rate)
    step, phases = rate // divisor, target_rate // divisor
    cutoff = ROLLOFF * min(rate, target_rate) / rate  # in cycles per two input samples
    reach = math.ceil(ZERO_CROSSINGS / cutoff)  # input samples on each side
    taps = np.arange(-reach, reach + 2)
    windows = sliding_window_view(np.pad(audio, (reach, reach + step + 1)), len(taps))
    output = np.empty(-(-len(audio) * phases // step), np.float32)
    for phase in range(min(phases, len(output))):
        before, between = divmod(phase * step, phases)
        times = ((taps - between / phases) * cutoff).clip(-ZERO_CROSSINGS, ZERO_CROSSINGS)
        filter_taps = np.sinc(times) * np.cos(times * (math.pi / 2 / ZERO_CROSSINGS)) ** 2 * cutoff
        own = output[phase::phases]
        own[:] = windows[before::step][: len(own)] @ filter_taps.astype(np.float32)
    return output


def stream_samples(samples: Any, rate: int) -> np.ndarray:
    """The next samples of a stream, ``[n]`` in float32.

    Raises DataError for another rate, shape or type, and for values that are no shares.
    """
    if rate != SAMPLE_RATE:
        raise DataError(f"a stream takes samples at {SAMPLE_RATE} Hz, not {rate}: resample them first")
    samples = as_array(samples, "a stream")
    if samples.ndim != 1:
        raise DataError(f"samples of shape {list(samples.shape)}; a stream takes [samples], one channel")
    check_scale(samples, "a stream")
    samples = shares_of_full_scale(samples, "a stream")
    if not np.isfinite(samples).all():
        raise DataError("samples that are no numbers (NaN or infinity)")
    return samples.astype(np.float32)
