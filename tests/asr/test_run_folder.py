"""A run's folder: one process at a time, no debug run in it, and it may move."""

import shutil
import socket
from pathlib import Path

import pytest

from recipes.files import LOCK
from recipes.training.lock import locked
from tests.support.runs import (
    assert_learned,
    epochs,
    initial_model,
    results,
    same_weights,
    small_corpus,
    summary,
    train,
)
from train import main


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory) -> Path:
    """The folder of a finished tiny run."""
    output = tmp_path_factory.mktemp("finished") / "run"
    assert train(corpus, output) == 0
    return output


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of the finished run, to be changed."""
    return shutil.copytree(finished, tmp_path / "run")


def contents(folder: Path) -> dict[Path, bytes]:
    """What lies in a folder, apart from the lock, and from the log, which an earlier run in this process keeps open."""
    return {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in (LOCK, "log.txt")
    }


def again(folder: Path, *options: str) -> int:
    """The short command by which a run folder's own recipe is run."""
    return main([str(folder / "recipe.yaml"), "--device", "cpu", "--noprogressbar", *options])


# --- one process at a time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--test_only",)], ids=["training", "testing"])
def test_a_folder_in_use_is_refused_and_left_alone(corpus, run, capsys, options):
    before = contents(run)
    with locked(run):
        assert train(corpus, run, "--number_of_epochs", "2", *options) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {run}: another run is going on there (process ")
    assert message.endswith(f" on {socket.gethostname()}): wait for it, or stop it\n")
    assert contents(run) == before


def test_a_run_that_has_ended_or_failed_holds_no_lock(corpus, tmp_path):
    assert train(corpus, tmp_path / "run", "--max_seconds", "0.01") == 2
    with locked(tmp_path / "run"):
        pass
    assert train(corpus, tmp_path / "run") == 0
    with locked(tmp_path / "run"):
        pass


# --- debug runs ---------------------------------------------------------------------------------------------


def test_a_debug_run_leaves_the_run_alone(corpus, run, capsys):
    before = contents(run)
    for _ in range(2):  # the second time the folder is there
        assert train(corpus, run, "--debug", "--debug_batches", "10", "--number_of_epochs", "2") == 0
    assert contents(run) == before
    debug = run.with_name("run-debug")
    assert f"--debug: a few batches; {debug} is emptied every time, and the run in {run} stays as it is" in (
        capsys.readouterr().out
    )
    assert [epoch.epoch for epoch in epochs(debug)] == [1, 2], "anew, and not from the first debug run on"
    assert_learned(debug, initial_model(debug))
    assert summary(debug).splits["test-clean"].utterances == 3


def test_the_real_run_follows_a_debug_run(corpus, finished, tmp_path):
    assert train(corpus, tmp_path / "run", "--debug") == 0
    assert not (tmp_path / "run").exists()
    assert train(corpus, tmp_path / "run") == 0
    assert same_weights(tmp_path / "run", finished)


def test_a_debug_run_empties_no_folder_but_its_own(corpus, run, tmp_path, capsys):
    real = run.rename(tmp_path / "other-debug")
    before = contents(real)
    assert train(corpus, tmp_path / "other", "--debug") == 2
    assert capsys.readouterr().err == (
        f"error: {real} is where --debug writes, but holds a run: give another --output_folder\n"
    )
    assert contents(real) == before


def test_a_debug_run_has_nothing_to_test(corpus, run, capsys):
    assert train(corpus, run, "--debug", "--test_only") == 2
    assert capsys.readouterr().err == (
        f"error: --debug trains anew, in {run}-debug: it has nothing for --test_only to test\n"
    )


# --- moved folders ------------------------------------------------------------------------------------------


def test_a_moved_folder_is_the_run(finished, run, tmp_path):
    before = contents(finished)
    moved = run.rename(tmp_path / "moved")
    (moved / "summary.json").unlink()
    assert again(moved) == 0
    assert results(moved) == results(finished)
    assert len(epochs(moved)) == 1, "nothing was trained"
    assert again(moved, "--number_of_epochs", "2") == 0
    assert [epoch.epoch for epoch in epochs(moved)] == [1, 2]
    assert contents(finished) == before, "the folder that its recipe names"


def test_another_output_folder_repeats_a_run(finished, tmp_path):
    assert again(finished, "--output_folder", str(tmp_path / "anew")) == 0
    assert same_weights(tmp_path / "anew", finished)
