"""A run's folder: one process at a time, no debug run in it, and it may move."""

import json
import shutil
import socket
from pathlib import Path

import pytest

import evaluate
from data_prep.files import checksum
from data_prep.manifest import read_manifest
from recipes.files import LOCK
from recipes.scoring import DecodedUtterance, decoded_file
from recipes.training.integrity import write_checksums
from recipes.training.lock import locked
from tests.support.corpus import write_corpus
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


def test_a_debug_run_counts_the_audio_that_it_decodes(corpus, tmp_path):
    options = ["--debug", "--debug_batches", "1", "--test_batch_seconds", "0.5"]
    assert train(corpus, tmp_path / "run", *options) == 0
    debug = tmp_path / "run-debug"
    (decoded,) = DecodedUtterance.read_all(decoded_file(debug, "test-clean"))
    durations = {row["ID"]: float(row["duration"]) for row in read_manifest(debug / "manifests" / "test-clean.csv")}
    seconds = summary(debug).splits["test-clean"].audio_seconds
    assert len(durations) == 3 and seconds == pytest.approx(durations[decoded.id], abs=0.05)


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


# --- what a run was trained with ----------------------------------------------------------------------------


def with_split(corpus: Path, folder: Path, words: str = "") -> Path:
    """A copy of the corpus with one more training split, `train-other-5`; `words` end each of its transcripts."""
    data = shutil.copytree(corpus, folder)
    more = folder.with_name("more")
    write_corpus(more, {"others": (4, 1), "train-other-5": (1, 6)}, seed=1)  # no speaker of the corpus
    for file in more.glob("train*/*/*/*.txt"):
        file.write_text("".join(f"{line} {words}\n" for line in file.read_text().splitlines()))
    (more / "train-other-5").rename(data / "train-other-5")
    return data


def owned(run: Path) -> dict[Path, bytes]:
    """The files of a run that no other data may change."""
    merged = run / "manifests" / "merged"
    kept = {
        *run.glob("tokenizer/*"),
        *run.rglob("*.ckpt"),
        run / "data.json",
        merged / "train.csv",
        merged / "valid.csv",
    }
    return {path: path.read_bytes() for path in kept} | {run / "recipe.yaml": (run / "recipe.yaml").read_bytes()}


def test_a_run_keeps_a_record_of_its_data(finished):
    record = json.loads((finished / "data.json").read_text())
    assert record["tokenizer"] == checksum(finished / "tokenizer" / "tokenizer.model")
    assert record["train"]["files"] == {"train-clean-5": checksum(finished / "manifests" / "train-clean-5.csv")}
    assert list(record["valid"]["files"]) == ["dev-clean"] and record["valid"]["counts"]["utterances"] == 3
    assert record["train"]["counts"]["utterances"] == 24 and 0 < record["train"]["counts"]["hours"] < 0.01


def test_a_split_that_came_later_is_no_part_of_the_run(corpus, run, tmp_path, capsys):
    before, expected = owned(run), shutil.copytree(run, tmp_path / "expected")
    data = with_split(corpus, tmp_path / "data", words="ÜBER")
    assert train(data, run, "--number_of_epochs", "2") == 0
    assert f"note: {data} has train-other-5 by now; this run goes on with its own train_splits, train-clean-5 (" in (
        capsys.readouterr().out
    )
    changed = {path.name for path, content in before.items() if path.is_file() and path.read_bytes() != content}
    assert changed == {"averaged.ckpt", "recipe.yaml"}
    assert train(corpus, expected, "--number_of_epochs", "2") == 0
    assert same_weights(run, expected)


REPAIRED = {"other words": ("train-clean-5", "words"), "without an utterance": ("dev-clean", "audio")}


@pytest.mark.parametrize(("split", "what"), REPAIRED.values(), ids=REPAIRED)
def test_other_data_are_refused_and_nothing_of_the_run_changes(split, what, corpus, run, tmp_path, capsys):
    before = owned(run)
    data = shutil.copytree(corpus, tmp_path / "data")
    if what == "words":
        file = next(data.glob(f"{split}/*/*/*.txt"))
        file.write_text(file.read_text().replace("RIVER", "STREAM"))
    else:
        min(data.glob(f"{split}/*/*/*.flac")).unlink()
        for file in data.glob(f"{split}/*/*/*.txt"):
            file.write_text("".join(f"{line}\n" for line in file.read_text().splitlines()[1:]))
    assert train(data, run, "--number_of_epochs", "2") == 2
    assert capsys.readouterr().err == (
        f"error: {run} was trained on other data ({split}): give those again, or --allow_new_data true to go on with "
        "its own tokenizer on these, or another --output_folder\n"
    )
    assert owned(run) == before
    assert train(data, run) == 0, "it has ended, and is only tested"
    assert train(corpus, run, "--number_of_epochs", "2") == 0


def test_the_same_corpus_elsewhere_is_the_same_data(corpus, run, tmp_path):
    data = shutil.copytree(corpus, tmp_path / "data", copy_function=shutil.copyfile)
    assert train(data, run, "--number_of_epochs", "2") == 0


