"""Training a language model from end to end, through `train_lm.py` as a user gives it."""

import gzip
import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from data_prep.lm_text import sentences
from data_prep.tokenizer import END, START, load_tokenizer, train_tokenizer
from recipes.lm.brain import LanguageModelBrain
from recipes.lm.experiment import NEEDED
from recipes.lm.saved_model import load_language_model
from recipes.scoring import LanguageModelSummary
from tests.support.manifests import to_csv
from tests.support.runs import ROOT, assert_learned, epochs, initial_model, same_weights
from tests.support.stock_models import tokenizer
from train_lm import main

RECIPE = ROOT / "hparams" / "lm_quickstart.yaml"
SENTENCES = ["THE RIVER JUMPED OVER A STONE", "THE HOUSE IS VERY GREEN", "I WALKED SLOWLY", "SEVEN BOX"]
TINY = (
    "--device cpu --noprogressbar --d_model 16 --heads 2 --layers 1 --d_ffn 32 --number_of_epochs 2"
    " --batch_sentences 4 --warmup_steps 2 --average_checkpoints 2"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Tokenizer and texts."""
    texts = tmp_path_factory.mktemp("texts")
    (texts / "tokenizer.model").write_bytes(tokenizer())
    (texts / "train.txt.gz").write_bytes(gzip.compress("\n".join(SENTENCES * 6).encode()))
    (texts / "valid.txt").write_text("\n".join(SENTENCES[:3]))
    (texts / "test.txt").write_text("THE STONE JUMPED\nA RIVER\n")
    return texts


def train(folder: Path, output: Path, *options: str, recipe: Path = RECIPE) -> int:
    """Run it in this process; the exit status. Later options win."""
    where = {"tokenizer": "tokenizer.model", "train_text": "train.txt.gz", "valid_text": "valid.txt"}
    inputs = [part for key, name in where.items() for part in (f"--{key}", str(folder / name))]
    return main([str(recipe), *inputs, "--output_folder", str(output), *TINY, *options])


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("finished") / "run"
    assert train(folder, output, "--test_text", str(folder / "test.txt")) == 0
    return output


def nats_and_tokens(output: Path, text: Path) -> tuple[float, int]:
    """One sentence at a time, one token at a time, by the definition."""
    model, pieces = load_language_model(output), load_tokenizer(output / "tokenizer" / "tokenizer.model")
    nats, count = 0.0, 0
    for sentence in sentences([text]):
        cache, last = model.init_cache(1), START
        for token in [*pieces.encode(sentence), END]:
            with torch.no_grad():
                logits, cache = model.step(torch.tensor([last]), cache)
            nats, count, last = nats - float(logits.log_softmax(-1)[0, token]), count + 1, token
    return nats, count


def test_it_learns(folder, tmp_path):
    assert train(folder, tmp_path / "run", "--number_of_epochs", "25", "--d_model", "32") == 0
    log = epochs(tmp_path / "run")
    assert [epoch.epoch for epoch in log] == [*range(1, 26)]
    assert log[0].metrics["valid_perplexity_token"] > 8
    assert log[-1].metrics["valid_perplexity_token"] < 2
    assert log[-1].metrics["train_loss"] < log[0].metrics["train_loss"] / 2


@pytest.mark.parametrize("use", ["valid", "test"])
def test_perplexity_is_what_the_steps_of_the_search_give(folder, finished, use):
    text = folder / f"{use}.txt"
    nats, tokens = nats_and_tokens(finished, text)
    words = sum(len(sentence.split()) + 1 for sentence in sentences([text]))
    result = LanguageModelSummary.read(finished).texts[use]
    assert result.tokens == tokens
    assert result.perplexity_token == pytest.approx(math.exp(nats / tokens), rel=1e-3)
    assert result.perplexity_word == pytest.approx(math.exp(nats / words), rel=1e-3)


def test_what_a_run_leaves(folder, finished):
    values = json.loads((finished / "summary.json").read_text())
    assert values.keys() == {
        "recipe",
        "seed",
        "texts",
        "train_text",
        "parameters",
        "seconds",
        "peak_memory_mb",
        "device",
        "versions",
        "commit",
        "recipe_hash",
    }
    written = LanguageModelSummary.read(finished)
    assert written.train_text == {"sentences": 24, "words": 96}
    assert written.texts["valid"].words == 14 and written.texts["valid"].unknown_tokens == 0
    model = load_language_model(finished, folder / "tokenizer.model")
    assert written.parameters == sum(parameter.numel() for parameter in model.parameters())
    log = epochs(finished)
    assert [epoch.steps for epoch in log] == [6, 12]
    assert log[0].metrics.keys() == {
        "train_loss",
        "valid_loss",
        "valid_perplexity_token",
        "valid_perplexity_word",
        "gradient_norm",
        "clipped_steps",
        "skipped_steps",
    }
    assert log[1].lr == pytest.approx(0, abs=1e-9), "the schedule ends with the run"
    assert "valid perplexity" in (finished / "log.txt").read_text()


def test_the_same_again_gives_the_same_weights_and_another_seed_others(folder, finished, tmp_path):
    assert train(folder, tmp_path / "same", "--test_text", str(folder / "test.txt")) == 0
    assert same_weights(tmp_path / "same", finished)
    assert train(folder, tmp_path / "other", "--seed", "5") == 0
    assert not same_weights(tmp_path / "other", finished)


def test_a_finished_run_is_not_trained_again(folder, finished):
    test = ["--test_text", str(folder / "test.txt")]
    times, log = {path: path.stat().st_mtime_ns for path in finished.rglob("CKPT*")}, epochs(finished)
    for options in ([], ["--test_only"]):
        texts = LanguageModelSummary.read(finished).texts
        (finished / "summary.json").unlink()
        assert train(folder, finished, *test, *options) == 0
        assert {path: path.stat().st_mtime_ns for path in finished.rglob("CKPT*")} == times
        assert (epochs(finished), LanguageModelSummary.read(finished).texts) == (log, texts)


def test_the_best_epochs_are_averaged(folder, tmp_path):
    assert train(folder, tmp_path / "run", "--number_of_epochs", "3") == 0
    checkpoints = (tmp_path / "run").glob("checkpoints/CKPT*")
    models = {int((path / "epoch.ckpt").read_text()): torch.load(path / "model.ckpt") for path in checkpoints}
    losses = {epoch.epoch: epoch.metrics["valid_loss"] for epoch in epochs(tmp_path / "run")}
    best, second = (models[epoch] for epoch in sorted(losses, key=losses.get)[:2])
    for name, weight in torch.load(tmp_path / "run" / "averaged.ckpt").items():
        torch.testing.assert_close(weight, (best[name] + second[name]) / 2)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program catches it."""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_broken_run_goes_on_and_ends_as_if_unbroken(folder, tmp_path, monkeypatch, capsys, workers):
    """Broken off in the middle of the second epoch, one step behind a checkpoint."""
    options = ["--workers", workers, "--dropout", "0.2", "--ckpt_interval_steps", "1"]
    options += ["--grad_accumulation_factor", "3"]
    fit_group, steps = LanguageModelBrain.fit_group, []

    def watched(brain, group, total_steps):
        fit_group(brain, group, total_steps)
        steps.append((brain.epoch, brain.progress.batches))

    def broken(brain, group, total_steps):
        watched(brain, group, total_steps)
        if len(steps) > 3 and brain.epoch == 2 and brain.progress.batches > 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelBrain, "fit_group", broken)
        with pytest.raises(Killed):
            train(folder, tmp_path / "broken", *options)
        del steps[:]
        patch.setattr(LanguageModelBrain, "fit_group", watched)
        assert train(folder, tmp_path / "broken", *options) == 0
    assert "going on from" in capsys.readouterr().out
    assert steps == [(2, 6)]
    assert train(folder, tmp_path / "unbroken", *options) == 0
    assert same_weights(tmp_path / "broken", tmp_path / "unbroken")
    last, expected = epochs(tmp_path / "broken")[-1], epochs(tmp_path / "unbroken")[-1]
    assert last.metrics["train_loss"] == pytest.approx(expected.metrics["train_loss"])


