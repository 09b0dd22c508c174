"""What `python -m recipes.describe` says of a recipe."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from recipes.config.recipe import load
from recipes.describe import describe, main

HPARAMS = Path(__file__).parents[1] / "hparams"
SMALL = """\
d_model: 16
heads: 2
layers: 2
d_ffn: 32
decoder_layers: 1
"""


@pytest.fixture
def write(tmp_path):
    """Write a small recipe with this mixer; returns its path."""

    def write(mixer: str, name: str = "small", head: str = "") -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"{head}base: {HPARAMS / 'quickstart.yaml'}\n{SMALL}mixer: {mixer}\n")
        return path

    return write


def test_parameters_are_those_of_the_real_model(write):
    found = describe(write("summarymixing"))
    model = load(write("summarymixing"), {"data_folder": "unused"}).hparams["model"]
    parts = [model.frontend, model.encoder, model.decoder, model.ctc]
    sizes = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    assert found.parameters == sum(sizes) == found.encoder + found.decoder + found.heads
    assert found.encoder == sizes[0] + sizes[1]
    assert found.heads == 2 * (16 * 32 + 32)


@pytest.mark.parametrize("mixer", ["summarymixing", "hypermixing", "xnor", "relpos_attention", "mamba"])
def test_multiply_adds_are_those_of_real_tensors(mixer, write):
    model = load(write(mixer), {"data_folder": "unused"}).hparams["model"].eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoded = model.encoder(*model.frontend(torch.randn(1, 1000, 80), torch.tensor([1000])))
        model.ctc(encoded.frames)
    assert describe(write(mixer)).multiply_adds[10] == counter.get_total_flops() // 2


def test_work_grows_with_the_square_of_the_length_in_attention_alone(write):
    linear, attention = (describe(write(mixer)).multiply_adds for mixer in ("summarymixing", "attention"))
    assert linear[60] == pytest.approx(6 * linear[10], rel=0.001)
    # Scores and weighted values of 2 layers of 16, by 40 ms: 2 * 2 * 16 * frames^2.
    assert attention[60] - 6 * attention[10] == 2 * 2 * 16 * (1500**2 - 6 * 250**2)


STATES = {
    "summarymixing": 2 * (16 + 1) * 1,
    "attention": 2 * 2 * 1500 * 16,
    "cosformer": None,
    "summarymixing+attention": (16 + 1) + 2 * 1500 * 16,
    "attention+cosformer": None,
}


@pytest.mark.parametrize(("mixer", "state"), STATES.items(), ids=STATES)
def test_streaming_state_after_a_minute(mixer, state, write):
    assert describe(write(mixer)).streaming_state == state


HEAD = """\
# Two lines
# Published: 2.1 test-clean %
# WER (a paper, table 1); 7 hours.
# Run: this
# Ours: nothing.
"""


def test_a_line_for_each_recipe(write, capsys):
    paths = [write("conv_only", "first", HEAD), write("cosformer", "second")]
    assert main([str(path) for path in paths]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "first" and second.split()[0] == "second"
    assert first.split()[1:3] == [f"{describe(paths[0]).parameters / 1e6:.2f}", "M"]
    assert first.endswith("published: 2.1 test-clean % WER (a paper, table 1)")
    assert "whole utterance" in second and "published: none" in second
    assert main([str(path) for path in paths] + ["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["recipe"] for one in found] == ["first", "second"]
    assert found[0]["published_details"] == "7 hours" and found[0]["run_by_us"] == "nothing"
    assert found[1]["streaming_state"] is None and found[1]["multiply_adds"].keys() == {"10", "60"}
    assert main([str(path) for path in paths] + ["--markdown"]) == 0
    head, rule, *rows = capsys.readouterr().out.splitlines()
    assert {line.count("|") for line in (head, rule, *rows)} == {head.count("|")}
    assert rows[0].startswith("| `first` |") and rows[0].endswith("| nothing |")


def test_files_that_are_no_recipes(write, tmp_path, capsys):
    (tmp_path / "notes.yaml").write_text("words: 1\n")
    assert main([str(tmp_path / "notes.yaml"), str(write("conv_only"))]) == 0
    said = capsys.readouterr()
    assert said.err == f"{tmp_path / 'notes.yaml'}: left out, for it has no key 'model'\n"
    assert said.out.startswith("small ") and len(said.out.splitlines()) == 1
    assert main([str(tmp_path / "notes.yaml")]) == 2
    assert "error: none of these files is a recipe" in capsys.readouterr().err
    assert main([str(tmp_path / "smal.yaml")]) == 2
    missing = f"error: there is no recipe '{tmp_path / 'smal.yaml'}'; did you mean 'small'?"
    assert capsys.readouterr().err.startswith(missing)
