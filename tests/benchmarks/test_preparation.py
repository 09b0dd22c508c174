"""The corpus of the preparation's benchmark is prepared whole, measured and removed."""

import json

import pytest

from benchmarks.preparation.command import main
from benchmarks.preparation.corpus import HELD_OUT, TRAIN, WORDS_PER_UTTERANCE, write_corpus
from benchmarks.preparation.first_batch import main as start_to_first_batch
from benchmarks.preparation.measure import ProgramFailed, first_batch, prepare
from data_prep.librispeech import prepare_split
from data_prep.manifest import read_manifest


def test_preparation_is_measured_and_the_corpus_removed(tmp_path, capsys):
    folder = tmp_path / "new"
    assert main(["--utterances", "300", "--folder", str(folder), "--no_start"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["utterances"] == 300
    for run in (figures["first"], figures["again"]):
        assert run["seconds"] > 0 and run["cpu_seconds"] > 0 and run["peak_mb"] > 10
    assert list(folder.iterdir()) == []


def test_a_start_is_measured(tmp_path):
    write_corpus(tmp_path, 20)
    figures = first_batch(tmp_path, "--normalize_utterances", "2", "--batch_seconds", "20")
    assert 1 < figures["seconds"] < 300 and figures["peak_mb"] > 100 and figures["worker_mb"] > 100
    assert not list(tmp_path.glob("run/checkpoints/CKPT*"))


def test_a_program_that_fails_is_told_with_its_last_line(tmp_path):
    with pytest.raises(ProgramFailed, match=f"data_prep.librispeech failed\nerror: no LibriSpeech in {tmp_path}"):
        prepare(tmp_path)


def test_splits_have_the_shares_of_librispeech(tmp_path):
    assert sum(TRAIN.values()) == 281_241
    write_corpus(tmp_path, 200)
    rows = {
        split: list(read_manifest(prepare_split(tmp_path / "LibriSpeech", split, tmp_path, progress=False)))
        for split in TRAIN | HELD_OUT
    }
    sizes = {split: len(of_split) for split, of_split in rows.items()}
    shares = {"train-clean-100": 20, "train-clean-360": 74, "train-other-500": 106, "dev-clean": 2, "test-clean": 2}
    assert sizes == shares
    counts = {len(row["wrd"].split()) for row in rows["train-other-500"]}
    assert counts <= set(range(WORDS_PER_UTTERANCE[0], WORDS_PER_UTTERANCE[1] + 1)) and len(counts) > 20
    assert all(abs(float(row["duration"]) - len(row["wrd"].split()) / 3) < 0.01 for row in rows["dev-clean"])


def test_a_start_without_its_folders_is_one_line(capsys):
    assert start_to_first_batch([]) == 2
    assert "required: RESULT, DATA_FOLDER, RUN" in capsys.readouterr().err
