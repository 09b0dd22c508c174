"""evaluate.py on a saved run: any search settings, averages, tuning, and its errors."""

import json
import os
import shutil
from dataclasses import replace
from importlib.util import find_spec

import pytest

from data_prep.splits import find_corpus
from evaluate import main, parse, settings
from recipes.asr import Evaluation, SavedRun
from recipes.asr.audio import AudioError, AudioReader
from recipes.asr.decode import decode
from recipes.asr.evaluate import check_output
from recipes.asr.identity import Identity
from recipes.decoding.beam_search import BeamSearch
from recipes.decoding.search import Search
from recipes.models import TransformerLM
from recipes.reports.run_report import main as report
from recipes.scoring import DecodedUtterance, decoded_file
from recipes.training.lock import locked
from tests.support.runs import epochs, results, small_corpus, summary, train, without_plots

HAS_NGRAMS = find_spec("kenlm") is not None and find_spec("flashlight") is not None
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
    with without_plots():
        return main([str(run), *options, *EVALUATE])


def decoded(folder, split: str = "test-clean") -> list[DecodedUtterance]:
    return DecodedUtterance.read_all(decoded_file(folder, split))


def in_folder(utterance: DecodedUtterance, folder, run) -> DecodedUtterance:
    """An utterance of the run's own test, as an evaluation's file in another folder names its audio."""
    return replace(utterance, audio=os.path.relpath((run / utterance.audio).resolve(), folder))


def error_of(capsys, run, *options) -> str:
    assert evaluate(run, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


def test_it_repeats_the_test_of_the_run(run):
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert evaluate(run) == 0
    folder = run / "evaluations" / "as-trained"
    assert results(folder) == results(run)
    assert decoded(folder) == [in_folder(utterance, folder, run) for utterance in decoded(run)]
    assert epochs(folder) == epochs(run) and (folder / "report.html").is_file()
    assert {path: path.read_bytes() for path in files} == files, "the run itself stays as it is"


def test_other_settings_have_their_own_folder_and_recipe(run):
    assert evaluate(run, "--test_search.beam", "1", "--nbest", "3") == 0
    folder = run / "evaluations" / "test_search.beam=1"
    assert "  beam: 1\n" in (folder / "recipe.yaml").read_text()
    assert " · test_search.beam=1</title>" in (folder / "report.html").read_text(), "reports of a run can be told apart"
    assert [[text.score for text in utterance.nbest] for utterance in decoded(folder)] == [
        [utterance.score] for utterance in decoded(folder)
    ]
    assert evaluate(run, "--test_search", "null", "--out", str(run / "greedy")) == 0
    greedy = summary(run / "greedy").splits["test-clean"]
    assert greedy.wer == greedy.wer_greedy_ctc and decoded(run / "greedy")[0].score is None


def test_splits_join_those_tested_before(run):
    assert evaluate(run, "--split", "dev-clean") == 0
    assert evaluate(run, "--split", "test-clean") == 0
    splits = results(run / "evaluations" / "as-trained")
    assert list(splits) == ["dev-clean", "test-clean"] and splits["test-clean"] == results(run)["test-clean"]


def test_splits_of_other_settings_do_not_join(run, capsys):
    output = ("--out", str(run / "results"))
    assert evaluate(run, *output, "--split", "dev-clean", "--test_search.beam", "1") == 0
    files = {path: path.read_bytes() for path in (run / "results").iterdir()}
    assert evaluate(run, *output, "--split", "test-clean", "--test_search", "null") == 2
    assert "evaluation of dev-clean with other settings (test_search), which would" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (run / "results").iterdir()} == files


def test_mixed_precision_has_its_own_folder(run):
    assert evaluate(run, "--eval_precision", "bf16") == 0
    assert (run / "evaluations" / "eval_precision=bf16" / "summary.json").is_file()


def test_a_report_names_the_command_that_decodes_again(run, capsys):
    assert evaluate(run, "--test_search.beam", "1") == 0
    folder = run / "evaluations" / "test_search.beam=1"
    (folder / "decoded_test-clean.jsonl").unlink()
    assert report([str(folder)]) == 2
    again = f"evaluate again: python evaluate.py {run} --test_search.beam 1 {' '.join(EVALUATE)}"
    assert again in capsys.readouterr().err
    (run / "decoded_test-clean.jsonl").unlink()
    assert report([str(run)]) == 2
    assert "evaluate again: python train.py " in capsys.readouterr().err


