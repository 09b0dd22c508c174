"""How a comparison runs, with a program that only pretends to train."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

import compare
from recipes.bakeoff import ComparisonRecord, runner, write_results
from recipes.bakeoff.plan import Plan, Run
from recipes.bakeoff.preparation import copy_preparation
from recipes.bakeoff.progress import Job, Progress
from recipes.bakeoff.recipe import hash_of
from recipes.bakeoff.runner import run_all
from recipes.bakeoff.timing import steps_within, time_steps
from recipes.files import read_json
from recipes.training.lock import locked
from tests.support.bakeoff_folders import plan_of, refused, shared, tiny_corpus, write_run
from tests.support.runs import RECIPE, TINY
from train import main as train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


STUB = """
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent
options = dict(argument[2:].split("=", 1) for argument in sys.argv[1:] if "=" in argument)
folder = Path(options["output_folder"])
with open(here / "calls", "a") as calls:
    calls.write(f"{folder.parent.name} {folder.name} {os.environ.get('OMP_NUM_THREADS', '-')} {os.getpid()}\\n")
folder.mkdir(parents=True, exist_ok=True)
behaviour = json.loads((here / "behaviour.json").read_text()).get(folder.parent.name, "")
if behaviour == "sleep":
    time.sleep(60)
if behaviour not in ("", "late"):
    print("Traceback (most recent call last):")
    sys.exit(behaviour)
files = json.loads((here / "files.json").read_text())
(folder / "decoded_test-clean.jsonl").write_text(files["decoded"])
steps = int(options.get("optimizer_step_limit", 17))
(folder / "summary.json").write_text(json.dumps({
    **files["summary"], "recipe_hash": files["hashes"].get(str(folder), "?"), "seconds": 2 + steps / 2,
    **({"splits": {}} if "test_splits" in options else {}),
}))
if behaviour == "late":
    sys.exit("no space for the report")
