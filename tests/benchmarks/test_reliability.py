"""The short form of the benchmark of accidents. Its two processes are tested in tests/training/test_processes.py."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.reliability import kills, mistakes, tiny_run
from benchmarks.reliability.bad_inputs import BadInput
from benchmarks.reliability.command import main
from recipes.scoring import EpochRecord
from tests.support import runs


@pytest.mark.timeout(300)
def test_three_kills(tmp_path):
    """The first part of the short form; the others are in test_reliability_parts.py, for another process."""
    out = tmp_path / "reliability.json"
    options = "--parts kills --kills 3 --variants accumulation".split()
    assert main([*options, "--folder", str(tmp_path), "--out", str(out)]) == 0
    results = json.loads(out.read_text())
    assert results.keys() == {"command", "machine", "commit", "kills"}
    assert results["kills"]["tried"] == results["kills"]["bit_equal"] == 3, results["kills"]["differing"]
    assert results["kills"]["kills"] >= 3
    assert list(tmp_path.iterdir()) == [out], "the temporary folder is removed"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert runs.train(runs.small_corpus(folder / "corpus"), folder / "run", "--number_of_epochs", "2") == 0
    return folder / "run"


def test_an_outcome_equals_itself_and_no_other(finished):
    outcome = tiny_run.outcome(finished)
    assert outcome.equals(tiny_run.outcome(finished))
    name, weight = next(iter(outcome.weights.items()))
    nudged = torch.nextafter(weight, torch.full_like(weight, 9.0))
    assert not outcome._replace(weights={**outcome.weights, name: nudged}).equals(outcome)
    assert not outcome._replace(weights={name: weight}).equals(outcome)
    assert not outcome._replace(log=outcome.log + outcome.log[-1:]).equals(outcome)
    assert not outcome._replace(log=outcome.log[1:]).equals(outcome)
    assert not outcome._replace(results={}).equals(outcome)
    nan = {**outcome.weights, name: weight * float("nan")}
    assert not outcome._replace(weights=nan).equals(outcome._replace(weights=nan))
    assert EpochRecord.read_all(finished)[0][0].seconds and "seconds" not in outcome.log[0]


def test_a_run_that_does_not_come_out_the_same_is_counted(tmp_path, monkeypatch):
    """Without any training: the unbroken run's folder is the only one whose weights differ."""
    equal = tiny_run.Outcome({"a": torch.zeros(1)}, {}, [])
    outcomes = iter([equal, equal, equal._replace(weights={"a": torch.ones(1)})])
    monkeypatch.setattr(kills, "run", lambda *_: 1.0)
    monkeypatch.setattr(kills, "run_and_kill", lambda *_: "training")
    monkeypatch.setattr(kills, "outcome", lambda _: next(outcomes))
    results = kills.try_kills(tmp_path, tmp_path, 2, variants=["plain"])
    assert (results["tried"], results["bit_equal"], len(results["differing"])) == (2, 1, 1)


def test_the_stage_of_a_run_is_read_from_its_folder(tmp_path):
    assert kills.stage_of(tmp_path / "run") == "before anything is written"
    for name, stage in {
        "log.txt": "before the first checkpoint",
        "checkpoints/CKPT+1/CKPT.yaml": "training",
        "averaged.ckpt": "the test is being decoded",
        "summary.json": "the summary is there, the report is not",
        "report.html": "the run has ended",
        ".averaged.ckpt.1.tmp": "the average is being written",
        "checkpoints/saving+CKPT+2/CKPT.yaml": "a checkpoint is being saved",
    }.items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).touch()
        assert kills.stage_of(tmp_path / "run") == stage


def test_another_line_or_a_file_left_behind_is_unclear(tmp_path):
    row = BadInput("--lr 0", "$recipe: lr must be a number above 0, not 0")
    assert mistakes.try_mistakes([row, row._replace(line="lr is wrong")], tmp_path)["unclear"] == ["train --lr 0"]


def test_numbers_too_small_are_refused(capsys):
    assert main(["--epochs", "5"]) == 2
    assert capsys.readouterr().err == "error: --epochs must be 6 or more\n"
