"""Utterances that are left out or cannot be recognised: counted and named, of training and of tests."""

import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import evaluate
from data_prep.audio import DAMAGED
from recipes.asr.audio import read_samples
from recipes.asr.brain import ASRBrain
from recipes.asr.data import Unusable
from recipes.asr.remarks import Remarks
from recipes.asr.unusable import UnusableAudio
from recipes.scoring import RunSummary
from recipes.training.logger import RunLogger
from tests.support.corpus import write_corpus
from tests.support.runs import epochs, summary, train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Splits of which a tenth is an utterance."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, {"train-clean-5": (2, 12), "dev-clean": (1, 10), "test-clean": (1, 10), "test-other": (1, 10)})
    return folder


@pytest.fixture
def data(corpus, tmp_path) -> Path:
    """A copy of the corpus, to be changed."""
    return shutil.copytree(corpus, tmp_path / "data")


def audio_of(data: Path, split: str) -> list[Path]:
    return sorted(data.glob(f"{split}/*/*/*.flac"))


def corrupt(audio: Path) -> None:
    """What no look at the header shows: garbage in the middle, of the same size."""
    content = bytearray(audio.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    audio.write_bytes(content)


def remarks(output: Path) -> dict:
    return json.loads((output / "utterances.json").read_text())


# --- audio that turns out damaged when it is read -----------------------------------------------------------


@pytest.mark.parametrize("workers", ["0", "2"])
def test_damaged_audio_is_left_out_of_training_by_name(data, tmp_path, capsys, workers):
    """Batches of one utterance, so that the damaged ones are batches without any, and at last a group of such."""
    broken = audio_of(data, "train-clean-5")[3:5]
    for audio in (*broken, audio_of(data, "dev-clean")[0]):
        corrupt(audio)
    options = ["--workers", workers, "--batch_seconds", "0.1", "--number_of_epochs", "2"]
    assert train(data, tmp_path / "run", *options) == 0
    screen = capsys.readouterr().out
    assert screen.count("left out of train: 2 of 24 utterances (0.00 h), damaged audio file (") == 1, (
        "once, not an epoch"
    )
    assert screen.count("left out of valid: 1 of 10 utterances (0.00 h), damaged audio file (") == 1
    assert str(broken[0]) in screen
    assert remarks(tmp_path / "run")["train"] == {"damaged audio file": [audio.stem for audio in broken]}
    assert summary(tmp_path / "run").remarks["train"] == {"damaged audio file": 2}
    assert [epoch.steps for epoch in epochs(tmp_path / "run")] == [22, 44], "no step of what could not be read"
    assert all(epoch.metrics["skipped_steps"] == 0 for epoch in epochs(tmp_path / "run"))


def test_damaged_audio_is_named_after_a_stop_too(data, tmp_path, monkeypatch):
    broken = audio_of(data, "train-clean-5")[3:5]
    for audio in broken:
        corrupt(audio)
    options, fit_group, met = ["--batch_seconds", "0.1", "--workers", "0"], ASRBrain.fit_group, []

    def stop_after_both(brain, group, steps):
        met.extend(utterance.id for batch in group for utterance in batch.unusable)
        fit_group(brain, group, steps)
        if len(met) == 2:
            brain.stop.signal_name = "the test"

    with monkeypatch.context() as patch:
        patch.setattr(ASRBrain, "fit_group", stop_after_both)
        assert train(data, tmp_path / "run", *options) != 0
    assert not epochs(tmp_path / "run"), "within the first epoch"
    assert train(data, tmp_path / "run", *options) == 0
    assert remarks(tmp_path / "run")["train"] == {"damaged audio file": [audio.stem for audio in broken]}


def test_audio_that_the_machine_keeps_back_ends_a_training_which_goes_on(data, tmp_path, monkeypatch, capsys):
    """One file of 24, which would be left out were it damaged."""
    kept_back = audio_of(data, "train-clean-5")[3]

    def denied(segment):
        if segment.path == str(kept_back):
            raise PermissionError(errno.EACCES, "Permission denied", segment.path)
        return read_samples(segment)

    assert train(data, tmp_path / "unbroken", "--workers", "1") == 0
    with monkeypatch.context() as patch:
        patch.setattr("recipes.asr.audio.read_samples", denied)
        capsys.readouterr()
        assert train(data, tmp_path / "run", "--workers", "1") == 2
        message = capsys.readouterr().err
    assert message.startswith(f"error: {kept_back} cannot be read: ") and message.count("\n") == 1
    assert "Permission denied" in message and "give the same command again" in message
    assert train(data, tmp_path / "run", "--workers", "1") == 0
    assert not (tmp_path / "run" / "utterances.json").exists(), "nothing was left out"
    ends = [summary(tmp_path / name).splits for name in ("run", "unbroken")]
    assert [split.wer for split in ends[0].values()] == [split.wer for split in ends[1].values()]


def test_too_much_damaged_audio_is_refused(data, tmp_path, capsys):
    broken = audio_of(data, "train-clean-5")[:3]
    for audio in broken:
        corrupt(audio)
    assert train(data, tmp_path / "run") == 2
    message = capsys.readouterr().err
    assert message.startswith("error: train: the audio of 3 of 24 utterances cannot be used: ")
    assert "--check names all" in message and message.count("\n") == 1


def test_a_test_set_with_damaged_audio_has_results(data, tmp_path, capsys):
    """One of ten is left out, and counted; another set with two is refused, after the summary of the first."""
    assert train(data, tmp_path / "run") == 0
    broken = [audio_of(data, "test-clean")[2], *audio_of(data, "test-other")[:2]]
    for audio in broken:
        corrupt(audio)
    for command, folder in (
        (lambda: train(data, tmp_path / "run", "--test_only"), tmp_path / "run"),
        (lambda: evaluate.main([str(tmp_path / "run"), "--device", "cpu", "--noprogressbar"]), None),
    ):
        capsys.readouterr()
        assert command() == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("error: test-other: the audio of 2 of 10 utterances cannot be used: ")
        assert "note: without 1 of the 10 utterances of test-clean: no usable audio" in printed.out
        folder = folder or next((tmp_path / "run" / "evaluations").iterdir())
        (result,) = RunSummary.read(folder).splits.values()
        assert (result.utterances, result.left_out) == (9, 1)
        assert remarks(folder)["test-clean"] == {"damaged audio file": [broken[0].stem]}
        assert (folder / "report.html").is_file()


def test_audio_with_nan_is_left_out(data, tmp_path, capsys):
    flac = audio_of(data, "train-clean-5")[5]
    samples, rate = soundfile.read(flac)
    samples[100] = np.nan
    flac.unlink()
    soundfile.write(flac.with_suffix(".wav"), samples, rate, subtype="FLOAT")
    assert train(data, tmp_path / "run") == 0
    assert remarks(tmp_path / "run")["train"] == {"audio with NaN or infinity": [flac.stem]}
    assert np.isfinite(epochs(tmp_path / "run")[0].metrics["train_loss"])


# --- what is known before training --------------------------------------------------------------------------


def test_long_utterances_are_counted(corpus, tmp_path, capsys):
    assert train(corpus, tmp_path / "run", "--max_seconds", "0.8", "--test_splits", "[]") == 0
    names = remarks(tmp_path / "run")["train"]["longer than max_seconds"]
    assert 0 < len(names) < 24
    line = rf"left out of train: {len(names)} of 24 utterances \(0\.0\d h\), longer than max_seconds: "
    assert re.search(line, capsys.readouterr().out)


def test_characters_unknown_to_the_tokenizer_are_named(data, tmp_path, capsys):
    """In what is validated and tested; these utterances stay in, and count as errors."""
    for split in ("dev-clean", "test-clean"):
        file = next(data.glob(f"{split}/*/*/*.txt"))
        first, *others = file.read_text().splitlines()
        file.write_text("\n".join([f"{first} ÜÉ", *others]) + "\n")
    assert train(data, tmp_path / "run") == 0
    screen, kind = capsys.readouterr().out, "characters that the tokenizer has no piece for"
    for split in ("dev-clean", "test-clean"):
        (name,) = remarks(tmp_path / "run")[split][kind]
        line = f"note on {split}: 1 of 10 utterances (0.00 h), {kind} (É Ü): {name} (all in "
        assert screen.count(line) == 1
    assert summary(tmp_path / "run").remarks["test-clean"] == {kind: 1}
    assert summary(tmp_path / "run").splits["test-clean"].utterances == 10


def test_a_warm_up_longer_than_the_run_is_said(corpus, tmp_path, capsys):
    assert train(corpus, tmp_path / "run", "--warmup_steps", "1000", "--test_splits", "[]") == 0
    steps = epochs(tmp_path / "run")[-1].steps
    assert (
        f"note: the warm-up is longer than the run: warmup_steps is 1000 and there are {steps} steps in all, so that "
        f"the learning rate rises to step {steps // 2} alone, and falls from there\n" in capsys.readouterr().out
    )
    assert not (tmp_path / "run" / "utterances.json").exists(), "there is nothing to name"


def test_audio_that_was_repaired_is_named_no_more(tmp_path):
    remarks = Remarks(tmp_path, RunLogger(tmp_path))
    found = UnusableAudio("test-clean")
    found.add([Unusable("u1", 1.0, DAMAGED, "u1.flac cannot be read")])
    found.report(remarks, 20)
    assert remarks.counts() == {"test-clean": {DAMAGED: 1}}
    later = Remarks(tmp_path, RunLogger(tmp_path))
    UnusableAudio("test-clean").report(later, 20)
    assert later.counts() == Remarks(tmp_path, RunLogger(tmp_path)).counts() == {}
