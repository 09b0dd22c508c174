"""The benchmark counts what it says: live tensors, the same with and without contents, and makes its table."""

import json
import shutil

import pytest
import torch

from benchmarks.memory import TensorWatch, arguments, main, markdown, measure
from mixers import ConvOnly
from tests.support.runs import ROOT

TINY = ["--set", "d_model=32", "heads=4", "d_ffn=64", "layers=2", "dropout=0.0", "--frames", "96"]


def test_watch_counts_what_is_alive_at_once():
    with TensorWatch() as watch:
        first = torch.zeros(1000)
        second = first + 1
        assert watch.taken == 8000
        view = second.view(10, 100)
        del first, second
        assert watch.taken == 4000
        view = view.double().sum()
    assert watch.most == 4000 + 8000 + view.element_size()
    assert watch.taken == 8


@pytest.mark.parametrize("part", ["mixer", "encoder"])
def test_counting_alone_gives_the_memory_of_a_real_step(part):
    options = ["hparams/conformer.yaml", "--part", part, "--mixers", "hypermixing", *TINY]
    counted = measure(arguments([*options, "--repeats", "0"]))
    real = measure(arguments([*options, "--repeats", "1"]))
    assert counted["peak_mb"] == pytest.approx(real["peak_mb"], rel=0.02, abs=0.1)
    assert real["step_s"] > 0 and "step_s" not in counted
    assert counted["parameters"] == real["parameters"] > 0


def test_multiply_adds_of_a_linear_mixer_do_not_depend_on_length():
    counts = []
    for frames in ("64", "128"):
        options = ["hparams/conformer.yaml", "--part", "mixer", "--mixers", "xnor", *TINY[:-1], frames]
        counts.append(measure(arguments([*options, "--repeats", "0"]))["multiply_adds_per_frame"])
    assert counts[0] == counts[1] > 4 * 32 * 32


def test_table(tmp_path, capsys):
    out = tmp_path / "figures.json"
    command = ["hparams/conformer.yaml", "--part", "mixer", "--mixers", "summarymixing", *TINY, "192"]
    assert main([*command, "--repeats", "0", "--out", str(out)]) == 0
    assert len(json.loads(out.read_text())["rows"]) == 2
    head, _, row = markdown(out).splitlines()
    assert "MB at 96 | MB at 192 | growth" in head
    assert row.startswith("| summarymixing |") and "2307.07421" in row and "2023" in row


class WithoutPaper(ConvOnly):
    paper = year = None


@pytest.mark.parametrize(
    "paper, cell",
    [
        (None, "–"),
        ("2307.07421", "[2307.07421](https://arxiv.org/abs/2307.07421)"),
        ("https://a.org/b", "[https://a.org/b](https://a.org/b)"),
    ],
)
def test_mixer_with_and_without_paper(paper, cell, tmp_path, monkeypatch):
    monkeypatch.setattr(WithoutPaper, "paper", paper)
    monkeypatch.setattr(WithoutPaper, "year", paper and 2023)
    recipes = tmp_path / "hparams"
    shutil.copytree(ROOT / "hparams", recipes)
    base = recipes / "conformer.yaml"
    line = f"  mine: !name:{__name__}.WithoutPaper"
    base.write_text(base.read_text().replace("\nmixers:\n", f"\nmixers:\n{line}\n"))
    row = measure(arguments([str(base), "--part", "mixer", "--mixers", "mine", *TINY, "--repeats", "0"]))
    out = tmp_path / "figures.json"
    out.write_text(json.dumps({"rows": [row]}))
    assert markdown(out).splitlines()[-1].endswith(f"| 0 | {cell} | {2023 if paper else '–'} |")


def test_problem_is_shown(capsys):
    assert main(["hparams/conformer.yaml", "--mixers", "nonsense", "--frames", "9", "--repeats", "0"]) == 1
    assert "nonsense" in capsys.readouterr().out.splitlines()[-1]