VARIANTS = {
    "bfloat16": ["--precision", "bf16"],
    "post-normalised": ["--norm_first", "false"],
    "few steps": ["--optimizer_step_limit", "9"],
    "long sentences cut": ["--longest_sentence", "5"],
    "several texts": ["--train_text", "[{folder}/train.txt.gz, {folder}/valid.txt]"],
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_variants_train(folder, tmp_path, options):
    assert train(folder, tmp_path / "run", *(option.format(folder=folder) for option in options)) == 0
    assert_learned(tmp_path / "run", initial_model(tmp_path / "run"))


def test_a_debug_run_has_a_folder_of_its_own(folder, tmp_path):
    assert train(folder, tmp_path / "run", "--debug") == 0
    assert not (tmp_path / "run").exists()
    assert_learned(tmp_path / "run-debug", initial_model(tmp_path / "run-debug"))


# --- what goes wrong ---


@pytest.fixture
def error_of(folder, tmp_path, capsys):
    """The single line on stderr of a run with these options."""

    def run(*options: str, output: Path = tmp_path / "run", recipe: Path = RECIPE) -> str:
        capsys.readouterr()
        assert train(folder, output, *options, recipe=recipe) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1, message
        return message.removeprefix("error: ").rstrip("\n")

    return run


ERRORS = {
    "no validation text": (
        ["--valid_text", "[]"],
        f"{RECIPE}: valid_text is empty: give {NEEDED['valid_text']}",
    ),
    "no text to train on": (
        ["--train_text", "null"],
        f"{RECIPE}: train_text is empty: give text to train on, such as the recogniser's run folder",
    ),
    "no such text": (
        ["--train_text", "none.txt"],
        "there is no text none.txt: give a text file (.gz too), a manifest, a run or a corpus folder",
    ),
    "no such tokenizer": (
        ["--tokenizer", "none.model"],
        "no tokenizer none.model: train it with python -m data_prep.tokenizer",
    ),
    "a folder for the tokenizer": (
        ["--tokenizer", "{folder}"],
        "{folder} is a folder: give the file in it, of a run tokenizer/tokenizer.model",
    ),
    "too few outputs": (
        ["--vocab_size", "8"],
        (
            "{folder}/tokenizer.model has {pieces} pieces, but the model only 8 outputs: "
            "give --vocab_size as in the recogniser's recipe"
        ),
    ),
    "size of batches": (
        ["--batch_sentences", "0"],
        f"{RECIPE}: batch_sentences must be a whole number from 1 up, not 0",
    ),
    "heads": (
        ["--heads", "3"],
        f"{RECIPE}: language_model: TransformerLM: heads 3 must divide d_model 16",
    ),
}


@pytest.mark.parametrize(("options", "message"), ERRORS.values(), ids=ERRORS)
def test_mistakes(folder, error_of, options, message):
    pieces = load_tokenizer(folder / "tokenizer.model").vocab_size()
    assert error_of(*(option.format(folder=folder) for option in options)) == message.format(
        folder=folder, pieces=pieces
    )


def test_missing_keys(capsys):
    assert main([str(RECIPE)]) == 2
    hint = "tokenizer and train_text and valid_text are not set: give --tokenizer VALUE --train_text VALUE"
    assert capsys.readouterr().err.startswith(f"error: {RECIPE}: {hint}")


def test_recipe_of_a_recogniser(capsys):
    recipe = ROOT / "hparams" / "quickstart.yaml"
    assert main([str(recipe), "--data_folder", "unused"]) == 2
    assert capsys.readouterr().err == (
        f"error: {recipe} is no recipe of a language model, it has no key 'language_model': for a recogniser there "
        "is train.py\n"
    )


def test_other_runs_are_not_overwritten(folder, finished, tmp_path, error_of):
    recipe = (finished / "recipe.yaml").read_text()
    message = error_of("--d_model", "32", output=finished)
    assert message.startswith(f"{finished} holds a run of another recipe (it differs in d_model")
    assert (finished / "recipe.yaml").read_text() == recipe


def test_another_tokenizer_for_the_same_run(folder, tmp_path, error_of):
    output, texts = tmp_path / "run", tmp_path / "texts"
    shutil.copytree(folder, texts)
    assert train(texts, output) == 0
    manifest = texts / "words.csv"
    manifest.write_bytes(to_csv([["1-2-3", 1.0, "a.flac", "1-2", "QUITE ANOTHER WORD"]]))
    train_tokenizer(manifest, texts, "char", 32)
    own = output / "tokenizer" / "tokenizer.model"
    content = own.read_bytes()
    names = {"tokenizer": "tokenizer.model", "train_text": "train.txt.gz", "valid_text": "valid.txt"}
    options = [f"--{key}={texts / name}" for key, name in names.items()]
    assert error_of(*options, output=output) == (
        f"{output} holds a run with another tokenizer than {texts / 'tokenizer.model'}: give another --output_folder"
    )
    assert own.read_bytes() == content


def test_a_run_that_was_stopped_before_its_first_checkpoint_may_begin_with_another_tokenizer(folder, tmp_path):
    """Its folder has the record of the first one already. The other is of fewer sentences."""
    texts, output = shutil.copytree(folder, tmp_path / "texts"), tmp_path / "run"
    assert train(texts, output) == 0
    shutil.rmtree(output / "checkpoints")
    for name in ("averaged.ckpt", "summary.json"):
        (output / name).unlink()
    before, manifest = (texts / "tokenizer.model").read_bytes(), tmp_path / "manifest.csv"
    rows = [[f"1-2-{number}", 1.0, "a.flac", "1-2", text] for number, text in enumerate(SENTENCES * 3)]
    manifest.write_bytes(to_csv([*rows, ["1-2-99", 1.0, "a.flac", "1-2", SENTENCES[0]]]))
    train_tokenizer(manifest, texts, "char", 32)
    assert (texts / "tokenizer.model").read_bytes() != before
    assert train(texts, output) == 0
    assert (output / "tokenizer" / "tokenizer.model").read_bytes() == (texts / "tokenizer.model").read_bytes()


def test_other_text_is_refused_and_may_be_allowed(folder, tmp_path, capsys):
    texts, output = shutil.copytree(folder, tmp_path / "texts"), tmp_path / "run"
    assert train(texts, output) == 0
    (texts / "train.txt.gz").write_bytes(gzip.compress("\n".join(SENTENCES * 8).encode()))
    assert train(texts, output, "--number_of_epochs", "3") == 2
    assert capsys.readouterr().err.startswith(
        f"error: {output} was trained on other data ({texts / 'train.txt.gz'}): give those again, or --allow_new_data"
    )
    assert train(texts, output, "--number_of_epochs", "3", "--allow_new_data", "true") == 0
    assert "after epoch 2 the run goes on with other data (" in capsys.readouterr().out
    assert LanguageModelSummary.read(output).train_text == {"sentences": 32, "words": 128}


def test_moved_texts_are_the_same_and_a_text_to_test_on_may_follow(folder, tmp_path):
    output, moved = tmp_path / "run", tmp_path / "moved"
    assert train(folder, output, "--number_of_epochs", "1") == 0
    shutil.copytree(folder, moved)
    assert train(moved, output, "--test_text", str(moved / "test.txt")) == 0
    assert len(epochs(output)) == 2 and LanguageModelSummary.read(output).texts.keys() == {"valid", "test"}


def test_testing_needs_neither_training_text_nor_the_recognisers_tokenizer(folder, tmp_path):
    texts, output = shutil.copytree(folder, tmp_path / "texts"), tmp_path / "run"
    assert train(texts, output) == 0
    summary = LanguageModelSummary.read(output)
    for path in (texts / "train.txt.gz", texts / "tokenizer.model", output / "summary.json"):
        path.unlink()
    assert main([str(output / "recipe.yaml"), "--device", "cpu", "--noprogressbar", "--test_only"]) == 0
    again = LanguageModelSummary.read(output)
    assert (again.texts, again.train_text) == (summary.texts, summary.train_text)


def test_testing_without_a_finished_epoch(error_of, tmp_path):
    assert error_of("--test_only") == (f"no finished epoch in {tmp_path / 'run' / 'checkpoints'}: train before testing")


def test_weights_without_checkpoints(finished, tmp_path, error_of, folder):
    output = tmp_path / "copy"
    assert train(folder, output) == 0
    shutil.rmtree(output / "checkpoints")
    assert error_of(output=output) == (
        f"{output} holds weights (averaged.ckpt) and no checkpoints to go on from: give --test_only, or "
        "another --output_folder"
    )
