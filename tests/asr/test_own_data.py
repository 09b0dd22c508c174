"""Training and testing on own manifests, through train.py and evaluate.py as a user gives them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import evaluate
from data_prep.manifest import read_manifest
from recipes.asr.audio import AudioError, AudioReader
from recipes.bakeoff.plan import make_plan
from recipes.scoring import DecodedUtterance, RunSummary, decoded_file
from recipes.training.run_data import RunData
from tests.support.own_data import write_own_manifests
from tests.support.runs import RECIPE, TINY, results, same_weights, small_corpus, summary, train
from train import main


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def own(corpus, tmp_path_factory) -> dict[str, Path]:
    return write_own_manifests(corpus, tmp_path_factory.mktemp("own"))


def options(own: dict[str, Path], output: Path, *more: str) -> list[str]:
    manifests = [text for use, path in own.items() for text in (f"--{use}_manifest", str(path))]
    return [str(RECIPE), *TINY, *manifests, "--output_folder", str(output), "--speeds", "[95,105]", *more]


@pytest.fixture(scope="module")
def finished(own, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("finished") / "run"
    assert main(options(own, output)) == 0
    return output


def test_segments_of_own_recordings_train_what_the_corpus_does(corpus, finished, tmp_path):
    assert train(corpus, tmp_path / "run", "--speeds", "[95,105]") == 0
    assert same_weights(finished, tmp_path / "run")
    (own,), (expected,) = results(finished).values(), results(tmp_path / "run").values()
    assert (own.errors, own.words, own.audio_seconds) == (expected.errors, expected.words, expected.audio_seconds)


def test_the_run_owns_its_manifests(finished):
    data = RunData.read(finished)
    assert (list(data.train.files), list(data.valid.files)) == (["my_train"], ["my_valid"])
    assert data.train.counts["utterances"] == 24
    assert list(summary(finished).splits) == ["my_test"]


def test_a_report_plays_the_segment(own, finished):
    decoded = DecodedUtterance.read_all(decoded_file(finished, "my_test"))
    audio = (finished / decoded[0].audio.partition("#")[0]).resolve()
    assert audio.parent == own["test"].parent / "long"
    assert f'.flac#t={decoded[0].audio.rpartition("=")[2]}"' in (finished / "report.html").read_text()


def test_a_moved_manifest_is_the_same_and_another_is_refused(own, finished, tmp_path, capsys):
    folder, run = tmp_path / "moved", tmp_path / "run"
    shutil.copytree(own["train"].parent, folder)
    shutil.copytree(finished, run)
    moved = {use: folder / path.name for use, path in own.items()}
    assert main(options(moved, run, "--number_of_epochs", "2")) == 0
    lines = moved["train"].read_text().splitlines(keepends=True)
    moved["train"].write_text("".join(lines[:-1]))
    capsys.readouterr()
    assert main(options(moved, run, "--number_of_epochs", "3")) == 2
    assert "run was trained on other data (my_train): give those again" in capsys.readouterr().err


def test_evaluation_of_other_manifests(own, finished, tmp_path, corpus):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    assert evaluate.main([str(run), "--device", "cpu", "--test_search", "null"]) == 0
    (folder,) = (run / "evaluations").iterdir()
    assert folder.name == "test_search=null"
    other = tmp_path / "other" / "mine.jsonl"
    other.parent.mkdir()
    (audio,) = {json.loads(line)["audio"] for line in own["test"].read_text().splitlines()}
    first = json.loads(own["test"].read_text().splitlines()[0])
    other.write_text(json.dumps({**first, "audio": str(own["test"].parent / audio)}) + "\n")
    output = tmp_path / "output"
    assert evaluate.main([str(run), "--device", "cpu", "--test_manifest", str(other), "--out", str(output)]) == 0
    assert RunSummary.read(output).splits["mine"].utterances == 1
    assert list(read_manifest(run / "manifests" / "my_test.csv"))  # stays the run's own
    tested = ["--data_folder", str(corpus), "--split", "test-clean", "--out", str(tmp_path / "librispeech")]
    assert evaluate.main([str(run), "--device", "cpu", *tested]) == 0
    assert results(tmp_path / "librispeech")["test-clean"].errors == results(run)["my_test"].errors


def test_a_run_of_a_corpus_is_tested_on_an_own_manifest(corpus, own, tmp_path):
    manifests = ["--data_folder", str(corpus), "--test_manifest", str(own["test"])]
    assert main([str(RECIPE), *TINY, *manifests, "--output_folder", str(tmp_path / "run")]) == 0
    assert list(summary(tmp_path / "run").splits) == ["my_test"]
    assert list(RunData.read(tmp_path / "run").train.files) == ["train-clean-5"]


def test_the_text_normalizer_is_part_of_the_run(own, finished, tmp_path, capsys):
    assert main(options(own, tmp_path / "run", "--text_normalizer", "basic")) == 0
    words = [row["wrd"] for row in read_manifest(tmp_path / "run" / "manifests" / "my_test.csv")]
    assert words == [row["wrd"].lower() for row in read_manifest(finished / "manifests" / "my_test.csv")]
    assert "text_normalizer: basic" in (tmp_path / "run" / "recipe.yaml").read_text()
    assert main(options(own, tmp_path / "run", "--number_of_epochs", "2")) == 2
    assert "differs in text_normalizer" in capsys.readouterr().err


def test_both_ways_to_choose_what_is_tested(own, finished, capsys):
    assert evaluate.main([str(finished), "--split", "test-clean", "--test_manifest", str(own["test"])]) == 2
    assert "error: --split and --test_manifest both choose the data: give one of them" in capsys.readouterr().err


def test_the_reader_reads_segments_sample_by_sample(tmp_path):
    samples = np.random.default_rng(0).standard_normal(48000).astype("float32") * 0.1
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    reader = AudioReader()
    audio = reader(f"{tmp_path}/a.wav#t=0.5,1.25", "u")
    assert torch.equal(audio, torch.from_numpy(samples[8000:20000]))
    with pytest.raises(AudioError, match=r"a\.wav#t=2,3\.5 cannot be read: it ends too early, after 3\.00 s"):
        reader(f"{tmp_path}/a.wav#t=2,3.5", "u")


def test_a_score_normalizer_is_named_in_table_summary_and_report(own, finished, tmp_path, capsys):
    options = ["--device", "cpu", "--score_normalizer", "basic", "--out", str(tmp_path / "out")]
    assert evaluate.main([str(finished), *options]) == 0
    result = summary(tmp_path / "out").splits["my_test"]
    assert (result.wer, result.normalizer) == (summary(finished).splits["my_test"].wer, "basic")
    assert result.normalized_wer == result.wer, "words in capitals without punctuation but apostrophes within"
    assert "basic WER %" in capsys.readouterr().out
    assert "WER %, basic" in (tmp_path / "out" / "report.html").read_text()
    assert evaluate.main([str(finished), "--score_normalizer", "french"]) == 2
    assert "score_normalizer must be basic or english, or null, not french" in capsys.readouterr().err


def test_a_search_is_tuned_on_the_own_validation_manifest(own, finished, tmp_path, capsys):
    options = ["--device", "cpu", "--tune", "--test_search.lm_weight", "0.0", "--out", str(tmp_path / "out")]
    assert evaluate.main([str(finished), *options]) == 0
    assert json.loads((tmp_path / "out" / "tuned.json").read_text())["splits"] == ["my_valid"]
    assert list(summary(tmp_path / "out").splits) == ["my_test"]


def test_a_search_is_tuned_on_the_split_that_is_asked_for(corpus, own, tmp_path):
    """Also where the run was validated on an own manifest."""
    manifests = ["--data_folder", str(corpus), "--valid_manifest", str(own["valid"])]
    assert main([str(RECIPE), *TINY, *manifests, "--output_folder", str(tmp_path / "run")]) == 0
    options = ["--device", "cpu", "--tune", "--tune_split", "dev-clean", "--test_search.lm_weight", "0.0"]
    assert evaluate.main([str(tmp_path / "run"), *options, "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "tuned.json").read_text())["splits"] == ["dev-clean"]


def test_a_comparison_takes_own_manifests(own, tmp_path):
    manifests = [text for use, path in own.items() for text in (f"--{use}_manifest", str(path))]
    plan = make_plan([str(RECIPE), *manifests], ["attention"], [1], folder=tmp_path / "out")
    assert [list(plan.record.data[use]) for use in own] == [["my_train"], ["my_valid"], ["my_test"]]
