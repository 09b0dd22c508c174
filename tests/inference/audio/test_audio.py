"""Any rate, channels and format come out as the same 16 kHz mono; what holds no speech is one line with its name."""

import io

import numpy as np
import pytest
import soundfile
import torch

from data_prep.errors import DataError
from recipes.asr.resample import resample as torch_resample
from recipes.inference.audio.reading import parse_audio, read_audio
from recipes.inference.audio.samples import mono, resample


def tone(rate: int, seconds: float = 0.5, channels: int = 0) -> np.ndarray:
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate).astype(np.float32)
    return np.repeat(samples[:, None], channels, axis=1) if channels else samples


@pytest.mark.parametrize("rate", [8000, 11025, 16001, 22050, 44099, 48000])
def test_resampling_is_that_of_training(rate):
    noise = np.random.default_rng(0).standard_normal(rate // 2 + 7).astype(np.float32)
    expected = torch_resample(torch.from_numpy(noise), rate, 16000).numpy()
    np.testing.assert_allclose(resample(noise, rate, 16000), expected, atol=3e-4)


@pytest.mark.parametrize(
    ("form", "rate", "channels"), [("wav", 44100, 2), ("flac", 22050, 3), ("ogg", 48000, 1), ("mp3", 16000, 2)]
)
def test_any_file_is_16_khz_mono(form, rate, channels, tmp_path):
    soundfile.write(tmp_path / f"a.{form}", tone(rate, channels=channels), rate)
    audio = read_audio(tmp_path / f"a.{form}")
    middle = slice(1000, 7000)  # the filter's ends, and what coders add there, left out
    assert audio.dtype == np.float32 and abs(len(audio) - 8000) <= 1200
    spectrum = np.abs(np.fft.rfft(audio[middle]))
    assert abs(spectrum.argmax() * 16000 / 6000 - 440) < 3
    assert np.abs(audio[middle]).max() == pytest.approx(0.3, abs=0.02)


def test_whole_numbers_are_shares_of_their_range():
    assert mono(np.full(1600, -(2**15), np.int16), 16000, "a")[0] == -1.0
    np.testing.assert_array_equal(mono(np.tile(np.int16([2**14, 0]), (1600, 1)), 16000, "a"), np.full(1600, 0.25))


def test_a_stream_of_bare_samples_and_one_with_a_header():
    samples = np.arange(-800, 800, dtype="<i2")
    np.testing.assert_array_equal(parse_audio(samples.tobytes(), "stdin", 16000), samples / np.float32(2**15))
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAV")
    content = bytearray(file.getvalue())
    for place in (4, 40):  # as programs write them that cannot go back: the lengths are not known
        content[place : place + 4] = b"\xff\xff\xff\xff"
    np.testing.assert_array_equal(parse_audio(bytes(content), "stdin", None), samples / np.float32(2**15))


def test_whole_numbers_without_a_sign_lie_around_the_middle():
    """As 8-bit WAV files hold them, and scipy reads them."""
    samples = mono(np.tile(np.uint8([0, 128, 192]), 800), 16000, "a")
    np.testing.assert_array_equal(samples[:3], [-1.0, 0.0, 0.5])


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros((2, 8000)), r"a: samples of shape \[2, 8000\]; give \[samples\] or \[samples, channels\]"),
        (np.zeros(8000, complex), "a: samples of type complex128; give floats or whole numbers"),
        (np.zeros(8000, bool), "a: samples of type bool; give floats or whole numbers"),
        (np.array(["a"]), "a: samples of type <U1; give floats or whole numbers"),
        (np.array([1, -2]), "a: whole numbers of type int64; give the type of the samples, such as int16"),
    ],
    ids=["channels-first", "complex", "flags", "text", "Python's"],
)
def test_arrays_that_are_no_samples(samples, reason):
    with pytest.raises(DataError, match=f"^{reason}$"):
        mono(samples, 16000, "a")


@pytest.mark.parametrize("form", ["MP3", "AIFF", "AU", "CAF", "W64"])
def test_a_file_is_no_bare_samples_whatever_its_rate_is_said_to_be(form):
    file = io.BytesIO()
    soundfile.write(file, tone(16000), 16000, format=form)
    audio = parse_audio(file.getvalue(), "stdin", 16000)
    assert np.abs(audio).max() == pytest.approx(0.3, abs=0.02)


def write_bad(kind: str, path) -> None:
    silence = np.zeros(16000, np.float32)
    if kind == "text":
        path.write_text("no audio at all\n")
    elif kind == "no byte":
        path.write_bytes(b"")
    elif kind == "no sample":
        soundfile.write(path, silence[:0], 16000)
    elif kind == "20 ms":
        soundfile.write(path, silence[:320], 16000)
    elif kind == "nan":
        soundfile.write(path, np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    elif kind == "whole samples as floats":
        soundfile.write(path, tone(16000) * 2**15, 16000, subtype="FLOAT")
    elif kind == "cut short":
        soundfile.write(path, silence, 16000)
        path.write_bytes(path.read_bytes()[:16044])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "No such file or directory"),
        ("text", "no audio that can be read (Format not recognised)"),
        ("no byte", "empty audio file"),
        ("no sample", "empty audio file"),
        ("20 ms", "20 ms of audio hold no word; 100 ms is the least"),
        ("nan", "audio with NaN or infinity"),
        (
            "whole samples as floats",
            "floats up to 9830.4; give shares of full scale, -1 to 1, or whole numbers as such",
        ),
        ("cut short", "damaged audio file, cut short after 0.5 s"),
    ],
)
def test_what_holds_no_speech(kind, reason, tmp_path):
    write_bad(kind, tmp_path / "bad.wav")
    with pytest.raises(DataError) as error:
        read_audio(tmp_path / "bad.wav")
    assert str(error.value) == f"{tmp_path}/bad.wav: {reason}"


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_nothing_is_made_up_where_a_file_is_cut(form, tmp_path):
    """An MP3 file's first frame still tells the whole length. Also from standard input."""
    path = tmp_path / f"half.{form}"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 20 * 16000), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    for read in (read_audio, lambda path: parse_audio(path.read_bytes(), str(path))):
        with pytest.raises(
            DataError, match=r"half\.\w+: (damaged audio file, cut short after (9\.[89]|10\.0) s|no audio)"
        ):
            read(path)


@pytest.mark.parametrize(
    ("samples", "rate", "reason"),
    [
        (np.zeros((2, 3, 4)), 16000, "samples of shape [2, 3, 4]; give [samples] or [samples, channels]"),
        (np.zeros(16000), 0, "the rate must be a whole number of samples a second, not 0"),
        (np.zeros(16000), 16000.5, "the rate must be a whole number of samples a second, not 16000.5"),
        (np.zeros(16000), True, "the rate must be a whole number of samples a second, not True"),
        (np.zeros(0), 16000, "empty audio file"),
    ],
)
def test_samples_that_are_none(samples, rate, reason):
    with pytest.raises(DataError) as error:
        mono(samples, rate, "array")
    assert str(error.value) == f"array: {reason}"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty audio file"), (b"\0\1" * 9000, "no audio that can be read")]
)
def test_a_stream_that_is_none(content, reason):
    with pytest.raises(DataError, match=rf"^stdin: {reason}"):
        parse_audio(content, "stdin")