def test_an_average_is_a_run_of_its_own(run):
    checkpoints = {path: path.read_bytes() for path in (run / "checkpoints").rglob("*") if path.is_file()}
    assert evaluate(run, "--average", "1-2") == 0
    folder = run / "evaluations" / "average=1-2"
    assert summary(folder).weights == "average of epochs 1, 2"
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
    monkeypatch.setattr(BeamSearch, "tunable", lambda self, lm: {"length_bonus": (0.0, -9.0), "ctc_weight": (0.4, 0.9)})
    assert evaluate(run, "--tune") == 0
    folder = run / "evaluations" / "tuned"
    tuned = json.loads((folder / "tuned.json").read_text())
    assert tuned["splits"] == ["dev-clean"]
    assert [(trial["length_bonus"], trial["ctc_weight"]) for trial in tuned["tried"]][:2] == [(0.0, 0.4), (-9.0, 0.4)]
    assert len(tuned["tried"]) == 3, "what is best so far is not decoded again for the next key"
    assert tuned["wer"] == pytest.approx(min(trial["wer"] for trial in tuned["tried"]), abs=0.001)
    chosen = {**tuned["chosen"], "wer": pytest.approx(tuned["wer"], abs=0.001)}
    assert chosen in tuned["tried"]
    recipe = (folder / "recipe.yaml").read_text()
    assert f"ctc_weight: {tuned['chosen']['ctc_weight']}\n" in recipe
    settings = [f"--test_search.{name}={value}" for name, value in tuned["chosen"].items()]
    assert evaluate(run, *settings, "--out", str(run / "direct")) == 0
    assert results(folder) == results(run / "direct"), "the kept recipe is what was run"


def test_greedy_ctc_needs_no_language_model(run, capsys):
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("lm_folder: null", "lm_folder: gone"))
    assert evaluate(run, "--test_search", "null") == 0
    hint = "train one with train_lm.py, or give --lm_folder null"
    assert error_of(capsys, run) == f"there is no folder gone with a language model: {hint}"
    assert evaluate(run, "--lm_folder", "null") == 0


def test_mistakes_leave_no_folder(run, capsys, tmp_path):
    (tmp_path / "bad.arpa").write_text("no n-gram")
    for options, message in [
        (
            ("--tune_split", "test-clean"),
            "tuning on test-clean would make its result worthless: give development splits",
        ),
        (("--tune_split", "gone"), "no split 'gone' among: dev-clean"),
        (("--tune", "--valid_splits", "[]"), "--valid_splits says what was trained"),
        (("--debug",), "--debug would decode a few batches, and keep their error rate as that of all: leave it out"),
        (("--test_splits", "[]"), f"{run} has no test split (test_splits is []): say with --split what to decode"),
        (("--ngram", f"{tmp_path}/bad.arpa"), "bad.arpa" if HAS_NGRAMS else "requirements-ngram.txt"),
    ]:
        assert message in error_of(capsys, run, *options)
        assert not list((run / "evaluations").glob("*")), message


def test_greedy_has_nothing_to_tune(run, capsys):
    message = "greedy CTC has nothing to tune: leave out --tune, or give a --test_search"
    assert error_of(capsys, run, "--tune", "--test_search", "null") == message


def test_a_search_without_weights_has_nothing_to_tune(run, capsys, monkeypatch):
    monkeypatch.setattr(BeamSearch, "tunable", Search.tunable)
    assert error_of(capsys, run, "--tune") == "BeamSearch has nothing to tune: leave out --tune"
    assert not list((run / "evaluations").glob("*"))


@pytest.mark.parametrize("options", [(), ("--average", "1")], ids=["as trained", "average"])
def test_a_trained_run_is_not_overwritten(run, capsys, options):
    weights = (run / "averaged.ckpt").read_bytes()
    message = f"--out {run} holds a trained run, which would be lost: give another folder"
    assert error_of(capsys, run, "--out", str(run), *options) == message
    assert (run / "averaged.ckpt").read_bytes() == weights


