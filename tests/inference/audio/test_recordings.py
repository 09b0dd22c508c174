"""What a command line names: files, folders, patterns; and what the outputs are called."""

import errno
import io
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from data_prep.errors import DataError
from recipes.inference.audio.recordings import Recording, find_recordings, recording_of
from recipes.inference.transcripts.formats import FORMATS
from recipes.inference.transcripts.transcript import Transcript


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("talks/monday/a.wav", "talks/b.flac", "talks/notes.txt", "other/a.wav", "c [1].wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("")
        else:
            soundfile.write(tmp_path / name, np.zeros(8000), 16000)
    return tmp_path


def named(*arguments: str) -> list[tuple[str, str]]:
    return [(recording.id, recording.path) for recording in find_recordings(arguments)]


def test_files_folders_and_patterns(tree):
    assert named("talks") == [("b", "talks/b.flac"), ("monday/a", "talks/monday/a.wav")]
    assert named("talks/*") == [("b", "talks/b.flac")]
    assert named("**/*.wav") == [
        ("c [1]", "c [1].wav"),
        ("other/a.wav", "other/a.wav"),
        ("talks/monday/a.wav", "talks/monday/a.wav"),
    ]
    assert named("c [1].wav", "gone.wav") == [("c [1]", "c [1].wav"), ("gone", "gone.wav")]


def test_a_folder_that_cannot_be_read_is_not_passed_over(tree, monkeypatch):
    def refuse(path, scandir=os.scandir):
        if "monday" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="talks/monday"):
        find_recordings(["talks"])


def test_names_need_not_be_utf8(tree):
    """As a disk of another machine may have them. What is printed and written is UTF-8."""
    for name in (b"caf\xe9.wav", b"caf\xea.wav"):
        shutil.copyfile(tree / "c [1].wav", os.fsdecode(name))
    recordings = find_recordings(["*.wav"])
    assert [recording.id for recording in recordings] == ["c [1]", "caf\\udce9", "caf\\udcea"]
    for recording in recordings:
        assert len(recording.read()) == 8000 and recording.seconds() == 0.5
        assert recording.name.encode()
    transcript = Transcript(recordings[1].id, "", 0.5, audio=recordings[1].name)
    for write in FORMATS.values():
        write(transcript).encode()


def test_a_pipe_is_no_recording(tree):
    """Its header could be read, and then it would be waited for without end."""
    os.mkfifo(tree / "pipe.wav")
    (recording,) = find_recordings(["pipe.wav"])
    assert recording.seconds() == 0
    with pytest.raises(
        DataError, match=r"^pipe\.wav: a pipe or a device, not a file: give - and the audio on standard"
    ):
        recording.read()


def test_equal_names_become_whole_paths(tree):
    outside = str(tree / "other" / "a.wav")
    assert named("talks/monday/a.wav", outside, "talks/b.flac", "talks/b.flac") == [
        ("talks/monday/a.wav", "talks/monday/a.wav"),
        (outside.lstrip("/"), outside),
        ("b", "talks/b.flac"),
    ]


def test_no_two_outputs_have_one_name(tree, monkeypatch):
    """Each would be written over the one before."""
    monkeypatch.chdir(tree / "talks")
    for name in ("stdin", "monday"):
        soundfile.write(tree / "talks" / f"{name}.wav", np.zeros(8000), 16000)
    (tree / "talks" / "other").mkdir()
    soundfile.write(tree / "talks" / "other" / "a.wav", np.zeros(8000), 16000)
    assert named("../other/a.wav", "other/a.wav", "./other/../other/a.wav") == [
        ("other/a.wav", "../other/a.wav"),
        ("other/a.wav-2", "other/a.wav"),
    ]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(bytes(16000))))
    assert [recording.id for recording in find_recordings(["-", "stdin.wav"], 16000)] == ["stdin.wav", "stdin"]


def test_hidden_files_of_a_folder_are_no_audio(tree):
    """As macOS puts beside others, `._a.wav`; and a folder may have a name like a file's."""
    (tree / "talks" / "._b.flac").write_bytes(b"no audio")
    (tree / "talks" / ".trash").mkdir()
    (tree / "talks" / ".trash" / "old.wav").write_bytes(b"no audio")
    (tree / "talks" / "set.wav").mkdir()
    assert named("talks") == [("b", "talks/b.flac"), ("monday/a", "talks/monday/a.wav")]


@pytest.mark.parametrize(
    ("argument", "reason"), [("empty", "a folder without audio"), ("x*.wav", "no audio file matches")]
)
def test_nothing_there(argument, reason, tree):
    (tree / "empty").mkdir()
    with pytest.raises(DataError, match=reason):
        find_recordings([argument])


def test_seconds_are_those_of_the_header(tree):
    assert Recording("b", "talks/b.flac").seconds() == 0.5
    assert Recording("notes", "talks/notes.txt").seconds() == Recording("gone", "gone.wav").seconds() == 0.0
    assert recording_of(np.zeros(4000, np.float32), 8000, "array").seconds() == 0.5


def test_floats_that_are_whole_samples():
    """The text of such would be empty."""
    with pytest.raises(DataError, match=r"array: floats up to 16384; give shares of full scale, -1 to 1, or whole"):
        recording_of(np.full(4000, 2.0**14), 16000, "array")


def test_samples_need_a_rate():
    with pytest.raises(DataError, match=r"array: samples need their rate: transcribe\(samples, rate=16000\)"):
        recording_of(np.zeros(4000), None, "array")


@pytest.mark.parametrize(
    "audio", [None, b"RIFF", {"audio": 1}, iter("ab"), 0.5], ids=lambda audio: type(audio).__name__
)
def test_neither_a_path_nor_samples(audio):
    with pytest.raises(DataError, match=rf"^array: samples are wanted, not {type(audio).__name__}$"):
        recording_of(audio, None, "array")


def test_a_tensor_that_numpy_does_not_take():
    with pytest.raises(DataError, match=r"^array: no samples that numpy takes \(.*requires grad"):
        recording_of(torch.zeros(4000, requires_grad=True), 16000, "array")
