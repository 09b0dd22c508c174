"""Training that begins with other weights: what is loaded, what is kept, and that resuming does not begin again."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from data_prep.files import checksum
from recipes.asr.model_settings import settings
from recipes.asr.saved_run import SavedRun
from recipes.asr.transfer import freeze
from recipes.config.content import recipe_content
from recipes.errors import RecipeError
from recipes.stock.convert import main as convert
from recipes.training.part_names import parts_of
from recipes.training.run_data import RunData
from tests.support.runs import epochs, initial_model, same_weights, small_corpus, train, weights
from tests.support.stock_models import Stock
from train import main


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def source(corpus, tmp_path_factory) -> Path:
    """An attention run of two layers."""
    output = tmp_path_factory.mktemp("source") / "run"
    assert train(corpus, output, "--mixer", "attention") == 0
    return output


def shown(capsys, *names: str) -> list[str]:
    """The lines on the screen that begin so."""
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(names)]


THREE = ("loaded from", "new, drawn at random", "left in")


def test_without_training_the_model_is_the_source(corpus, source, tmp_path, capsys):
    lr = ["--lr", "1e-30", "--mixer", "attention", "--opt_class.weight_decay", "0.0"]
    assert train(corpus, tmp_path / "run", "--init_from", str(source), *lr) == 0
    ours, theirs = weights(tmp_path / "run"), weights(source)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    lines = shown(capsys, *THREE)
    assert lines[0].startswith(f"loaded from {source} (weights ")
    assert lines[0].endswith("numbers: normalize, frontend, encoder, decoder, ctc")
    assert lines[1:] == ["new, drawn at random: nothing", f"left in {source}: nothing"]
    assert RunData.read(tmp_path / "run").tokenizer == RunData.read(source).tokenizer


def test_mixers_may_differ(corpus, source, tmp_path, capsys):
    swapped = ["--mixer", "[attention, summarymixing]", "--init_from", str(source)]
    assert train(corpus, tmp_path / "run", *swapped) == 0
    lines = shown(capsys, *THREE)
    assert lines[1] == "new, drawn at random: encoder.blocks.1.mixer"
    assert lines[2] == f"left in {source}: encoder.blocks.1.mixer"
    record = json.loads((tmp_path / "run" / "init_from.json").read_text())
    assert (record["from"], record["new"]) == (str(source), ["encoder.blocks.1.mixer"])
    assert "encoder.blocks.0" in record["loaded"]


def test_settings_that_weights_do_not_show_are_named(corpus, source, tmp_path, capsys):
    options = ["--init_from", str(source), "--mixer", "attention", "--heads", "1", "--model.features.range_db", "60"]
    assert train(corpus, tmp_path / "run", *options, "--dropout", "0.1") == 0
    (line,) = shown(capsys, "warning: the weights compute")
    heads = settings(recipe_content((source / "recipe.yaml").read_text()))["heads"]
    assert f"here: heads {heads} there, 1 here; model.features" in line and "range_db unset there, 60 here" in line


def test_weights_that_are_tied_here_alone_are_refused(corpus, tmp_path, capsys):
    assert train(corpus, tmp_path / "source", "--mixer", "hypermixing", "--mixers.hypermixing.tied", "false") == 0
    options = ["--mixer", "hypermixing", "--mixers.hypermixing.tied", "true", "--init_from", str(tmp_path / "source")]
    assert train(corpus, tmp_path / "run", *options) == 2
    error = capsys.readouterr().err
    assert "are one weight in this recipe and two in" in error and error.count("\n") == 1


def test_frozen_parts_stay_and_the_rest_learns_also_after_a_stop(corpus, source, tmp_path, capsys):
    run, options = tmp_path / "run", ["--mixer", "attention", "--init_from", str(source)]
    options += ["--freeze", "frontend encoder.blocks.0-1"]
    assert train(corpus, run, *options) == 0
    (line,) = shown(capsys, "kept as they are")
    assert line.startswith("kept as they are: frontend, encoder.blocks (0.0")
    moved_away = source.parent / "elsewhere"
    source.rename(moved_away)  # a run that goes on needs it no more
    try:
        assert train(corpus, run, *options, "--number_of_epochs", "2") == 0
    finally:
        moved_away.rename(source)
    assert not shown(capsys, "loaded from")
    ours, theirs = weights(run), weights(source)
    same = {name for name in ours if torch.equal(ours[name], theirs[name])}
    names = [name for name, _ in initial_model(run).named_parameters()]
    assert {name for name in names if name in same} == {
        name for name in names if name.startswith(("frontend.", "encoder.blocks."))
    }
    assert len(epochs(run)) == 2


def test_a_resumed_run_is_the_unbroken_one(corpus, source, tmp_path, capsys):
    options = ["--mixer", "attention", "--init_from", str(source), "--freeze", "encoder.blocks.0"]
    options += ["--number_of_epochs", "2", "--average_checkpoints", "2"]
    assert train(corpus, tmp_path / "unbroken", *options) == 0
    shutil.copytree(tmp_path / "unbroken", tmp_path / "broken")
    shutil.rmtree(max((tmp_path / "broken" / "checkpoints").glob("CKPT*")))  # of the second epoch
    capsys.readouterr()
    assert train(corpus, tmp_path / "broken", *options) == 0
    assert not shown(capsys, "loaded from")
    assert same_weights(tmp_path / "broken", tmp_path / "unbroken")


def test_a_new_tokenizer_has_new_heads(corpus, source, tmp_path, capsys):
    options = ["--mixer", "attention", "--init_from", str(source), "--new_tokenizer", "--token_type", "bpe"]
    assert train(corpus, tmp_path / "run", *options, "--vocab_size", "40") == 0
    lines = shown(capsys, *THREE)
    assert lines[1] == "new, drawn at random: decoder.embedding, decoder.out, ctc"
    assert RunData.read(tmp_path / "run").tokenizer != RunData.read(source).tokenizer


def test_a_release_is_a_source_too(corpus, source, tmp_path, capsys):
    from recipes.inference.release.__main__ import main as release  # which loads much

    assert release([str(source), str(tmp_path / "release")]) == 0
    options = ["--mixer", "attention", "--init_from", str(tmp_path / "release")]
    assert train(corpus, tmp_path / "run", *options) == 0
    lines = shown(capsys, *THREE)
    assert lines[0].startswith(f"loaded from {tmp_path / 'release'} (weights of the release)")
    assert lines[1] == "new, drawn at random: nothing"
    (tmp_path / "release" / "model.safetensors").write_bytes(b"")
    assert train(corpus, tmp_path / "other", *options) == 2
    assert "model.safetensors is damaged, or not the one that was released: copy it again" in capsys.readouterr().err


def test_what_began_with_other_weights_is_released_with_their_name_and_trains_again(
    corpus, source, tmp_path, monkeypatch
):
    from recipes.inference.release.__main__ import main as release

    options = ["--mixer", "attention", "--init_from", str(source), "--new_tokenizer", "--freeze", "encoder.blocks.0"]
    assert train(corpus, tmp_path / "run", *options) == 0
    out = tmp_path / "release"
    assert release([str(tmp_path / "run"), str(out)]) == 0
    began, recipe = json.loads((out / "release.json").read_text())["began_with"], SavedRun(source, {}).recipe
    assert (began["recipe"], began["recipe_hash"]) == (recipe.name, recipe.hash)
    assert "ctc" in began["new"] and "encoder" in began["loaded"]
    assert f"(hash {recipe.hash})" in (out / "README.md").read_text()
    assert str(source) not in (out / "README.md").read_text() + (out / "release.json").read_text()
    (out / "manifests").mkdir()  # as an evaluation leaves them
    before = sorted(out.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert main([str(out / "recipe.yaml"), "--data_folder", str(corpus), "--device", "cpu", "--noprogressbar"]) == 0
    assert list(tmp_path.glob("runs/*/attention/*/summary.json")) and sorted(out.rglob("*")) == before


WRONG = {
    "part": (
        ["--init_from", "{source}", "--freeze", "encoder.block.0"],
        "the model has no part 'encoder.block.0' with parameters; did you mean 'encoder.blocks.0'?",
    ),
    "all": (["--init_from", "{source}", "--freeze", "frontend encoder decoder ctc"], "freeze: nothing would be left"),
    "random": (
        ["--init_from", "{source}", "--freeze", "encoder.blocks", "--mixer", "summarymixing"],
        "freeze: encoder.blocks.0-1.mixer is new, and would stay random",
    ),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_one_line_before_anything_is_read_or_written(corpus, source, tmp_path, capsys, options, message):
    options = ["--mixer", "attention", *(option.format(source=source) for option in options)]
    assert train(corpus, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1
    assert not (tmp_path / "out").exists(), "a large corpus takes minutes to prepare"


def test_text_that_the_tokenizer_cannot_spell(corpus, source, tmp_path, capsys):
    options = ["--mixer", "attention", "--init_from", str(source), "--text_normalizer", "basic"]
    assert train(corpus, tmp_path / "run", *options) == 2
    shown = capsys.readouterr()
    assert "note on train-clean-5: 24 of 24 utterances" in shown.out
    assert "error: init_from: its tokenizer has no a b " in shown.err
    assert "and cannot spell 24 of 24 utterances (all in " in shown.err
    assert shown.err.endswith(": give --text_normalizer upper or --new_tokenizer\n")
    assert train(corpus, tmp_path / "run", *options[:-1], "upper") == 0


def test_a_converted_model_of_speechbrain_is_a_source(corpus, tmp_path, capsys):
    stock = Stock("conformer", "RoPEMHA")
    folder, ours = stock.save(tmp_path / "stock", hyperparams=True), tmp_path / "ours"
    assert convert([str(folder), "--recipe", str(stock.recipe(tmp_path)), str(ours)]) == 0
    capsys.readouterr()
    options = ["--data_folder", str(corpus), "--output_folder", str(tmp_path / "run"), "--init_from", str(ours)]
    options += "--number_of_epochs 1 --workers 0 --noprogressbar --batch_seconds 4 --test_search null".split()
    assert main([str(ours / "recipe.yaml"), "--device", "cpu", *options]) == 0
    assert shown(capsys, *THREE)[1:] == ["new, drawn at random: nothing", f"left in {ours}: nothing"]
    assert RunData.read(tmp_path / "run").tokenizer == checksum(ours / "tokenizer" / "tokenizer.model")


def test_a_folder_of_speechbrain_is_to_be_converted(corpus, tmp_path, capsys):
    (tmp_path / "stock").mkdir()
    (tmp_path / "stock" / "asr.ckpt").touch()
    assert train(corpus, tmp_path / "out", "--init_from", str(tmp_path / "stock")) == 2
    assert f"turn it into a run first, python -m recipes.stock {tmp_path / 'stock'} --recipe" in capsys.readouterr().err


def test_a_tied_weight_is_frozen_under_all_of_its_names_or_none():
    model = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2, bias=False) for name in ("first", "second", "third")})
    model["second"].weight = model["first"].weight
    with pytest.raises(RecipeError, match=r"^freeze: second.weight and first.weight are one weight: freeze both or"):
        freeze(model, "second")
    assert freeze(model, ["first", "second"]) == "kept as they are: first, second (0.00 M parameters)"
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, True]


def test_parts_are_written_short():
    names = [f"encoder.blocks.{number}.{part}" for number in range(4) for part in ("mixer.q", "mixer.k", "ffn.up")]
    names += ["ctc.weight", "ctc.bias"]
    mixers = [name for name in names if ".mixer." in name and "blocks.3" not in name]
    assert parts_of([*mixers, "ctc.bias"], names) == ["encoder.blocks.0-2.mixer", "ctc.bias"]
    assert parts_of(names, names) == ["encoder", "ctc"]
    assert parts_of([], names) == []