def test_other_files_are_not_overwritten(run, capsys, tmp_path):
    """Only what an evaluation that was stopped has left, or an empty folder."""
    output = tmp_path / "of others"
    output.mkdir()
    (output / "recipe.yaml").write_text("mine: 1\n")
    message = f"--out {output} holds other files than an evaluation: give another folder"
    assert error_of(capsys, run, "--out", str(output), "--data_folder", str(tmp_path)) == message
    assert [path.name for path in output.iterdir()] == ["recipe.yaml"]
    (output / "log.txt").write_text("stopped")
    check_output(output, run)
    check_output(tmp_path / "new", run)


def test_settings_of_the_ngram_search_come_after_its_choice(run, capsys):
    own, arguments = parse([str(run), "--ngram", "it's.arpa", "--split", "dev", "--test_search.lm_weight", "0.7"])
    overrides = settings(own, arguments)
    assert list(overrides) == ["test_search", "test_search.lm_weight", "test_splits"]
    assert "it's.arpa" in overrides["test_search"] and overrides["test_splits"] == ["dev"]
    message = "--ngram and --test_search both choose the search: give one of them"
    assert error_of(capsys, run, "--ngram", "a.arpa", "--test_search", "null") == message


def test_a_language_model_is_no_recogniser(run, tmp_path, capsys):
    (tmp_path / "lm").mkdir()
    (tmp_path / "lm" / "recipe.yaml").write_text("lr: 1\n")
    message = f"{tmp_path / 'lm'} is no run of a recogniser: a language model is for --lm_folder"
    for options in ([], ["--data_folder", "none"]):  # which its recipe does not have
        assert main([str(tmp_path / "lm"), *options]) == 2
        assert capsys.readouterr().err == f"error: {message}\n"


def test_numbers_that_cannot_be(run, capsys):
    assert "test_batch_seconds must be a number above 0" in error_of(capsys, run, "--test_batch_seconds", "0")
    assert error_of(capsys, run, "--nbest", "0") == "--nbest must be 1 or more, not 0"
    assert "beam must be a whole number from 1 up, not '1x'" in error_of(capsys, run, "--test_search.beam", "1x")


def test_several_processes_hear_what_one_hears(run, monkeypatch):
    """By any search, scores to the last bit; whom each of them leaves out is known here."""
    own, arguments = parse([str(run), "--test_batch_seconds", "2", "--split", "train-clean-5", *EVALUATE])
    attempt = AudioReader.attempt

    def all_but_one(reader, path, name):
        return AudioError("broken") if name == "101-1101-0003" else attempt(reader, path, name)

    monkeypatch.setattr(AudioReader, "attempt", all_but_one)
    with Evaluation(SavedRun(own.run, settings(own, arguments)), arguments.run_options) as evaluation:
        brain, (manifest,) = evaluation.brain, evaluation.prepared.test.values()
        small, outputs = {"layers": 1, "heads": 2, "d_ffn": 16}, brain.model.ctc.out_features
        beam, language_model = BeamSearch(beam=3, lm_weight=0.5), TransformerLM(outputs, 16, **small).eval()
        for brain.hparams.test_search, brain.language_model in ((None, None), (beam, None), (beam, language_model)):
            heard = {}
            for processes in (1, 3):
                monkeypatch.setattr("recipes.asr.brain.cores", lambda number=processes: number)
                heard[processes] = decode(brain, "train-clean-5", manifest, evaluation.prepared.root)
            assert heard[1][0] == heard[3][0] and len(heard[3][0]) == 23 and heard[3][1].left_out == 1


def test_a_damaged_checkpoint_is_left_out_and_named(run, capsys):
    (model,) = [path for path in (run / "checkpoints").glob("*/model.ckpt") if epoch_of_model(path) == 2]
    model.write_bytes(model.read_bytes()[:500])
    before = sorted((run / "checkpoints").rglob("*"))
    assert evaluate(run, "--average", "1-3") == 0
    output = capsys.readouterr()
    assert output.err == f"warning: {model.parent} is damaged and left out: model.ckpt is not what was written\n"
    assert f"{run}, average of epochs 1, 3; " in output.out
    assert evaluate(run, "--average", "2") == 2
    assert capsys.readouterr().err.endswith(
        f"no checkpoint of epochs 2 in {model.parents[1]}; kept are those of 1, 3\n"
    )
    assert sorted((run / "checkpoints").rglob("*")) == before


