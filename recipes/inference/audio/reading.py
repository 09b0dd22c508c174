"""Audio files, and bare samples, as 16 kHz mono float32: anything that libsndfile reads. Imports no torch."""

import io
import os
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from data_prep.audio import DAMAGED, EMPTY, decoded, is_cut, is_cut_wav, read_header
from data_prep.errors import DataError
from data_prep.text import printable
from recipes.inference.audio.samples import SAMPLE_RATE, check_scale, mono

# Of the files that libsndfile reads, all but MP3 without a tag, which begins as samples may.
BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b".snd", b"caff", b"NIST", b"ID3")


def read_audio(path: str | PathLike) -> np.ndarray:
    """The samples of a file, ``[samples]``. Raises DataError, one line with the name, for what holds no speech."""
    name = printable(str(path))
    if is_pipe(path):  # its header could be read, but then not its audio
        raise DataError(f"{name}: a pipe or a device, not a file: give - and the audio on standard input")
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise DataError(f"{name}: {error.strerror}") from None
    problem = read_header(str(path))
    if problem == EMPTY:
        raise DataError(f"{name}: {EMPTY}")
    audio = decode_audio(os.fsencode(path), name)
    if problem == DAMAGED:
        raise DataError(cut_short(name, len(audio) / SAMPLE_RATE))
    return audio


def cut_short(name: str, seconds: float) -> str:
    return f"{name}: {DAMAGED}, cut short after {seconds:.1f} s"


def is_pipe(path: str | PathLike) -> bool:
    return not Path(path).is_file() and not Path(path).is_dir() and Path(path).exists()


def parse_audio(content: bytes, name: str, rate: int | None = None) -> np.ndarray:
    """``read_audio`` of a file's content. rate: in Hz, where it may be bare samples: 16-bit, little-endian, mono."""
    is_file = content.startswith(BEGINNINGS) or is_mp3(content)
    if rate is not None and not is_file:
        bare = np.frombuffer(content[: len(content) // 2 * 2], "<i2")
        return mono(bare.astype(np.float32) / 2**15, rate, name)
    if not content:
        raise DataError(f"{name}: {EMPTY}")
    try:
        audio = decode_audio(io.BytesIO(content), name)
    except DataError as error:
        hint = "" if is_file else "; for bare 16-bit samples give their --rate"
        raise DataError(f"{error}{hint}") from None
    if is_cut_wav(content, len(content)):
        raise DataError(cut_short(name, len(audio) / SAMPLE_RATE))
    return audio


def is_mp3(content: bytes) -> bool:
    """Whether it begins with a frame of MP3, and libsndfile finds that it goes on so."""
    if not may_be_mp3(content):
        return False
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as audio:
            return audio.format == "MP3"
    except RuntimeError:
        return False


def may_be_mp3(content: bytes) -> bool:
    """Whether it begins as a frame of MP3 does; bare samples may too."""
    return len(content) > 1 and content[0] == 0xFF and content[1] & 0xE6 == 0xE2


def decode_audio(file: bytes | BinaryIO, name: str) -> np.ndarray:
    try:
        with soundfile.SoundFile(file) as audio:
            # In blocks, so that of an hour in stereo one channel at a time is held.
            blocks = [block.mean(1) for block in decoded(audio, always_2d=True)]
            count, rate = sum(map(len, blocks)), audio.samplerate
            if is_cut(audio, count):
                raise DataError(cut_short(name, count / rate))
    except (OSError, RuntimeError) as error:  # soundfile.LibsndfileError is a RuntimeError
        reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
        raise DataError(f"{name}: no audio that can be read ({reason})") from None
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    check_scale(samples, name)  # a WAV file of floats may hold whole samples too
    return mono(samples, rate, name)
