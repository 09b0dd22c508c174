"""A benchmark's --out keeps what other calls measured, and writes over nothing of another kind."""

import importlib
import json

import pytest

from benchmarks.results_file import earlier_results, with_part
from recipes.errors import RecipeError

OTHER = {"settings": {}, "cells": []}


@pytest.mark.parametrize(
    ("benchmark", "arguments"),
    [
        ("memory.command", "hparams/quickstart.yaml"),
        ("speed.command", "--parts mixers"),
        ("search.command", "no-run"),
        ("inference.command", "no-run"),
        ("reliability.command", "--parts soak"),
        ("server", "no-run"),
        ("overfit", "no-corpus --mixers xnor"),
        ("timestamps", "no-run no-corpus"),
    ],
)
def test_results_of_another_benchmark_are_not_written_over(benchmark, arguments, tmp_path, capsys):
    file = tmp_path / "figures.json"
    file.write_text(json.dumps(OTHER))
    program = importlib.import_module(f"benchmarks.{benchmark}")
    assert program.main([*arguments.split(), "--out", str(file)]) == 2
    module = f"benchmarks.{benchmark.removesuffix('.command')}"
    assert capsys.readouterr() == (
        "",
        f"error: --out {file} holds something else than results of {module}: give another file\n",
    )
    assert json.loads(file.read_text()) == OTHER


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"command": "python -m benchmarks.memory_of", "rows": []}'])
def test_files_that_are_no_results(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    for path in (tmp_path / "a.json", tmp_path):
        with pytest.raises(RecipeError, match=r"holds something else than results of benchmarks\.memory"):
            earlier_results(path, "benchmarks.memory", ["command", "rows"])


def test_own_results_are_read_before():
    assert earlier_results(None, "benchmarks.memory", []) == {}


@pytest.mark.parametrize(
    "command", ["python -m benchmarks.memory hparams/a.yaml", "python benchmark.py hparams/a.yaml"]
)
def test_own_results_may_be_replaced(command, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"command": command, "rows": []}))
    assert earlier_results(tmp_path / "a.json", "benchmarks.memory", ["command", "rows"])["rows"] == []


def test_a_part_replaces_no_other_and_says_what_measured_it():
    head, later = ({"command": name, "machine": "m", "commit": name} for name in ("a", "b"))
    first = with_part(with_part({}, head, "kills", 1), head, "soak", 2)
    assert first == {**head, "kills": 1, "soak": 2}
    second = with_part(first, later, "soak", 3)
    assert second == {**later, "kills": 1, "soak": 3, "measured": {"kills": head}}
    assert with_part(second, later, "kills", 4) == {**later, "soak": 3, "kills": 4}
