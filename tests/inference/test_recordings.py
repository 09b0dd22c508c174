"""What a command line names: files, folders, patterns; and what the outputs are called."""

import numpy as np
import pytest
import soundfile

from data_prep.errors import DataError
from recipes.inference.recordings import Recording, find_recordings, recording_of


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


def test_equal_names_become_whole_paths(tree):
    outside = str(tree / "other" / "a.wav")
    assert named("talks/monday/a.wav", outside, "talks/b.flac", "talks/b.flac") == [
        ("talks/monday/a.wav", "talks/monday/a.wav"),
        (outside.lstrip("/"), outside),
        ("b", "talks/b.flac"),
    ]


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


def test_samples_need_a_rate():
    with pytest.raises(DataError, match=r"array: samples need their rate: transcribe\(samples, rate=16000\)"):
        recording_of(np.zeros(4000), None, "array")
