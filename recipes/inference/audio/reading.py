"""Audio files, and bare samples, as 16 kHz mono float32: anything that libsndfile reads. Imports no torch."""

import io
from os import PathLike
from typing import BinaryIO

import numpy as np
import soundfile

from data_prep.audio import BLOCK, DAMAGED, EMPTY, read_header
from data_prep.errors import DataError
from recipes.inference.audio.samples import SAMPLE_RATE, check_scale, mono

# Of the files that libsndfile reads, all but MP3 without a tag, which begins as samples may.
BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b".snd", b"caff", b"NIST", b"ID3")


def read_audio(path: str | PathLike) -> np.ndarray:
    """The samples of a file, ``[samples]``. Raises DataError, one line with the name, for what holds no speech."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    problem = read_header(str(path))
    if problem == EMPTY:
        raise DataError(f"{path}: {EMPTY}")
    audio = decode_audio(str(path), str(path))
    if problem == DAMAGED:
        raise DataError(f"{path}: {DAMAGED}, cut short after {len(audio) / SAMPLE_RATE:.1f} s")
    return audio


def parse_audio(content: bytes, name: str, rate: int | None = None) -> np.ndarray:
    """``read_audio`` of a file's content. rate: in Hz, where it may be bare samples: 16-bit, little-endian, mono."""
    if rate is not None and not (content.startswith(BEGINNINGS) or is_mp3(content)):
        bare = np.frombuffer(content[: len(content) // 2 * 2], "<i2")
        return mono(bare.astype(np.float32) / 2**15, rate, name)
    if not content:
        raise DataError(f"{name}: {EMPTY}")
    try:
        return decode_audio(io.BytesIO(content), name)
    except DataError as error:
        raise DataError(f"{error}; for bare 16-bit samples give their --rate") from None


def is_mp3(content: bytes) -> bool:
    """Whether it begins with a frame of MP3, and libsndfile finds that it goes on so."""
    if len(content) < 2 or content[0] != 0xFF or content[1] & 0xE6 != 0xE2:
        return False
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as audio:
            return audio.format == "MP3"
    except RuntimeError:
        return False


def decode_audio(file: str | BinaryIO, name: str) -> np.ndarray:
    try:
        with soundfile.SoundFile(file) as audio:
            # In blocks, so that of an hour in stereo one channel at a time is held.
            blocks = [block.mean(1) for block in audio.blocks(BLOCK, dtype="float32", always_2d=True)]
            rate = audio.samplerate
    except (OSError, RuntimeError) as error:  # soundfile.LibsndfileError is a RuntimeError
        reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
        raise DataError(f"{name}: no audio that can be read ({reason})") from None
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    check_scale(samples, name)  # a WAV file of floats may hold whole samples too
    return mono(samples, rate, name)
