"""The fast reader of FLAC headers agrees with libsndfile, and damage is found by the header or by decoding."""

import errno
import os

import numpy as np
import pytest
import soundfile

from data_prep.audio import DAMAGED, EMPTY, NOT_FINITE, UNKNOWN_LENGTH, Header, check, read_header

FRAMES = 32000  # samples: 8 FLAC frames of 4096


def noise(samples, channels=1):
    return np.random.default_rng(0).uniform(-0.1, 0.1, (samples, channels))


@pytest.fixture
def flac(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(FRAMES), 16000)
    return path


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


@pytest.fixture
def by_libsndfile(monkeypatch):
    """The files that were not read by the fast reader."""
    paths = []
    original = soundfile.SoundFile.__init__
    monkeypatch.setattr(
        soundfile.SoundFile,
        "__init__",
        lambda file, path, *rest, **options: paths.append(path) or original(file, path, *rest, **options),
    )
    return paths


@pytest.mark.parametrize("samples", [1, 4095, 4096, 4097, 90_000, 600_000])
@pytest.mark.parametrize(
    ("rate", "channels", "subtype"), [(16000, 1, "PCM_16"), (44100, 2, "PCM_24"), (8000, 3, "PCM_S8")]
)
def test_flac_header_as_libsndfile_reads_it(tmp_path, by_libsndfile, samples, rate, channels, subtype):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(samples, channels), rate, subtype=subtype)
    by_libsndfile.clear()
    assert read_header(str(path)) == Header(samples, rate, channels)
    assert by_libsndfile == []


def test_flac_behind_a_tag_of_another_kind_is_read_by_libsndfile(flac, by_libsndfile):
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 0, 10]) + bytes(10)
    flac.write_bytes(tag + flac.read_bytes())
    assert read_header(str(flac)) == Header(FRAMES, 16000, 1)
    assert by_libsndfile == [os.fsencode(flac)]


def test_flac_from_a_pipe_has_no_length_in_its_header(flac):
    content = bytearray(flac.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # the number of samples, as of an encoder that wrote to a pipe
    flac.write_bytes(content)
    assert read_header(str(flac)) == UNKNOWN_LENGTH


def test_flac_that_is_cut_before_its_last_frame_is_damaged_by_its_header(flac):
    size, content = flac.stat().st_size, flac.read_bytes()
    for share in (0.1, 0.3, 0.5, 0.7, 0.85):
        flac.write_bytes(content[: int(share * size)])
        assert read_header(str(flac)) == DAMAGED


@pytest.mark.parametrize("missing", [1, 10, 100, 1000])
def test_flac_that_is_cut_within_its_last_frame_is_damaged_by_decoding(flac, missing):
    assert check(str(flac)) is None
    cut(flac, -missing)
    assert read_header(str(flac)) == Header(FRAMES, 16000, 1)
    assert check(str(flac)) == DAMAGED


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8, 0.99])
def test_flac_with_a_changed_byte_is_damaged_by_decoding(flac, place):
    content = bytearray(flac.read_bytes())
    content[int(place * len(content))] ^= 0x10
    flac.write_bytes(content)
    assert check(str(flac)) == DAMAGED


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers(tmp_path, bad):
    path, samples = tmp_path / "a.wav", noise(100_000)
    samples[70_000] = bad
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    assert read_header(str(path)) == Header(100_000, 16000, 1)
    assert check(str(path)) == NOT_FINITE


def test_wav_that_is_shorter_than_its_header_says(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1000), 16000)
    assert read_header(str(path)) == Header(1000, 16000, 1)
    cut(path, 1000)
    assert read_header(str(path)) == DAMAGED


def test_mp3_that_is_cut_is_damaged_by_decoding(tmp_path):
    """Its first frame still says a minute, and `SoundFile.blocks` would give one, with the last block again."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(60 * 16000), 16000)
    assert check(str(path)) is None
    cut(path, path.stat().st_size // 2)
    assert read_header(str(path)) == Header(60 * 16000, 16000, 1)
    assert check(str(path)) == DAMAGED


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\x10\0" + bytes(2048)], ids=["plain", "ID3"])
def test_mp3_without_its_length_is_as_long_as_it_is(tmp_path, tag):
    """libsndfile guesses it from the size of the first frames, which a variable bit rate makes a poor guess."""
    path = tmp_path / "a.mp3"
    loud, silent = noise(30 * 16000), np.zeros((30 * 16000, 1))
    soundfile.write(
        path, np.concatenate([silent, loud]), 16000, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5
    )
    content = path.read_bytes()
    path.write_bytes(tag + content)
    assert check(str(path)) is None
    path.write_bytes(tag + content[: len(content) // 2])
    assert check(str(path)) == DAMAGED
    first = max(content.find(b"Xing"), content.find(b"Info"))
    path.write_bytes(tag + content[content.find(b"\xff" + content[1:2], first) :])
    assert check(str(path)) is None


def test_wav_from_a_pipe_has_no_size_in_its_header(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1000), 16000)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert read_header(str(path)) == Header(1000, 16000, 1)


@pytest.mark.parametrize("ending", ["wav", "aiff", "au", "caf", "w64", "ogg", "opus", "mp3"])
def test_formats_of_libsndfile(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    options = {"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {}
    soundfile.write(path, noise(FRAMES), 16000, **options)
    assert read_header(str(path)) == Header(FRAMES, 16000, 1)
    assert check(str(path)) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", EMPTY), (b"fLaC", DAMAGED), (b"<html>not found</html>" * 9, DAMAGED), (None, DAMAGED)],
    ids=["empty", "cut", "html", "missing"],
)
def test_files_that_are_no_audio(tmp_path, content, problem):
    path = tmp_path / "a.flac"
    if content is not None:
        path.write_bytes(content)
    assert read_header(str(path)) == problem
    assert check(str(path)) == DAMAGED


def test_a_file_that_the_machine_keeps_back_is_not_called_damaged(flac, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(flac))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        read_header(str(flac))
    monkeypatch.setattr(soundfile, "SoundFile", refuse)
    with pytest.raises(PermissionError):
        check(str(flac))
