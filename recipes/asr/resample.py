"""Resampling between any two rates in bounded memory."""

import math

import torch
from torch import Tensor
from torchaudio.functional import resample as torchaudio_resample

# torchaudio's filter and the defaults of its options: a windowed sinc with so many zero crossings on each side, and
# a cutoff at this share of the lower rate's half.
ZERO_CROSSINGS, ROLLOFF = 6, 0.99
LARGEST_TABLE = 2**22  # numbers in torchaudio's table of filters
BLOCK = 2**20  # numbers in the filters that are computed at once here


def resample(audio: Tensor, rate: int, target_rate: int) -> Tensor:
    """``[samples]`` at ``rate`` → ``[ceil(samples * target_rate / rate)]`` at ``target_rate``, in Hz or any unit.

    By torchaudio where its table of filters is small: it holds one filter for each position of an output sample
    between two input samples, which for 44,099 → 16,000 Hz are 16,000 filters of 44,133 numbers, 2.8 GB. For such
    rates every output sample's own filter is computed instead. The filters are the same, so both are exact in time.
    """
    divisor = math.gcd(rate, target_rate)
    if (rate // divisor) * (target_rate // divisor) <= LARGEST_TABLE:
        return torchaudio_resample(audio, rate, target_rate)
    return interpolate(audio, rate, target_rate)


def interpolate(audio: Tensor, rate: int, target_rate: int) -> Tensor:
    """``resample`` without a table: the windowed sinc around each output sample's own position."""
    cutoff = ROLLOFF * min(rate, target_rate) / rate  # in cycles per two input samples
    reach = math.ceil(ZERO_CROSSINGS / cutoff)  # input samples on each side
    taps = torch.arange(-reach, reach + 1)
    padded = torch.nn.functional.pad(audio, (reach, reach + 1))
    blocks = []
    for output in torch.arange(-(-len(audio) * target_rate // rate)).split(max(BLOCK // len(taps), 1)):
        position = output.double() * (rate / target_rate)
        nearest = position.floor().long()
        index = nearest[:, None] + taps
        phase = ((index - position[:, None]) * cutoff).to(audio.dtype).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
        window = torch.cos(phase * (math.pi / 2 / ZERO_CROSSINGS)).square()
        filters = torch.sinc(phase) * window * cutoff
        blocks.append((padded[index + reach] * filters).sum(-1))
    return torch.cat(blocks) if blocks else audio