def epoch_of_model(path) -> int:
    return int((path.parent / "epoch.ckpt").read_text())


def test_no_run_folder(tmp_path, capsys):
    message = f"{tmp_path} is no run folder (it has no recipe.yaml): give first one that train.py wrote"
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
    message = f"{run / 'averaged.ckpt'} is damaged: remove it, and test again from the other checkpoints"
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


# --- what an evaluation is of -------------------------------------------------------------------------------


def other_words(data, split: str = "test-clean"):
    """Another transcript of the first utterance."""
    file = min(data.glob(f"{split}/*/*/*.txt"))
    first, *lines = file.read_text().splitlines()
    file.write_text("\n".join([f"{first.split()[0]} QUITE ANOTHER SENTENCE", *lines]) + "\n")
    return data


def test_other_data_have_a_folder_of_their_own(corpus, run, tmp_path):
    assert evaluate(run) == 0
    first = summary(run / "evaluations" / "as-trained")
    other = other_words(other_words(shutil.copytree(corpus, tmp_path / "other")), "dev-clean")
    for split in ("test-clean", "dev-clean"):
        assert evaluate(run, "--data_folder", str(other), "--split", split) == 0
    assert summary(run / "evaluations" / "as-trained") == first
    (folder,) = (run / "evaluations").glob("data=other-*")
    assert list(results(folder)) == ["test-clean", "dev-clean"], "splits of the same data join"
    assert results(folder)["test-clean"].manifest != first.splits["test-clean"].manifest


def test_the_same_data_elsewhere_are_the_same_evaluation(corpus, run, tmp_path):
    moved = shutil.copytree(corpus, tmp_path / "moved")
    assert evaluate(run, "--data_folder", str(moved)) == 0
    assert results(run / "evaluations" / "as-trained") == results(run)
    assert [path.name for path in (run / "evaluations").iterdir()] == ["as-trained"]


def test_data_that_changed_in_their_place_replace_nothing(corpus, run, tmp_path):
    """A split that the run itself does not know, so that the evaluation alone can tell."""
    data = shutil.copytree(corpus, tmp_path / "data")
    shutil.copytree(data / "dev-clean", data / "dev-other")
    options = ("--data_folder", str(data), "--split", "dev-other")
    assert evaluate(run, *options) == 0
    (folder,) = (run / "evaluations").iterdir()
    first = summary(folder)
    other_words(data, "dev-other")
    assert evaluate(run, *options) == 0
    assert summary(folder) == first
    (changed,) = set((run / "evaluations").iterdir()) - {folder}
    assert changed.name.startswith(f"{folder.name},data=") and results(changed).keys() == {"dev-other"}


def identity_of(run, search: str, **overrides) -> Identity:
    saved = SavedRun(run, {"test_search": search, **overrides})
    return Identity(saved, "fp32", find_corpus(saved.hparams["data_folder"]), {})


def test_an_ngram_is_known_by_its_content(run, tmp_path):
    arpa = tmp_path / "3.arpa"
    arpa.write_text("one estimate")
    search = f"!new:recipes.decoding.NgramCTCSearch {{ngram: {arpa}}}"
    first = identity_of(run, search)
    assert first.name().startswith("test_search=NgramCTCSearch_ngram_3.arpa-")
    assert (first.name(), first.settings()) == (identity_of(run, search).name(), identity_of(run, search).settings())
    arpa.write_text("another")
    again = identity_of(run, search)
    assert again.name() != first.name() and again.settings() != first.settings()
    assert again.settings() == identity_of(run, search, workers=1).settings(), "this changes no result"
    assert again.settings() != identity_of(run, search, **{"test_search.lm_weight": 0.1}).settings()


def test_an_evaluation_in_use_is_refused(run, capsys):
    folder = run / "evaluations" / "as-trained"
    with locked(run), locked(folder):
        assert error_of(capsys, run).startswith(f"{folder}: another evaluation is going on there (process ")
    with locked(run):
        assert evaluate(run) == 0, "of a run that is being trained, too"
