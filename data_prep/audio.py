"""What the header of an audio file says, read fast for FLAC, and what decoding the file shows."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from data_prep.errors import OF_THE_MACHINE

# The formats of libsndfile. Of several files with the same name, the format that comes first here is taken.
FORMATS = (".flac", ".wav", ".w64", ".rf64", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist")
FORMATS += (".opus", ".ogg", ".oga", ".mp3")
STREAMINFO_END = 42  # bytes of a FLAC file: its signature, then the block STREAMINFO, which always comes first
UNKNOWN_SIZE = 0x7FFF0000  # programs that write to a pipe put this or more into a WAV file's header
BLOCK = 1 << 16  # samples decoded at a time

EMPTY, DAMAGED, NOT_FINITE = "empty audio file", "damaged audio file", "audio with NaN or infinity"
UNKNOWN_LENGTH = "audio file without its length"
ROUNDING = 0.2  # seconds
FIRST_MP3_FRAME = 2048  # bytes that hold it
LONGEST = 1 << 40  # samples; libsndfile gives more for a length that the header leaves open


class Header(NamedTuple):
    """Samples per channel, sample rate in Hz, channels."""

    frames: int
    rate: int
    channels: int


def read_header(path: str) -> Header | str:
    """The header of an audio file, or the kind of problem.

    Raises OSError where the machine keeps the file back (no permission, a failing disk): that is no damage.

    A FLAC file that is cut is damaged: the start of its last frame must be there. So is a WAV file that is shorter
    than its header says. What is wrong inside a file shows in `check`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            size, start = os.fstat(descriptor).st_size, os.read(descriptor, STREAMINFO_END)
            header = _flac_header(descriptor, start, size)
        finally:
            os.close(descriptor)
        if size == 0:
            return EMPTY
        return header or _other_header(path, start, size)
    except OSError as error:
        if error.errno in OF_THE_MACHINE:
            raise
        return DAMAGED
    except soundfile.LibsndfileError:
        return DAMAGED


def check(path: str) -> str | None:
    """Decode the whole file. Returns the kind of problem, None when there is no problem; raises as `read_header`."""
    try:
        count = 0
        with soundfile.SoundFile(path) as audio:
            for block in decoded(audio):
                count += len(block)
                if not np.isfinite(block).all():
                    return NOT_FINITE
            return DAMAGED if is_cut(audio, count) else None
    except OSError as error:
        if error.errno in OF_THE_MACHINE:
            raise
        return DAMAGED
    except RuntimeError:  # soundfile.LibsndfileError
        return DAMAGED


def decoded(audio: soundfile.SoundFile, **options) -> Iterator[np.ndarray]:
    """The rest of the samples in float32 blocks, until no more come. options: of `read`.

    `SoundFile.blocks` goes on to the length in the header, and of a file that holds less it gives old samples again.
    """
    while len(block := audio.read(BLOCK, dtype="float32", **options)):
        yield block


def is_cut(audio: soundfile.SoundFile, count: int) -> bool:
    """Whether so many samples are fewer than the header says. Of MP3 and Ogg that may be a few frames out, and of MP3
    without a length in its first frame libsndfile guesses."""
    rounding = ROUNDING * audio.samplerate if audio.format in ("MP3", "OGG") else 0
    if audio.frames - count <= rounding or audio.frames > LONGEST:
        return False
    return audio.format != "MP3" or _tells_its_length(audio.name)


def is_cut_wav(start: bytes, size: int) -> bool:
    """Whether so many bytes, which begin so, are fewer than a WAV header says."""
    return start[:4] == b"RIFF" and size < int.from_bytes(start[4:8], "little") < UNKNOWN_SIZE


def _tells_its_length(mp3: str | bytes | BinaryIO) -> bool:
    """Whether the first frame of an MP3 file, behind its ID3 tag, says how many there are."""
    with contextlib.nullcontext(mp3) if hasattr(mp3, "read") else open(mp3, "rb") as file:
        file.seek(0)
        start = file.read(10)
        if start[:3] == b"ID3":  # its size has seven bits a byte
            file.seek(10 + sum(byte << 7 * place for place, byte in enumerate(reversed(start[6:10]))))
        first_frame = file.read(FIRST_MP3_FRAME)
    return any(name in first_frame for name in (b"Xing", b"Info", b"VBRI"))


def _flac_header(descriptor: int, start: bytes, size: int) -> Header | None:
    """The header in STREAMINFO (RFC 9639, 8.2); None if it is no FLAC file, or not certain to be complete."""
    if len(start) < STREAMINFO_END or start[:4] != b"fLaC" or start[4] & 0x7F != 0:
        return None
    shortest_block, longest_block = int.from_bytes(start[8:10]), int.from_bytes(start[10:12])
    longest_frame = int.from_bytes(start[15:18])
    numbers = int.from_bytes(start[18:26])  # 20 bits sample rate, 3 channels - 1, 5 sample size - 1, 36 samples
    rate, channels, samples = numbers >> 44, (numbers >> 41 & 7) + 1, numbers & 0xFFFFFFFFF
    if not (rate and samples and longest_frame and 0 < shortest_block == longest_block):
        return None
    # The last frame begins with a sync code and, two bytes on, its number, coded as UTF-8 codes a character.
    last = (samples - 1) // longest_block
    if last > sys.maxunicode:
        return None
    number = chr(last).encode(errors="surrogatepass")
    tail = os.pread(descriptor, longest_frame, max(size - longest_frame, STREAMINFO_END))
    at = tail.rfind(b"\xff\xf8")
    while at >= 0 and not tail.startswith(number, at + 4):
        at = tail.rfind(b"\xff\xf8", 0, at)
    return Header(samples, rate, channels) if at >= 0 else None


def _other_header(path: str, start: bytes, size: int) -> Header | str:
    """By libsndfile. Of a FLAC file, the last sample is decoded too, which a file that is cut does not have."""
    if is_cut_wav(start, size):
        return DAMAGED
    with soundfile.SoundFile(os.fsencode(path)) as audio:  # as bytes a name need not be UTF-8
        if audio.frames == 0:
            return EMPTY
        if audio.frames > LONGEST:
            return UNKNOWN_LENGTH
        if audio.format == "FLAC":
            audio.seek(audio.frames - 1)
            if len(audio.read(1)) != 1:
                return DAMAGED
        return Header(audio.frames, audio.samplerate, audio.channels)
