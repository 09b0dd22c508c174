"""The memory benchmark: live tensors are counted, with and without contents, and the table shows every mixer."""

import json
import resource
import shutil
import sys

import pytest
import torch

import mixers
from benchmarks.memory.command import arguments, main
from benchmarks.memory.measure import measure
from benchmarks.memory.table import markdown
from data_prep.errors import DataError
from recipes.cost import TensorWatch
from tests.support.runs import ROOT

TINY = ["--set", "d_model=32", "heads=4", "d_ffn=64", "layers=2", "dropout=0.0", "--frames", "96"]


@pytest.fixture(autouse=True)
def own_memory_limit():
    """The benchmark limits the memory of its process, which is the tests' own here: browsers need more."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


def test_watch_counts_what_is_alive_at_once():
    with TensorWatch() as watch:
        first = torch.zeros(1000)
        second = first + 1
        assert watch.current == 8000
        view = second.view(10, 100)
        del first, second
        assert watch.current == 4000
        view = view.double().sum()
    assert watch.peak == 4000 + 8000 + view.element_size()
    assert watch.current == 8


@pytest.mark.parametrize("part", ["mixer", "encoder"])
def test_counting_alone_gives_the_memory_of_a_real_step(part):
    options = ["hparams/conformer.yaml", "--part", part, "--mixers", "hypermixing", *TINY]
    counted = measure(arguments([*options, "--repeats", "0"]))
    real = measure(arguments([*options, "--repeats", "1"]))
    assert counted["peak_mb"] == pytest.approx(real["peak_mb"], rel=0.02, abs=0.1)
    assert real["step_s"] > 0 and "step_s" not in counted
    assert counted["parameters"] == real["parameters"] > 0


def test_blocks_that_are_computed_again_take_less():
    options = ["hparams/conformer.yaml", *TINY, "--repeats", "0"]
    kept, again = (
        measure(arguments([*options, "--set", *TINY[1:6], f"checkpoint_blocks={flag}"])) for flag in ("false", "true")
    )
    assert again["peak_mb"] < 0.8 * kept["peak_mb"]


def test_what_would_have_no_effect_is_refused(capsys):
    assert main(["hparams/conformer.yaml", "--batch", "4"]) == 2
    assert capsys.readouterr().err == "error: --batch is for --part model, and --part encoder has one utterance\n"
    with pytest.raises(DataError, match="measures one mixer, not summarymixing1"):
        measure(arguments(["hparams/conformer.yaml", "--part", "mixer", "--mixers", "summarymixing+attention", *TINY]))


def test_multiply_adds_of_a_linear_mixer_do_not_depend_on_length():
    counts = []
    for frames in ("64", "128"):
        options = ["hparams/conformer.yaml", "--part", "mixer", "--mixers", "xnor", *TINY[:-1], frames]
        counts.append(measure(arguments([*options, "--repeats", "0"]))["multiply_adds_per_frame"])
    assert counts[0] == counts[1] > 4 * 32 * 32


def test_figures_are_written_and_become_a_table(tmp_path):
    out = tmp_path / "new" / "figures.json"
    command = ["hparams/conformer.yaml", "--part", "mixer", "--mixers", "summarymixing", *TINY]
    assert main([*command, "--repeats", "0", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    twice = {**row, "frames": 192, "peak_mb": 2 * row["peak_mb"]}
    too_long = {"recipe": row["recipe"], "mixer": row["mixer"], "frames": 384, "problem": "does not fit"}
    out.write_text(json.dumps({"rows": [row, twice, too_long]}))
    head, _, line = markdown(out).splitlines()
    assert "MB at 96 | MB at 192 | MB at 384 | growth" in head
    assert line.startswith("| summarymixing |") and "| does not fit | 2.00 |" in line
    assert line.endswith(" | [2307.07421](https://arxiv.org/abs/2307.07421) | 2023 |")


@pytest.mark.parametrize(
    "paper, cell",
    [
        (None, "–"),
        ("2307.07421", "[2307.07421](https://arxiv.org/abs/2307.07421)"),
        ("https://a.org/b", "[https://a.org/b](https://a.org/b)"),
    ],
)
def test_mixer_with_and_without_paper(paper, cell, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from mixers import ConvOnly\n\n\n"
        f"class Mine(ConvOnly):\n    paper, year = {paper!r}, {2023 if paper else None}\n"
    )
    monkeypatch.setattr(mixers, "__path__", [*mixers.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mixers.mine", raising=False)
    recipes = tmp_path / "hparams"
    shutil.copytree(ROOT / "hparams", recipes)
    base = recipes / "conformer.yaml"
    line = "  mine: !name:mixers.mine.Mine"
    base.write_text(base.read_text().replace("\nmixers:\n", f"\nmixers:\n{line}\n"))
    row = measure(arguments([str(base), "--part", "mixer", "--mixers", "mine", *TINY, "--repeats", "0"]))
    out = tmp_path / "figures.json"
    out.write_text(json.dumps({"rows": [row]}))
    assert markdown(out).splitlines()[-1].endswith(f"| 0 | {cell} | {2023 if paper else '–'} |")


def test_problem_is_shown(capsys):
    assert main(["hparams/conformer.yaml", "--mixers", "nonsense", "--frames", "9", "--repeats", "0"]) == 2
    shown = capsys.readouterr()
    assert "nonsense" in shown.out.splitlines()[-1]
    assert shown.err == "error: 1 of 1 could not be measured, for the reason at the end of the line\n"


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"], ids=["missing", "cut", "list", "empty"])
def test_other_files_are_a_single_line(content, tmp_path, capsys):
    path = tmp_path / "figures.json"
    if content is not None:
        path.write_text(content)
    assert main(["--table", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path} is no results file of benchmarks.memory (") and error.count("\n") == 1


def test_mistakes_are_a_single_line(capsys):
    assert main(["--mixers", "xnor"]) == 2
    assert capsys.readouterr() == ("", "error: no recipe given: hparams/X.yaml …, or --table FILE\n")
    assert main(["hparams/conformer.yaml", "--part", "model", "--repeats", "0"]) == 2
    assert capsys.readouterr().err == "error: --part model can only be run: give --repeats 1 or more\n"
