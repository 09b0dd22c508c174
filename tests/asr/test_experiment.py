"""Training from end to end, through `train.py` as a user gives it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest
import torch

from benchmarks.reliability import programs
from data_prep.synthesize import synthesize
from recipes.asr import ASRBrain
from recipes.config import flatten, load
from recipes.config.arguments import parse_arguments
from tests.support.runs import (
    RECIPE,
    ROOT,
    TINY,
    arguments,
    assert_learned,
    epochs,
    initial_model,
    results,
    same_weights,
    small_corpus,
    summary,
    train,
    weights,
)
from train import main

MIXERS = list(load(RECIPE, {"data_folder": "unused", "d_model": 16, "heads": 2}).hparams["mixers"])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory) -> Path:
    """The folder of a finished tiny run of two epochs."""
    output = tmp_path_factory.mktemp("finished") / "run"
    assert train(corpus, output, "--number_of_epochs", "2") == 0
    return output


def checkpoint_folders(output: Path) -> list[Path]:
    return sorted((output / "checkpoints").iterdir())


def program(data: Path, output: Path, *options: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *arguments(data, output, *options)]


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


# --- learning -----------------------------------------------------------------------------------------------

SMOKE = (
    "--d_model 64 --heads 4 --d_ffn 128 --kernel_size 15 --number_of_epochs 7 --batch_seconds 8 --lr 0.005"
    " --warmup_steps 20"
).split()


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> tuple[Path, Path, str]:
    """Corpus, output and screen of a model that learns to recognise synthetic speech: half a minute."""
    folder = tmp_path_factory.mktemp("smoke")
    corpus = synthesize(folder / "corpus", kind="smoke", workers=1, progress=False)
    done = subprocess.run(
        program(corpus, folder / "run", *SMOKE), env=ONE_THREAD, cwd=folder, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return corpus, folder / "run", done.stdout


@pytest.mark.timeout(300)
def test_it_learns(smoke):
    corpus, output, screen = smoke
    log = epochs(output)
    assert [epoch.epoch for epoch in log] == [*range(1, 8)]
    losses = [epoch.metrics["train_loss"] for epoch in log]
    assert losses == sorted(losses, reverse=True)
    characters = [len(line.split(" ", 1)[1]) for file in corpus.glob("train*/*/*/*.txt") for line in file.open()]
    assert losses[-1] / (sum(characters) / len(characters)) < 0.5, "loss per character"
    assert log[-1].metrics["valid_wer_greedy_ctc"] < 60
    assert log[-1].metrics["valid_token_accuracy"] > 80
    splits = summary(output).splits
    assert splits["test-clean"].wer < 60
    for name, result in splits.items():
        assert f"{result.wer:.2f}" in [line for line in screen.splitlines() if line.startswith(name)][-1]


def test_testing_again_gives_the_same(smoke):
    corpus, output, _ = smoke
    splits, log, alignments = results(output), epochs(output), (output / "wer_test-other.txt").read_text()
    (output / "summary.json").unlink()
    (output / "wer_test-other.txt").unlink()
    assert train(corpus, output, *SMOKE, "--test_only") == 0
    assert results(output) == splits
    assert (output / "wer_test-other.txt").read_text() == alignments
    assert epochs(output) == log, "nothing was trained"


# --- what a run leaves --------------------------------------------------------------------------------------


def test_a_summary_tells_the_precision_of_its_test(corpus, finished, tmp_path):
    output = shutil.copytree(finished, tmp_path / "run")
    assert train(corpus, output, "--number_of_epochs", "2", "--test_only", "--eval_precision", "bf16") == 0
    assert summary(output).decoded_by.endswith("--test_only --eval_precision bf16")
    assert summary(finished).decoded_by.endswith("--test_only")


def test_summary_is_complete(finished):
    values = json.loads((finished / "summary.json").read_text())
    assert values.keys() == {
        "recipe",
        "mixer",
        "seed",
        "splits",
        "parameters",
        "seconds",
        "peak_memory_mb",
        "device",
        "versions",
        "commit",
        "recipe_hash",
        "decoded_by",
        "remarks",
    }
    assert values["splits"].keys() == {"test-clean"}
    assert values["splits"]["test-clean"].keys() == {
        "wer",
        "interval",
        "substitutions",
        "deletions",
        "insertions",
        "utterances",
        "words",
        "wer_greedy_ctc",
        "cer",
        "audio_seconds",
        "decode_seconds",
        "rtf",
        "manifest",
        "left_out",
    }
    written = summary(finished)
    assert (written.recipe, written.mixer, written.seed) == ("quickstart", "summarymixing", 1234)
    assert written.splits["test-clean"].utterances == 3
    assert written.parameters == sum(
        value.numel() for name, value in weights(finished).items() if not name.startswith("normalize.")
    )
    assert written.seconds > 0 and written.peak_memory_mb > 100
    assert written.versions["torch"] == torch.__version__
    assert written.recipe_hash == load(finished / "recipe.yaml").hash


def test_logs_and_alignments_are_there(finished):
    report = (finished / "wer_test-clean.txt").read_text()
    result = summary(finished).splits["test-clean"]
    assert report.startswith(f"%WER {result.wer:.2f} [{result.errors} / {result.words}, ")
    assert report.count("REF: ") == 3
    log = epochs(finished)
    assert [epoch.epoch for epoch in log] == [1, 2]
    for epoch in log:
        assert epoch.metrics.keys() == {
            "train_loss",
            "valid_loss",
            "valid_wer",
            "valid_wer_greedy_ctc",
            "valid_token_accuracy",
            "valid_cer_greedy_ctc",
            "valid_ctc_loss",
            "valid_attention_loss",
            "valid_blank_share",
            "train_ctc_loss",
            "train_attention_loss",
            "gradient_norm",
            "clipped_steps",
            "skipped_steps",
        }
    assert log[1].steps == 2 * log[0].steps > 2
    assert log[1].seconds >= log[0].seconds and log[1].time >= log[0].time
    assert log[1].lr < log[0].lr <= 0.003
    assert log[1].lr == pytest.approx(0, abs=1e-9), "the schedule ends with the run"
    text = (finished / "log.txt").read_text()
    assert "epoch 2/2: train loss" in text and "test-clean" in text
    assert "train-clean-5 " in text and " 24 utterances " in text, "what it was trained on, not on the screen alone"


def test_a_finished_run_is_not_trained_again(corpus, finished):
    times = {path: path.stat().st_mtime_ns for path in (finished / "checkpoints").rglob("*")}
    log, splits = epochs(finished), results(finished)
    (finished / "wer_test-old.txt").write_text("of a split that is not tested any more")
    assert train(corpus, finished, "--number_of_epochs", "2") == 0
    assert not (finished / "wer_test-old.txt").exists()
    assert {path: path.stat().st_mtime_ns for path in (finished / "checkpoints").rglob("*")} == times
    assert (epochs(finished), results(finished)) == (log, splits)


def test_more_epochs_go_on_where_it_ended(corpus, tmp_path, capsys):
    for number in ("1", "3"):
        assert train(corpus, tmp_path / "run", "--number_of_epochs", number) == 0
    assert [epoch.epoch for epoch in epochs(tmp_path / "run")] == [1, 2, 3]
    screen = capsys.readouterr().out
    assert f"going on from {tmp_path / 'run' / 'checkpoints' / 'CKPT'}" in screen
    assert screen.count("note: the learning rate rises again, from 0 to ") == 1


def test_the_same_again_gives_the_same_weights(corpus, finished, tmp_path):
    assert train(corpus, tmp_path / "run", "--number_of_epochs", "2") == 0
    assert same_weights(tmp_path / "run", finished)
    assert results(tmp_path / "run") == results(finished)


def test_another_seed_gives_other_weights(corpus, finished, tmp_path):
    assert train(corpus, tmp_path / "run", "--number_of_epochs", "2", "--seed", "5") == 0
    assert not same_weights(tmp_path / "run", finished)


def test_a_flattened_recipe_trains_the_same(corpus, finished, tmp_path):
    """The whole recipe in a single file: a copy of its own run, and what `python -m recipes.config` prints."""
    parsed = parse_arguments(arguments(corpus, tmp_path / "run", "--number_of_epochs", "2"))
    whole = tmp_path / "quickstart.yaml"
    whole.write_text(flatten(parsed.recipe, parsed.overrides))
    assert main([str(whole), "--device", "cpu", "--noprogressbar"]) == 0
    assert same_weights(tmp_path / "run", finished)
    assert summary(tmp_path / "run").recipe_hash == summary(finished).recipe_hash
    assert train(corpus, finished, "--number_of_epochs", "2", recipe=finished / "recipe.yaml") == 0, (
        "its own kept recipe"
    )


def test_runs_lie_under_recipe_mixer_and_seed(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [*TINY, "--data_folder", str(corpus), "--mixer", "[summarymixing, attention]", "--seed", "7"]
    assert main([str(RECIPE), *options]) == 0
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("summary.json")] == [
        Path("runs/quickstart/summarymixing1+attention1/7/summary.json")
    ]


# --- variants -----------------------------------------------------------------------------------------------


# conv_only returns zeros whatever comes in, so that the norm before it has nothing to learn.
UNUSED = (
    f"blocks.{MIXERS.index('conv_only')}.mixer_norm.weight",
    f"blocks.{MIXERS.index('conv_only')}.mixer_norm.bias",
)


def test_every_mixer_trains(corpus, tmp_path):
    """Each in a layer of one encoder; what does not move or is not finite is named with its layer."""
    options = ["--mixer", f"[{', '.join(MIXERS)}]", "--layers", str(len(MIXERS)), "--number_of_epochs", "2"]
    assert train(corpus, tmp_path / "run", *options) == 0
    assert_learned(tmp_path / "run", initial_model(tmp_path / "run"), UNUSED)
    for epoch in epochs(tmp_path / "run"):
        assert 0 < epoch.metrics["train_loss"] < 300 and 0 < epoch.metrics["valid_loss"] < 300


VARIANTS = {
    "no decoder": ["--model.decoder", "null"],
    "no search": ["--test_search", "null"],
    "word pieces": ["--token_type", "unigram", "--vocab_size", "40"],
    "bfloat16": ["--precision", "bf16"],
    "gradient accumulation": ["--grad_accumulation_factor", "3"],
    "loading processes": ["--workers", "2"],
    "everything random": ["--speeds", "[95, 100, 105]", "--dropout", "0.1", "--model.augment.warp", "5"],
    "several to average": ["--number_of_epochs", "3", "--average_checkpoints", "2"],
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_variants_train(options, corpus, tmp_path):
    assert train(corpus, tmp_path / "run", "--number_of_epochs", "2", *options) == 0
    assert_learned(tmp_path / "run", initial_model(tmp_path / "run"))
    assert summary(tmp_path / "run").splits["test-clean"].utterances == 3


def test_another_encoder_and_optimizer_train(corpus, tmp_path):
    options = ["--token_type", "char", "--vocab_size", "32", "--model.encoder.csgu_units", "16"]
    recipe = RECIPE.with_name("hyperbranchformer_13M.yaml")
    assert train(corpus, tmp_path / "run", "--number_of_epochs", "2", *options, recipe=recipe) == 0
    assert_learned(tmp_path / "run", initial_model(tmp_path / "run"))


def test_validation_is_searched_in_some_epochs(corpus, tmp_path):
    search = ["--valid_search", "!new:recipes.decoding.BeamSearch {beam: 2}", "--valid_search_interval", "2"]
    assert train(corpus, tmp_path / "run", "--number_of_epochs", "3", *search) == 0
    assert [epoch.metrics["valid_wer"] is not None for epoch in epochs(tmp_path / "run")] == [False, True, False]
    lines = [line for line in (tmp_path / "run" / "log.txt").read_text().splitlines() if "train loss" in line]
    assert ["% (search)" in line for line in lines] == [False, True, False]


def test_curves_for_tensorboard(corpus, tmp_path):
    assert train(corpus, tmp_path / "run", "--tensorboard", "true") == 0
    assert sum(path.stat().st_size for path in (tmp_path / "run" / "tensorboard").iterdir()) > 100


def test_every_epoch_is_new_and_whole(corpus, tmp_path, monkeypatch):
    """Each utterance once an epoch, in other batches and at other speeds, also where a later call goes on."""
    seen, fit_group = [], ASRBrain.fit_group

    def watched(brain, group, total_steps):
        seen.extend((brain.epoch, batch.ids, batch.lengths.tolist()) for batch in group)
        return fit_group(brain, group, total_steps)

    monkeypatch.setattr(ASRBrain, "fit_group", watched)
    for number in ("2", "3"):
        assert train(corpus, tmp_path / "run", "--number_of_epochs", number, "--speeds", "[80, 100, 120]") == 0
    batches = [[ids for epoch, ids, _ in seen if epoch == number] for number in (1, 2, 3)]
    lengths = [
        {name: n for epoch, ids, ns in seen if epoch == number for name, n in zip(ids, ns, strict=True)}
        for number in (1, 2, 3)
    ]
    assert len(lengths[0]) == 24
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert sorted(chain(*batches[first])) == sorted(chain(*batches[second]))
        assert batches[first] != batches[second]
        assert sum(lengths[first][name] != lengths[second][name] for name in lengths[first]) > 5


# --- kills --------------------------------------------------------------------------------------------------

# Everything that draws: speeds, dropout, SpecAugment. Checkpoints come between two optimizer steps.
RANDOM = (
    "--number_of_epochs 3 --batch_seconds 1.5 --speeds [95,100,105] --dropout 0.1 --model.augment.warp 5"
    " --model.augment.time_masks 2 --model.augment.time_width [1,5] --grad_accumulation_factor 2 --workers 1"
).split()


def test_a_killed_run_goes_on_and_ends_as_if_unbroken(corpus, tmp_path, capsys):
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    options = [*RANDOM, "--ckpt_interval_steps", "3"]
    programs.load()
    process = programs.start("train", arguments(corpus, broken, *options), tmp_path / "screen")
    while process.exitcode is None and not list(broken.glob("checkpoints/CKPT*")):
        time.sleep(0.005)
    programs.kill(process)  # with its loading process
    assert process.exitcode == -signal.SIGKILL
    assert not (broken / "summary.json").exists()
    assert train(corpus, broken, *options) == 0
    assert f"going on from {broken / 'checkpoints' / 'CKPT'}" in capsys.readouterr().out
    assert train(corpus, unbroken, *options) == 0
    assert [epoch.steps for epoch in epochs(broken)] == [epoch.steps for epoch in epochs(unbroken)]
    assert same_weights(broken, unbroken)
    assert results(broken) == results(unbroken)
