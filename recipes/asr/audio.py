"""Audio files as 16 kHz mono samples, at a random speed; what cannot be used is said, and why."""

import random

import numpy as np
import soundfile
import torch
from torch import Tensor

from data_prep.audio import DAMAGED, EMPTY, NOT_FINITE, decoded, is_cut
from data_prep.errors import DataError
from data_prep.segments import Segment, parse_segment
from recipes.asr.resample import resample
from recipes.errors import is_of_the_machine

KEPT_BACK = "audio that the machine keeps back"


class AudioError(DataError):
    """Audio that cannot be used; `kind` is one of the problems that `data_prep.audio` knows."""

    kind = DAMAGED


class EmptyAudio(AudioError):
    kind = EMPTY


class NotFiniteAudio(AudioError):
    kind = NOT_FINITE


class KeptBackAudio(AudioError):
    """The machine keeps the file back (no permission, a failing disk, too many open files): it is no damage."""

    kind = KEPT_BACK


def read_samples(segment: Segment) -> tuple[np.ndarray, int]:
    """Float32 ``[samples, channels]`` of a file or a part of it, and the rate in Hz.

    Raises OSError or RuntimeError (soundfile.LibsndfileError is one), also for a file that holds less than its header
    says, and for a part that is not all in the file.
    """
    with soundfile.SoundFile(segment.path) as file:
        first, last = segment.samples(file.samplerate)
        if first:
            file.seek(first)
        if last is None:
            samples = np.concatenate([np.zeros((0, file.channels), np.float32), *decoded(file, always_2d=True)])
            is_short = is_cut(file, first + len(samples))
        else:
            samples = file.read(last - first, dtype="float32", always_2d=True)
            is_short = len(samples) < last - first
        if is_short:
            raise RuntimeError(f"it ends too early, after {(first + len(samples)) / file.samplerate:.2f} s")
        return samples, file.samplerate


def kept_back(path: str, error: Exception) -> str | None:
    """Why the machine keeps a file back that could not be read; None where its content is at fault.

    libsndfile calls all of that a system error, so the file is asked for once more.
    """
    if is_of_the_machine(error):
        return str(error)
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as again:
        return again.strerror if is_of_the_machine(again) else None
    return None


class AudioReader:
    """Reads an utterance as 16 kHz mono float32, at a random speed of `speeds`, in percent.

    The speed follows from (seed, epoch, utterance) alone, so that a resumed run reads what the unbroken run would,
    whichever process reads it. Set `epoch` before each pass.
    """

    def __init__(self, *, speeds: tuple[int, ...] = (100,), sample_rate: int = 16000, seed: int = 0):
        self.speeds, self.sample_rate, self.seed, self.epoch = tuple(speeds), sample_rate, seed, 0

    def __call__(self, path: str, utterance: str) -> Tensor:
        """Returns `[samples]` of a file or a segment (`data_prep.segments`).

        Raises AudioError, naming the file, when it cannot be read or used.
        """
        segment = parse_segment(path)
        try:
            samples, rate = read_samples(segment)
        except (OSError, RuntimeError) as error:
            reason = kept_back(segment.path, error)
            if reason is not None:
                raise KeptBackAudio(f"{path} cannot be read: {reason}") from None
            raise AudioError(f"{path} cannot be read: {error}") from None
        if not len(samples):
            raise EmptyAudio(f"{path} holds no sample")
        audio = torch.from_numpy(samples).mean(1)
        if not audio.isfinite().all():
            raise NotFiniteAudio(f"{path} holds NaN or infinity")
        speed = random.Random(f"{self.seed} {self.epoch} {utterance}").choice(self.speeds)
        # To resample from a higher rate than the audio has makes speech faster. In two passes: 22050 Hz at 95 percent
        # has no common divisor with 16000, and resampling would take a minute.
        return resample(resample(audio, rate, self.sample_rate), speed, 100)

    def attempt(self, path: str, utterance: str) -> Tensor | AudioError:
        """As a call, with the error as a value: one file must not end a training or a test."""
        try:
            return self(path, utterance)
        except AudioError as error:
            return error
