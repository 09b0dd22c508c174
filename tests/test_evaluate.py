"""evaluate.py on a saved run: any search settings, averages, tuning, and its errors."""

import json
import shutil

import pytest

from evaluate import main
from recipes.search import BeamSearch
from tests.runs import epochs, results, small_corpus, summary, train

EVALUATE = ("--device", "cpu", "--noprogressbar", "--workers", "0")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "run"
    options = ("--number_of_epochs", "3", "--average_checkpoints", "2", "--keep_last_checkpoints", "3")
    assert train(corpus, output, *options) == 0
    return output


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run, to be changed."""
    return shutil.copytree(trained, tmp_path / "run")


def evaluate(run, *options) -> int:
    return main([str(run), *options, *EVALUATE])


def decoded(folder, split: str = "test-clean") -> list[dict]:
    return [json.loads(line) for line in (folder / f"decoded_{split}.jsonl").read_text().splitlines()]


def error_of(capsys, run, *options) -> str:
    assert evaluate(run, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


def test_it_repeats_the_test_of_the_run(run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert evaluate(run) == 0
    folder = run / "evaluations" / "as-trained"
    assert results(folder) == results(run)
    assert [one["hypothesis"] for one in decoded(folder)] == [one["hypothesis"] for one in decoded(run)]
    assert epochs(folder) == epochs(run) and (folder / "report.html").is_file()
    unchanged = {path: path.read_bytes() for path in before}
    assert unchanged == before, "the run itself stays as it is"


def test_other_settings_have_their_own_folder_and_recipe(run):
    assert evaluate(run, "--test_search.beam", "1", "--nbest", "3") == 0
    folder = run / "evaluations" / "test_search.beam=1"
    assert "  beam: 1\n" in (folder / "recipe.yaml").read_text()
    assert all(len(one["nbest"]) == 1 and one["nbest"][0]["score"] == one["score"] for one in decoded(folder))
    assert evaluate(run, "--test_search", "null", "--output", str(run / "greedy")) == 0
    greedy = summary(run / "greedy")["splits"]["test-clean"]
    assert greedy["wer"] == greedy["wer_greedy_ctc"] and decoded(run / "greedy")[0]["score"] is None


def test_splits_join_those_tested_before(run):
    assert evaluate(run, "--split", "dev-clean") == 0
    assert evaluate(run, "--split", "test-clean") == 0
    splits = results(run / "evaluations" / "as-trained")
    assert list(splits) == ["dev-clean", "test-clean"] and splits["test-clean"] == results(run)["test-clean"]


def test_an_average_is_a_run_of_its_own(run):
    checkpoints = {path: path.read_bytes() for path in (run / "checkpoints").rglob("*") if path.is_file()}
    assert evaluate(run, "--average", "1-2") == 0
    folder = run / "evaluations" / "average=1-2"
    assert summary(folder)["weights"] == "average of epochs 1, 2"
    assert evaluate(folder) == 0, "its weights, recipe and tokenizer are enough"
    assert results(folder / "evaluations" / "as-trained") == results(folder)
    assert {path: path.read_bytes() for path in checkpoints} == checkpoints


def test_best_average_is_that_of_the_runs_own_test(run):
    assert evaluate(run, "--average", "best-2") == 0
    assert results(run / "evaluations" / "average=best-2") == results(run)
    (run / "averaged.ckpt").unlink()
    assert evaluate(run) == 0, "a run that was stopped before its test"
    assert results(run / "evaluations" / "as-trained") == results(run)


def test_tuning_takes_the_best_of_development(run, monkeypatch):
    monkeypatch.setattr(BeamSearch, "tunable", lambda self, lm: {"length_bonus": (0.0, -9.0), "ctc_weight": (0.2, 0.9)})
    assert evaluate(run, "--tune") == 0
    folder = run / "evaluations" / "tuned"
    tuned = json.loads((folder / "tuned.json").read_text())
    assert tuned["splits"] == ["dev-clean"]
    assert [(one["length_bonus"], one["ctc_weight"]) for one in tuned["tried"]][:2] == [(0.0, 0.4), (-9.0, 0.4)]
    assert tuned["wer"] == pytest.approx(min(one["wer"] for one in tuned["tried"]), abs=0.001)
    chosen = {**tuned["chosen"], "wer": pytest.approx(tuned["wer"], abs=0.001)}
    assert chosen in tuned["tried"]
    recipe = (folder / "recipe.yaml").read_text()
    assert f"ctc_weight: {tuned['chosen']['ctc_weight']}\n" in recipe, "the kept recipe is what was run"


def test_no_tuning_on_test_splits(run, capsys):
    message = "tuning on test-clean would make its result worthless: give development splits to --tune_split"
    assert error_of(capsys, run, "--tune_split", "test-clean") == message


def test_greedy_has_nothing_to_tune(run, capsys):
    message = "greedy CTC has nothing to tune: leave out --tune, or give a --test_search"
    assert error_of(capsys, run, "--tune", "--test_search", "null") == message


def test_no_run_folder(tmp_path, capsys):
    message = f"{tmp_path} is no run folder (it has no recipe.yaml): give one that train.py wrote"
    assert error_of(capsys, tmp_path) == message


def test_no_checkpoint(run, capsys):
    shutil.rmtree(run / "checkpoints")
    assert error_of(capsys, run, "--average", "best-2") == (
        f"{run} holds no checkpoint to average, only averaged.ckpt: leave out --average"
    )
    (run / "averaged.ckpt").unlink()
    recipe = run / "recipe.yaml"
    message = f"{run} holds no checkpoint and no averaged.ckpt: train first, python train.py {recipe}"
    assert error_of(capsys, run) == message


def test_damaged_weights(run, capsys):
    (run / "averaged.ckpt").write_bytes(b"PK\x03\x04 cut short")
    message = f"{run / 'averaged.ckpt'} is damaged: remove it, and test again from the checkpoints"
    assert error_of(capsys, run) == message


def test_a_split_that_is_not_there(run, capsys):
    message = error_of(capsys, run, "--split", "test-cleen")
    assert "'test-cleen'" in message and "test-clean" in message


def test_what_was_trained_cannot_change(run, capsys):
    message = error_of(capsys, run, "--lr", "1")
    assert message.startswith("--lr says what was trained and cannot change any more; evaluate.py takes ")
    assert "--test_search" in message and "--lm_folder" in message


def test_a_language_model_that_is_not_there(run, capsys):
    assert "there is no folder" in error_of(capsys, run, "--lm_folder", str(run / "none"))


def test_an_interrupted_evaluation_is_repeated(run):
    """What a kill leaves behind, a decoded file and no summary, is in nobody's way."""
    folder = run / "evaluations" / "as-trained"
    folder.mkdir(parents=True)
    (folder / "decoded_test-clean.jsonl").write_text('{"id": "cut sho')
    (folder / "summary.json").write_text('{"splits": {"te')
    assert evaluate(run) == 0
    assert results(folder) == results(run)