"""


class Stub:
    """Pretends to be train.py; remembers how it was called."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        (folder / "train.py").write_text(STUB)
        self.behave()

    def behave(self, **by_entry: str) -> None:
        (self.folder / "behaviour.json").write_text(json.dumps(by_entry))

    def prepare_files(self, runs: list[Run]) -> None:
        """Write what these runs will leave: a summary, and half of the words of two utterances."""
        example = self.folder / "example"
        folder = example / "runs" / "a" / "1"
        if not folder.is_dir():
            write_run(example, "a", 1, {"test-clean": [5, 5]})
        files = {
            "decoded": (folder / "decoded_test-clean.jsonl").read_text(),
            "summary": read_json(folder / "summary.json"),
            "hashes": {str(run.folder): hash_of(run.arguments) for run in runs},
        }
        (self.folder / "files.json").write_text(json.dumps(files))

    def run(self, plan: Plan, jobs: int = 2) -> int:
        self.prepare_files(plan.runs())
        with locked(plan.folder) as lock:
            plan.save()
            return run_all(plan, jobs, lock, self.program)

    @property
    def program(self) -> list[str]:
        return [sys.executable, "-S", str(self.folder / "train.py")]

    def calls(self) -> list[list[str]]:
        """Entry, seed, threads and process of each call since the last time."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [line.split() for line in lines]


@pytest.fixture
def stub(tmp_path) -> Stub:
    return Stub(tmp_path / "stub")


def test_only_what_is_missing_runs(corpus, tmp_path, stub, capsys):
    plan = plan_of(corpus, tmp_path / "out", "xnor", "attention")
    assert stub.run(plan) == 0
    assert sorted(call[:2] for call in stub.calls()) == [
        [name, seed] for name in ("attention", "xnor") for seed in ("1234", "1235")
    ]
    output = capsys.readouterr().out
    assert "4 runs: 0 done before, 4 to do, 2 at a time with " in output
    assert "[4/4] " in output and "test-clean 50.00 % WER, 00:00" in output
    (tmp_path / "out" / "runs" / "xnor" / "1235" / "decoded_test-clean.jsonl").unlink()
    summary = tmp_path / "out" / "runs" / "attention" / "1234" / "summary.json"
    summary.write_text(json.dumps({**read_json(summary), "recipe_hash": "another"}))
    more = plan_of(corpus, tmp_path / "out", "xnor", "attention", "conv_only", seeds=(1234, 1235))
    assert stub.run(more) == 0
    assert sorted(call[:2] for call in stub.calls()) == [
        ["attention", "1234"],
        ["conv_only", "1234"],
        ["conv_only", "1235"],
        ["xnor", "1235"],
    ]
    assert stub.run(more) == 0
    assert stub.calls() == []


def test_data_are_prepared_once(corpus, tmp_path, stub):
    """Manifests come from the comparison, then all of a run that has made its tokenizer too."""
    plan = plan_of(corpus, tmp_path / "out", "xnor", "attention", seeds=(1,))
    assert stub.run(plan, jobs=1) == 0
    first, second = (run.folder for run in plan.runs())
    manifest = (plan.folder / "manifests" / "train-clean-5.csv").read_bytes()
    assert all((folder / "manifests" / "train-clean-5.csv").read_bytes() == manifest for folder in (first, second))
    assert not (second / "tokenizer").exists()
    (second / "tokenizer").mkdir()
    (second / "tokenizer" / "tokenizer.json").write_text("made by the second")
    shutil.rmtree(first)
    assert stub.run(plan, jobs=1) == 0
    assert (first / "tokenizer" / "tokenizer.json").read_text() == "made by the second"


def test_a_run_takes_what_was_prepared_for_it(corpus, tmp_path, capsys):
    """And makes anew what does not fit: another kind of tokenizer."""
    arguments = [*TINY, "--vocab_size", "40", "--optimizer_step_limit", "1", "--test_splits", "[]"]
    made, taken = tmp_path / "made", tmp_path / "taken"
    options = [str(RECIPE), "--data_folder", str(corpus), *arguments]
    assert train([*options, "--output_folder", str(made)]) == 0
    copy_preparation(taken, [made], tmp_path)
    times = {
        file: file.stat().st_mtime_ns for name in ("manifests", "tokenizer") for file in (taken / name).glob("*.*")
    }
    assert len(times) > 4
    assert train([*options, "--output_folder", str(taken)]) == 0
    assert {file: file.stat().st_mtime_ns for file in times} == times
    copy_preparation(tmp_path / "other", [made], tmp_path)
    assert train([*options, "--token_type", "bpe", "--output_folder", str(tmp_path / "other")]) == 0
    models = [(folder / "tokenizer" / "tokenizer.model").read_bytes() for folder in (made, taken, tmp_path / "other")]
    assert models[0] == models[1] != models[2]


def test_cores_are_divided(corpus, tmp_path, stub, monkeypatch):
    monkeypatch.setattr(runner, "usable_cores", lambda: 6)
    assert stub.run(plan_of(corpus, tmp_path / "out", "xnor", seeds=(1,)), jobs=3) == 0
    assert stub.calls()[0][2] == "2"


def test_crash_stops_nothing_and_is_tried_again(corpus, tmp_path, stub, capsys):
    folder = tmp_path / "out"
    plan = plan_of(corpus, folder, "xnor", "attention")
    stub.behave(xnor="error: training has diverged")
    assert stub.run(plan) == 2
    output = capsys.readouterr().out
    log = folder / "runs" / "xnor" / "1234.log"
    assert f"xnor, seed 1234: crashed: training has diverged (see {log})" in output
    assert "Traceback" in log.read_text()
    comparison, runs = write_results(folder, ComparisonRecord.read(folder), "attention")
    assert [run.name for run in runs] == ["attention", "attention"]
    assert [(problem.seed, problem.crashed) for problem in comparison.problems] == [
        (1234, "training has diverged"),
        (1235, "training has diverged"),
    ]
    stub.calls()
    stub.behave()
    assert stub.run(plan) == 0
    assert sorted(call[:2] for call in stub.calls()) == [["xnor", "1234"], ["xnor", "1235"]]
    assert write_results(folder, ComparisonRecord.read(folder), "attention")[0].problems == []


def test_interruption_stops_the_runs(corpus, tmp_path, stub, capsys, monkeypatch):
    plan = plan_of(corpus, tmp_path / "out", "xnor", "attention", seeds=(1,))
    stub.behave(xnor="sleep")
    summary = tmp_path / "out" / "runs" / "attention" / "1234" / "summary.json"
    pressed = []

    def sleep(seconds, real=time.sleep):
        real(seconds)
        started = (stub.folder / "calls").exists() and "xnor" in (stub.folder / "calls").read_text()
        if summary.exists() and started and not pressed:
            pressed.append("Ctrl-C")
            raise KeyboardInterrupt

    monkeypatch.setattr(runner.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        stub.run(plan)
    assert "runs done: give the same command again to go on\n" in capsys.readouterr().err
    for *_, process in stub.calls():
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)
    monkeypatch.undo()
    stub.behave()
    assert stub.run(plan) == 0
    assert ["xnor", "1234"] in [call[:2] for call in stub.calls()]


def test_a_single_comparison_at_a_time(corpus, tmp_path, capsys):
    with locked(tmp_path, "comparison"):
        assert compare.main([*shared(corpus), "--mixers", "xnor", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: another comparison is going on there (process ")


def test_equal_seconds(corpus, tmp_path, stub):
    """A pretended run takes 2 seconds and half a second a step, so that 50 seconds are 96 steps."""
    plan = plan_of(corpus, tmp_path / "out", "xnor", "attention", seeds=(1,), seconds=50)
    stub.behave(attention="error: no space")
    stub.prepare_files([])
    with locked(plan.folder) as lock:
        plan.save()
        assert refused(time_steps, plan, 1, lock, stub.program) == (
            "--seconds: the timing run of 'attention' failed: no space"
        )
        stub.behave()
        time_steps(plan, 1, lock, stub.program)
    assert {entry.steps for entry in plan.record.mixers.values()} == {96}
    assert [call[:2] for call in stub.calls()] == [
        ["xnor", "10"],
        ["xnor", "40"],
        ["attention", "10"],
        ["attention", "10"],
        ["attention", "40"],
    ]
    assert not (plan.folder / "timing" / "xnor").exists()
    assert plan.runs()[0].arguments[-2:] == ["--optimizer_step_limit=96", "--number_of_epochs=96"]
    assert stub.run(plan) == 0
    again = plan_of(corpus, tmp_path / "out", "xnor", "attention", seeds=(1,), seconds=50)
    assert {entry.steps for entry in again.record.mixers.values()} == {96}
    stub.calls()
    assert stub.run(again) == 0
    assert stub.calls() == []


def test_steps_within():
    assert steps_within(20, (7, 22), "xnor") == 36
    assert refused(steps_within, 1, (7, 22), "xnor") == "--seconds 1: too few for a single step of 'xnor'"
    assert "the machine is too busy: try again" in refused(steps_within, 20, (7, 7), "xnor")


def test_time_left():
    progress = Progress(9, 0, jobs=2)
    progress.count(100)
    progress.count(140)
    early, late = (Job(Run("a", 1, Path(), []), None, started) for started in (1000.0, 1090.0))
    assert progress.seconds_left([early, late], 4, now=1100.0) == (20 + 110 + 4 * 120) / 2
    assert progress.seconds_left([late], 0, now=1100.0) == 110
    assert progress.seconds_left([early], 0, now=1900.0) == 0


def test_a_run_that_crashed_after_its_summary_is_tried_again(corpus, tmp_path, stub):
    plan = plan_of(corpus, tmp_path / "out", "xnor", seeds=(1,))
    stub.behave(xnor="late")
    assert stub.run(plan) == 1
    stub.behave()
    assert stub.run(plan) == 0
    assert len(stub.calls()) == 2 and not list((tmp_path / "out").rglob("*.crash.json"))


def test_more_entries_keep_the_baseline(corpus, tmp_path, stub):
    assert stub.run(plan_of(corpus, tmp_path / "out", "xnor", "attention", seeds=(1,))) == 0
    more = plan_of(corpus, tmp_path / "out", "conv_only", seeds=(1,))
    assert more.record.baseline == "attention"
    assert plan_of(corpus, tmp_path / "out", "conv_only", seeds=(1,), baseline="xnor").record.baseline == "xnor"
