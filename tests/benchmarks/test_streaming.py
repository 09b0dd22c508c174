"""The benchmark of streams: rows by context, and a past that is made up but as large as a real one."""

import json

import pytest
import torch
from torch.utils._pytree import tree_leaves

from benchmarks.streaming.command import main
from benchmarks.streaming.cost import Streamed
from benchmarks.streaming.table import errors, tables
from mixers import Context
from tests.support.runs import RECIPE, small_corpus, train


def test_errors_by_context(tmp_path, capsys):
    assert train(small_corpus(tmp_path / "corpus"), tmp_path / "run") == 0
    out = tmp_path / "streaming.json"
    command = ["errors", str(tmp_path / "run"), "--chunks", "2", "4", "--left_chunks", "1", "all", "--out", str(out)]
    command += ["--test_search", "null", "--device", "cpu", "--workers", "0"]
    assert main(command) == 0
    assert main(["cost", "--recipe", str(RECIPE), "--mixers", "local_only", "--repeats", "1", "--out", str(out)]) == 0
    assert main(command) == 0  # its rows take the place of the older ones
    written = json.loads(out.read_text())
    rows = written["errors"]
    contexts = [(row["chunk"], row["left_chunks"]) for row in rows]
    assert contexts == [(None, None), (2, 1), (2, None), (4, 1), (4, None)]
    assert all(row["wer"] == row["wer_greedy_ctc"] > 0 for row in rows)
    assert [row["minutes"] for row in written["cost"]] == [1, 60]
    capsys.readouterr()
    assert main(["table", str(out)]) == 0
    printed, _, costs = capsys.readouterr().out.partition("State and CPU time of a chunk:\n\n")
    assert printed.startswith(f"WER of {rows[0]['recipe']}, text by greedy CTC, test-clean:\n\n| chunk |")
    assert f"| 4 | all | {rows[-1]['wer']:.2f} |" in printed.splitlines()
    first = written["cost"][0]
    assert (
        f"| `local_only` | {first['state_bytes'] / 1e3:,.0f} kB | " in costs
        and f" {first['chunk_ms']:.1f} ms |" in costs
    )
    assert main(["cost", "--test_search", "null"]) == 2
    assert "cost takes no --test_search" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([1], "is no file of this benchmark: it has neither 'errors' nor 'cost'; --out makes one"),
        ({"runs": []}, "is no file of this benchmark: it has neither 'errors' nor 'cost'; --out makes one"),
        (
            {"errors": [{"recipe": "quickstart", "mixer": "xnor"}]},
            "has rows without 'search', as they once were: measure them again, with --out",
        ),
    ],
)
def test_files_of_another_kind(results, message, tmp_path, capsys):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    assert main(["table", str(file)]) == 2
    assert capsys.readouterr().err == f"error: {file} {message}\n"


def test_a_table_for_each_recipe_and_search_a_column_for_each_mixer():
    context = {"chunk": 8, "left_chunks": None, "split": "test-clean", "search": "BeamSearch", "recipe": "quickstart"}
    rows = [
        {**context, "mixer": "xnor", "seed": 1, "wer": 1.0},
        {**context, "mixer": "xnor", "seed": 2, "wer": 2.0},
        {**context, "mixer": "xnor", "seed": 1, "wer": 5.0, "split": "test-other"},
        {**context, "mixer": "other", "seed": 1, "wer": 7.0, "chunk": None},
    ]
    apart = [{**rows[0], "recipe": "context"}, {**rows[0], "search": "greedy CTC", "split": "dev-clean"}]
    assert errors(rows) == [
        {"chunk": "8", "left chunks": "all", "`xnor`": "1.50 ± 0.71 / 5.00", "`other`": "–"},
        {"chunk": "whole utterance", "left chunks": "", "`xnor`": "–", "`other`": "7.00"},
    ]
    titles = [line for line in tables({"errors": rows + apart}).splitlines() if line.endswith(":")]
    assert titles == [
        "WER of quickstart, text by BeamSearch, test-clean / test-other:",
        "WER of context, text by BeamSearch, test-clean:",
        "WER of quickstart, text by greedy CTC, dev-clean:",
    ]


@pytest.mark.parametrize("mixer", ["summarymixing", "attention"])
@torch.inference_mode()
def test_a_made_up_past_is_as_large_as_a_real_one(mixer):
    context, minutes = Context(4), 0.08
    stream = Streamed(RECIPE, mixer, context, [minutes])
    model, state = stream.model, stream.model.init_state(1, context)
    real = torch.randn(1, round(minutes * 60 * 16000) + model.features.latency_samples)
    _, state = model.step(real[:, : 120 * 640 + model.features.latency_samples], state)
    sizes = [tuple(leaf.shape) for leaf in tree_leaves(state.encoder.blocks)]
    assert sizes == [tuple(leaf.shape) for leaf in tree_leaves(stream.states[minutes].encoder.blocks)]
