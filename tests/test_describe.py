"""What `python -m recipes.describe` prints of a recipe."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mixers import SummaryMixing
from recipes.config import load
from recipes.cost import structure
from recipes.describe import describe
from recipes.describe.__main__ import main

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

    def write(mixer: str, name: str = "small", about: str = "") -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"base: {HPARAMS / 'quickstart.yaml'}\n{about}{SMALL}mixer: {mixer}\n")
        return path

    return write


def test_parameters_are_those_of_the_real_model(write):
    description = describe(write("summarymixing"))
    model = load(write("summarymixing"), {"data_folder": "unused"}).hparams["model"]
    parts = [model.frontend, model.encoder, model.decoder, model.ctc]
    sizes = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    assert description.parameters == sum(sizes) == description.encoder + description.decoder + description.heads
    assert description.encoder == sizes[0] + sizes[1]
    assert description.heads == 2 * (16 * 32 + 32)


@pytest.mark.parametrize(
    "mixer", ["summarymixing", "hypermixing", "xnor", "relpos_attention", "xnor+relpos_attention", "mamba"]
)
def test_multiply_adds_are_those_of_real_tensors(mixer, write):
    model = load(write(mixer), {"data_folder": "unused"}).hparams["model"].eval()
    # Of attention's kernels, the counter sees through the plain one alone.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        encoded = model.encoder(*model.frontend(torch.randn(1, 1000, 80), torch.tensor([1000])))
        model.ctc(encoded.frames)
    assert describe(write(mixer)).multiply_adds[10] == counter.get_total_flops() // 2


def test_layers_are_alike_whatever_their_numbers_but_not_with_another_setting():
    build = partial(SummaryMixing, 16, variant="windowed")
    assert structure(build(window=3)) == structure(build(window=3)) != structure(build(window=2))
    assert structure(SummaryMixing(16, heads=2)) != structure(SummaryMixing(16, heads=4))
    assert structure(nn.Sequential(nn.GELU())) != structure(nn.Sequential(nn.ReLU()))


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


ABOUT = """\
about:
  purpose: demo
  paper: a paper, arXiv 2307.07421
  published: 2.1 test-clean % WER
    (a paper, table 1)
  published_details: 7 hours
  ours: nothing
"""


def test_a_line_for_each_recipe(write, capsys):
    paths = [write("conv_only", "first", ABOUT), write("cosformer", "second")]
    names = [str(path) for path in paths]
    assert main(names) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "first" and second.split()[0] == "second"
    assert first.split()[1:3] == [f"{describe(paths[0]).parameters / 1e6:.2f}", "M"]
    assert first.endswith("published: 2.1 test-clean % WER (a paper, table 1)")
    assert "whole utterance" in second and "published: none" in second
    assert main([*names, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["recipe"], second["recipe"]) == ("first", "second")
    assert first["about"]["published_details"] == "7 hours" and first["about"]["ours"] == "nothing"
    assert second["streaming_state"] is None and second["multiply_adds"].keys() == {"10", "60"}
    assert set(second["about"].values()) == {""}, "the base's is not the recipe's"
    assert main([*names, "--markdown"]) == 0
    head, rule, *rows = capsys.readouterr().out.splitlines()
    assert {line.count("|") for line in (head, rule, *rows)} == {head.count("|")}
    assert rows[0].startswith("| `first` |") and rows[0].endswith("| nothing |")


def test_the_index_has_a_section_for_each_purpose(write, capsys):
    language_model = HPARAMS / "lm_quickstart.yaml"
    paths = [write("conv_only", "second"), language_model, write("conv_only", "first", ABOUT)]
    assert main([*map(str, paths), "--index"]) == 0
    text = capsys.readouterr().out
    sections = [section.partition("\n") for section in text.split("\n## ")[1:]]
    assert [title for title, *_ in sections] == [
        "The demo",
        "Language models",
        "Others",
        "To repeat a paper's experiment on LibriSpeech",
    ]
    demo, models, others, _ = (body for *_, body in sections)
    assert "| [`first`](first.yaml) |" in demo and "second" not in demo
    paper = "a paper, [2307.07421](https://arxiv.org/abs/2307.07421)"
    assert demo.endswith(f"\n- `first`: {paper}; also published: 7 hours.\n")
    assert "| [`lm_quickstart`](lm_quickstart.yaml) | 2 | 128 | 32 | 0.42 M |" in models
    assert "| [`second`](second.yaml) |" in others


def test_files_that_are_no_recipes_of_recognisers(write, tmp_path, capsys):
    language_model, small = str(HPARAMS / "lm_quickstart.yaml"), str(write("conv_only"))
    assert main([language_model, small]) == 0
    output = capsys.readouterr()
    assert output.err == f"{language_model}: left out, a language model; --index has it\n"
    assert output.out.startswith("small ") and len(output.out.splitlines()) == 1
    assert main([language_model]) == 2
    assert "error: none of these is a recipe of a recogniser" in capsys.readouterr().err
    notes = tmp_path / "notes.yaml"
    notes.write_text("words: 1\n")
    assert main([str(notes), small]) == 2
    assert capsys.readouterr().err == f"error: {notes} has neither a model nor a language_model: give a recipe\n"
    assert main([str(tmp_path / "smal.yaml")]) == 2
    missing = f"error: there is no recipe '{tmp_path / 'smal.yaml'}'; did you mean 'small'?"
    assert capsys.readouterr().err.startswith(missing)


def test_a_key_that_about_does_not_have(write, capsys):
    path = write("conv_only", about="about: {published_detail: 7 hours}\n")
    assert main([str(path)]) == 2
    message = "no such key 'about.published_detail'; did you mean 'about.published_details'?"
    assert capsys.readouterr().err == f"error: {path}: {message}\n"


def test_keys_describe_another_model(write, capsys):
    path = write("conv_only", about=ABOUT)
    assert main([str(path), "--mixer", "xnor", "--layers", "3"]) == 0
    line = capsys.readouterr().out
    other = describe(path, {"mixer": "xnor", "layers": 3})
    assert "Conformer, xnor" in line and f"{other.parameters / 1e6:.2f} M" in line
    assert other.parameters > describe(path).parameters
    assert line.rstrip().endswith("published: none"), "the recipe's figure is of its own model"


def test_features_of_another_size(write):
    path, parts = write("conv_only"), ("features", "normalize", "frontend")
    narrow = describe(path, {f"model.{part}.n_mels": 40 for part in parts})
    assert narrow.multiply_adds[10] < describe(path).multiply_adds[10]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no recipe given; usage: python -m recipes.describe hparams/NAME.yaml"),
        (["RECIPE", "--mixr", "xnor"], "command line: no such key 'mixr'; did you mean 'mixer'?"),
        (["RECIPE", "--json", "--markdown"], "give one of --json and --markdown"),
        (["RECIPE", "--index", "--layers", "3"], "--index describes recipes as they are: leave out --layers"),
    ],
)
def test_wrong_commands(options, message, write, capsys):
    path = str(write("conv_only"))
    assert main([path if option == "RECIPE" else option for option in options]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
