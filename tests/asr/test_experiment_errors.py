"""What a user sees of each mistake: one line that says what, where and what to do; exit status 2."""

import json
import resource
import shutil
from pathlib import Path

import pytest
import soundfile
import torch

from recipes.asr.evaluate import check_output
from recipes.bakeoff.record import ComparisonRecord
from recipes.training.run_folder import check_is_run
from tests.support.corpus import write_corpus
from tests.support.runs import RECIPE, TINY, epochs, small_corpus, summary, train, weights
from train import main


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def error_of(capsys):
    """Run a function that returns an exit status; the single line that it writes to stderr."""

    def run(function, *arguments, **options) -> str:
        capsys.readouterr()
        assert function(*arguments, **options) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1 and message.endswith("\n"), message
        return message.removeprefix("error: ").rstrip("\n")

    return run


# --- data ---------------------------------------------------------------------------------------------------


def test_wrong_data_folder(tmp_path, error_of):
    message = f"no data folder {tmp_path / 'none'}: give the folder that holds LibriSpeech's splits, or its parent"
    assert error_of(train, tmp_path / "none", tmp_path / "run") == message


def test_a_wrong_data_folder_leaves_no_run_behind(tmp_path, error_of):
    error_of(train, tmp_path / "none", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_folder_without_a_corpus(tmp_path, error_of):
    (tmp_path / "music").mkdir()
    assert error_of(train, tmp_path / "music", tmp_path / "run") == (
        f"no LibriSpeech in {tmp_path / 'music'}: expected folders train*, dev* (or valid*) or test* there"
        " or in its LibriSpeech/"
    )


def test_data_folder_without_the_split(corpus, tmp_path, error_of):
    assert error_of(train, corpus, tmp_path / "run", "--train_splits", "train-clean-100") == (
        f"{corpus}: no split 'train-clean-100' among: dev-clean, test-clean, train-clean-5;"
        " did you mean 'train-clean-5'?"
    )


@pytest.mark.parametrize("use", ["train", "valid"])
def test_no_split_at_all(use, corpus, tmp_path, error_of):
    message = f"{RECIPE}: {use}_splits is empty: name a split, or say auto"
    assert error_of(train, corpus, tmp_path / "run", f"--{use}_splits", "[]") == message


def test_no_test_split_is_no_mistake(corpus, tmp_path):
    assert train(corpus, tmp_path / "run", "--test_splits", "[]") == 0
    assert summary(tmp_path / "run").splits == {}


def test_missing_data_folder(tmp_path, error_of):
    begun = [str(RECIPE), *TINY, "--output_folder", str(tmp_path / "run")]
    needed = f"{RECIPE}: data_folder is not set: give --data_folder PATH"
    assert error_of(main, begun) == needed
    own = ["--train_manifest", "a.csv", "--valid_manifest", "b.csv"]
    assert error_of(main, begun + own) == f"{needed}, or --test_manifest FILE"
    assert not (tmp_path / "run").exists()


def test_nothing_to_test(corpus, tmp_path, error_of):
    output = tmp_path / "run"
    message = f"no finished epoch in {output / 'checkpoints'}: train before testing"
    assert error_of(train, corpus, output, "--test_only") == message
    assert not output.exists()


def test_other_sample_rates_are_resampled(tmp_path, capsys):
    write_corpus(
        tmp_path / "data",
        {"train-clean-5": (2, 6), "dev-clean": (1, 2), "test-clean": (1, 2)},
        sample_rate=22050,
    )
    assert soundfile.info(next(tmp_path.glob("data/train*/*/*/*.flac"))).samplerate == 22050
    assert train(tmp_path / "data", tmp_path / "run", "--speeds", "[95, 105]") == 0
    assert "kept: 12 of 12 files at 22050 Hz; training resamples them to 16000 Hz" in capsys.readouterr().out


def test_manifest_without_a_short_enough_utterance(corpus, tmp_path, error_of):
    message = error_of(train, corpus, tmp_path / "run", "--max_seconds", "0.1")
    manifest = tmp_path / "run" / "manifests" / "merged" / "train.csv"
    assert message == f"{manifest}: no utterance is as short as 0.1 seconds; raise max_seconds"


def test_more_tokens_than_frames(corpus, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(corpus, data)
    audio = sorted(data.glob("train-clean-5/*/*/*.flac"))[3]
    samples, rate = soundfile.read(audio)
    soundfile.write(audio, samples[: rate // 20], rate)
    assert train(data, tmp_path / "run") == 0
    names = tmp_path / "run" / "utterances.json"
    message = "left out of train: 1 of 24 utterances (0.00 h), more tokens than frames at the highest speed: "
    assert f"{message}{audio.stem} (all in {names})\n" in capsys.readouterr().out
    assert json.loads(names.read_text())["train"] == {"more tokens than frames at the highest speed": [audio.stem]}
    assert train(data, tmp_path / "ctc0", "--ctc_weight", "0", "--test_splits", "[]") == 0
    assert "left out of train" not in capsys.readouterr().out


def test_split_without_an_utterance(corpus, tmp_path, error_of):
    data = tmp_path / "data"
    shutil.copytree(corpus, data)
    shutil.rmtree(data / "dev-clean")
    (data / "dev-clean").mkdir()
    message = error_of(train, data, tmp_path / "run")
    assert message.startswith(f"{data / 'dev-clean'}: no utterance in it; ")


# --- recipes ------------------------------------------------------------------------------------------------


def test_typo_in_a_recipe(corpus, tmp_path, error_of):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"base: {RECIPE}\nmixer: attention\nlayer: 3\n")
    message = error_of(train, corpus, tmp_path / "run", recipe=recipe)
    assert message == f"{recipe}, line 3: no such key 'layer'; did you mean 'layers'?"


def test_typo_on_the_command_line(corpus, tmp_path, error_of):
    message = error_of(train, corpus, tmp_path / "run", "--warmup_step", "3")
    assert message == "command line: no such key 'warmup_step'; did you mean 'warmup_steps'?"


def test_unknown_mixer(corpus, tmp_path, error_of):
    message = error_of(train, corpus, tmp_path / "run", "--mixer", "sumarymixing")
    start, _, mixers = message.partition(" mixers: ")
    assert start == f"{RECIPE}: mixer: no such mixer 'sumarymixing'; did you mean 'summarymixing'?"
    assert {"attention", "relpos_attention", "summarymixing"} <= set(mixers.split(", "))


def test_unknown_recipe(corpus, tmp_path, error_of):
    message = error_of(train, corpus, tmp_path / "run", recipe=RECIPE.with_name("quickstrat.yaml"))
    assert message.startswith(f"there is no recipe '{RECIPE.with_name('quickstrat.yaml')}'; did you mean 'quickstart'?")


def test_impossible_value_on_the_command_line(corpus, tmp_path, error_of):
    message = error_of(train, corpus, tmp_path / "run", "--speeds", "[]")
    wanted = "a list of whole percentages from 50 to 200, such as [95, 100, 105]"
    assert message == f"{RECIPE}: speeds must be {wanted}, not []"
    assert not (tmp_path / "run").exists()


OBJECTS = {
    "heads": ("3", "model.decoder: TransformerDecoder: heads 3 must divide d_model 16"),
    "kernel_size": ("4", "model.encoder: Conformer: kernel_size must be an odd whole number from 1 up, not 4"),
    "test_search.beam": ("0", "test_search: BeamSearch: beam must be a whole number from 1 up, not 0"),
}


@pytest.mark.parametrize("key", OBJECTS)
def test_values_that_an_object_refuses(key, corpus, tmp_path, error_of):
    value, message = OBJECTS[key]
    assert error_of(train, corpus, tmp_path / "run", f"--{key}", value) == f"{RECIPE}: {message}"


def test_following_the_advice_works_in_the_same_folder(corpus, tmp_path, error_of):
    """A folder where nothing was trained is nobody's yet."""
    message = error_of(train, corpus, tmp_path / "run", "--vocab_size", "20")
    assert message.startswith("vocab_size 20 is too small for ")
    enough = message.split("give ")[1].split(" or more")[0]
    assert train(corpus, tmp_path / "run", "--vocab_size", enough) == 0
    assert weights(tmp_path / "run")["ctc.bias"].shape == (int(enough),)


# --- run options --------------------------------------------------------------------------------------------


def test_half_precision_on_the_cpu(corpus, tmp_path, error_of):
    message = error_of(train, corpus, tmp_path / "run", "--precision", "fp16")
    assert message.startswith(f"{RECIPE}: ") and "fp16" in message and "--precision=bf16" in message


def test_run_options_are_checked_before_the_corpus_is_read(tmp_path, error_of):
    message = error_of(train, tmp_path / "no corpus", tmp_path / "run", "--precision", "fp16")
    assert "fp16" in message and "no corpus" not in message
    assert not (tmp_path / "run" / "manifests").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_no_such_device(corpus, tmp_path, error_of):
    message = error_of(train, corpus, tmp_path / "run", "--device", "cuda")
    assert (message.startswith(f"{RECIPE}: ") and "NVIDIA" in message) or "CUDA" in message


# --- while it runs ------------------------------------------------------------------------------------------


def test_divergence(corpus, tmp_path, error_of):
    message = error_of(train, corpus, tmp_path / "run", "--lr", "1e30", "--number_of_epochs", "2")
    assert message == (
        "training has diverged: 4 steps in a row were not finite, the last of epoch 1; start anew with a lower lr "
        "or more warmup_steps, in another --output_folder"
    )


def test_no_disk_space_for_a_checkpoint(corpus, tmp_path, error_of):
    """No file can grow beyond 50 kB: manifests and logs fit, the model does not. Then there is room again."""
    output = tmp_path / "run"
    assert train(corpus, output) == 0
    checkpoints = sorted(path.name for path in (output / "checkpoints").iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        message = error_of(train, corpus, output, "--number_of_epochs", "2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message == (
        f"no disk space left for a checkpoint in {output / 'checkpoints'}: the last complete one is kept; "
        "free some space and give the same command again to go on"
    )
    assert sorted(path.name for path in (output / "checkpoints").iterdir()) == checkpoints
    assert train(corpus, output, "--number_of_epochs", "2") == 0
    assert epochs(output)[-1].epoch == 2


# --- output folders -----------------------------------------------------------------------------------------


def test_output_folder_of_another_recipe(corpus, tmp_path, error_of):
    output = tmp_path / "run"
    assert train(corpus, output) == 0
    recipe = (output / "recipe.yaml").read_text()
    message = error_of(train, corpus, output, "--mixer", "attention", "--lr", "0.001")
    assert message == (
        f"{output} holds a run of another recipe (it differs in lr, mixer, mixers): give another "
        f"--output_folder (and --init_from {output} to begin with its weights), or remove that folder"
    )
    assert (output / "recipe.yaml").read_text() == recipe


def test_output_folder_with_other_files(corpus, tmp_path, error_of):
    (tmp_path / "thesis.txt").write_text("years of work")
    message = error_of(train, corpus, tmp_path)
    assert message == f"{tmp_path} holds other files than a run: give another --output_folder"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_a_kill_left_of_the_first_file_is_no_other_file(tmp_path):
    """Of a training, an evaluation and a comparison: the same command must begin again."""
    for name in (".lock", ".recipe.yaml.99.tmp"):
        (tmp_path / name).touch()
    check_is_run(tmp_path)
    check_output(tmp_path, tmp_path / "run")
    assert ComparisonRecord.read(tmp_path) is None


def test_output_folder_that_is_a_file(corpus, tmp_path, error_of):
    (tmp_path / "run").write_text("a file")
    assert str(tmp_path / "run") in error_of(train, corpus, tmp_path / "run")