def test_more_data_may_follow_with_the_old_tokenizer(corpus, run, tmp_path, capsys):
    before, record = owned(run), json.loads((run / "data.json").read_text())
    data = with_split(corpus, tmp_path / "data")
    assert train(data, run, "--number_of_epochs", "2", "--allow_new_data", "true") == 0
    assert "after epoch 1 the run goes on with other data (train-other-5) and its own tokenizer\n" in (
        capsys.readouterr().out
    )
    assert "allow_new_data: False" in (run / "recipe.yaml").read_text(), "an allowance for one command"
    now = json.loads((run / "data.json").read_text())
    assert list(now["train"]["files"]) == ["train-clean-5", "train-other-5"]
    assert now["earlier"] == [{"until_epoch": 1, "train": record["train"], "valid": record["valid"]}]
    tokenizer = run / "tokenizer" / "tokenizer.model"
    assert tokenizer.read_bytes() == before[tokenizer]
    assert epochs(run)[1].steps - epochs(run)[0].steps > epochs(run)[0].steps, "more steps an epoch"
    assert train(data, run, "--number_of_epochs", "3") == 0, "these are the run's data by now"
    assert train(corpus, run, "--number_of_epochs", "4") == 2
    assert "train-other-5" in capsys.readouterr().err


def test_epochs_before_other_validation_data_are_not_in_the_average(corpus, run, capsys):
    """Whatever their word error rates, which are of other data."""
    options = ["--valid_splits", "[test-clean]", "--average_checkpoints", "3", "--number_of_epochs", "3"]
    assert train(corpus, run, *options, "--allow_new_data", "true") == 0
    assert "testing with the average of 2 checkpoints, of epochs 2, 3\n" in capsys.readouterr().out


def test_a_refused_command_does_not_record_new_data(corpus, run, tmp_path, capsys):
    before = owned(run)
    data = with_split(corpus, tmp_path / "data")
    options = "--number_of_epochs 2 --allow_new_data true --lm_folder".split()
    assert train(data, run, *options, str(tmp_path / "no-model")) == 2
    assert "no-model" in capsys.readouterr().err
    changed = {path.parent.name for path, content in owned(run).items() if content != before[path]}
    assert changed == {"merged"}, "which every command that trains makes of its own data"
    assert train(corpus, run, "--number_of_epochs", "2") == 0


def test_a_run_that_was_stopped_before_its_first_checkpoint_may_begin_with_other_data(corpus, run, tmp_path):
    """Its folder has the record of the first data already."""
    shutil.rmtree(run / "checkpoints")
    for name in ("averaged.ckpt", "summary.json"):
        (run / name).unlink()
    data, record = with_split(corpus, tmp_path / "data"), json.loads((run / "data.json").read_text())
    assert train(data, run) == 0
    now = json.loads((run / "data.json").read_text())
    assert now["tokenizer"] != record["tokenizer"] and len(now["train"]["files"]) == 2 and not now["earlier"]


def test_new_data_may_not_follow_within_an_epoch(corpus, run, tmp_path, capsys):
    newest = max((run / "checkpoints").glob("CKPT*"))
    index = newest / "CKPT.yaml"
    index.write_text(index.read_text().replace("end-of-epoch: true", "end-of-epoch: false"))
    write_checksums(newest)
    data = with_split(corpus, tmp_path / "data")
    assert train(data, run, "--number_of_epochs", "2", "--allow_new_data") == 2
    assert capsys.readouterr().err.startswith(f"error: {run} stopped within an epoch, which would mix data (train-")


def test_testing_reads_what_the_folder_has(finished, run, tmp_path, corpus):
    """With other words the tokenizer would be another; without train and dev splits there would be none."""
    before = owned(run)
    (tmp_path / "data").mkdir()
    shutil.copytree(corpus / "test-clean", tmp_path / "data" / "test-clean")
    (run / "summary.json").unlink()
    assert train(tmp_path / "data", run, "--test_only") == 0
    assert results(run) == results(finished)
    shutil.rmtree(run / "evaluations", ignore_errors=True)
    assert evaluate.main([str(run), "--data_folder", str(tmp_path / "data"), "--device", "cpu", "--noprogressbar"]) == 0
    assert {path for path, content in owned(run).items() if before[path] != content} == {run / "recipe.yaml"}


def test_a_run_without_checkpoints_is_tested_and_keeps_the_time_of_its_training(corpus, run):
    trained = summary(run).seconds
    shutil.rmtree(run / "checkpoints")
    for expected in (trained, None):  # of a converted model there is no time of training
        assert train(corpus, run, "--test_only") == 0
        assert summary(run).seconds == expected
        (run / "summary.json").unlink()


def test_a_command_that_is_refused_leaves_the_recipe_as_it_was(corpus, run, capsys):
    before = owned(run)
    assert train(corpus, run, "--lm_folder", "gone") == 2
    assert capsys.readouterr().err.startswith("error: there is no folder gone with a language model: ")
    assert owned(run) == before


def test_the_limit_of_steps_is_kept_with_the_recipe(corpus, tmp_path):
    run = tmp_path / "run"
    assert train(corpus, run, "--optimizer_step_limit", "2", "--number_of_epochs", "9") == 0
    assert "\noptimizer_step_limit: 2 " in (run / "recipe.yaml").read_text()
    log = epochs(run)
    assert log[-1].steps == 2
    assert main([str(run / "recipe.yaml"), "--device", "cpu", "--noprogressbar"]) == 0
    assert epochs(run) == log, "the documented way to resume trains no further"


@pytest.mark.parametrize("damage", ["replaced", "missing"])
def test_another_tokenizer_is_found(corpus, run, capsys, damage):
    tokenizer = run / "tokenizer" / "tokenizer.model"
    content = tokenizer.read_bytes()
    tokenizer.write_bytes(content + b" ") if damage == "replaced" else tokenizer.unlink()
    problem = {"replaced": "is not the one", "missing": "is missing: it is the one"}[damage]
    for command in (train, lambda corpus, run: evaluate.main([str(run), "--device", "cpu"])):
        assert command(corpus, run) == 2
        assert capsys.readouterr().err.startswith(f"error: {tokenizer} {problem} that this run was trained with, ")
    tokenizer.write_bytes(content)
    assert train(corpus, run) == 0
