"""The benchmark of the searches: whose sentences are better, and its figures, for a run and for synthetic sentences."""

import json
import re

import pytest
import torch

from benchmarks.cores import main as time_cores
from benchmarks.search.command import main
from benchmarks.search.measure import STOCK, compare
from benchmarks.search.tasks import synthetic
from data_prep.tokenizer import END
from recipes.decoding import BeamSearch, Hypothesis, greedy_ctc
from recipes.models import Encoded
from recipes.stock.search import SearchTask, run_stock, stock_search
from tests.support.runs import small_corpus, train
from tests.support.search_tasks import random_task


def test_comparison_counts_the_better_sentences():
    task, rows, frames = random_task(), slice(3, 8), 12
    few = SearchTask(
        task.decoder,
        Encoded(task.encoded.frames[rows, :frames], task.encoded.lengths[rows]),
        task.ctc_log_probs[rows, :frames],
    )

    class AsStock(BeamSearch):
        def __call__(self, *arguments):
            return [[best] for best in run_stock(stock_search(few, self, partial=False), few.encoded)]

    class Careless(BeamSearch):
        def __call__(self, *arguments):
            return [[Hypothesis([3], 0.0)] for _ in few.encoded.lengths]

    ours, same, worse = (compare([few], kind(beam=4))["stock_full"] for kind in (BeamSearch, AsStock, Careless))
    assert same == {"same": 5, "ours_higher": 0, "stock_higher": 0, "largest_deficit": 0.0}
    assert ours["ours_higher"] > 0 == ours["stock_higher"] and ours["largest_deficit"] == 0
    assert ours["same"] + ours["ours_higher"] == 5
    assert worse["stock_higher"] > 0 and worse["largest_deficit"] > 0.1
    assert worse["same"] + worse["ours_higher"] + worse["stock_higher"] == 5


def test_synthetic_sentences_are_found():
    """Not by SpeechBrain with partial scoring: it stops at as many ended sentences as the beam is wide, too early."""
    task, search = synthetic(1, 40, vocab_size=50, d_model=64, heads=2, layers=1, d_ffn=32), BeamSearch(beam=5)
    (spelled,) = greedy_ctc(task.ctc_log_probs, task.encoded.lengths)
    assert len(spelled) == 5 and END not in spelled
    assert search(task.decoder, task.encoded, task.ctc_log_probs)[0][0].tokens == spelled
    assert run_stock(stock_search(task, search, partial=False), task.encoded)[0].tokens == spelled


def test_benchmark_of_a_run(tmp_path, capsys):
    assert train(small_corpus(tmp_path / "data"), tmp_path / "run") == 0
    options = [
        "--utterances",
        "2",
        "--compare_beam",
        "2",
        "--beams",
        "2",
        "--batches",
        "2",
        "--repeats",
        "1",
        "--frames",
        "8",
    ]
    assert main([str(tmp_path / "run"), *options, "--seconds", "1", "--out", str(tmp_path / "o.json")]) == 0
    figures = json.loads((tmp_path / "o.json").read_text())
    assert figures["set"] == "test-clean" and figures["utterances"] == 2
    for name in STOCK:
        assert sum(figures["joint_scores"][name][key] for key in ("same", "ours_higher", "stock_higher")) == 2
    run, *small = figures["rows"]
    assert run["model"] == "run" and {row["model"] for row in small} == {"small"}
    for row in figures["rows"]:
        for name, ratio in row["times_ours"].items():
            assert ratio == pytest.approx(row["seconds"][name] / row["seconds"]["ours"], rel=0.05, abs=0.06)
            assert row["steps"][name] > 0 and row["steps"]["ours"] > 0
    table = capsys.readouterr().out.splitlines()[-len(figures["rows"]) :]
    assert table[0].split()[:5] == ["run", str(run["frames"]), "1", "2", "2"]
    threads = torch.get_num_threads()
    options = ["--rounds", "1", "--cores", "2", "--noprogressbar", "--test_batch_seconds", "2", "--workers", "0"]
    assert time_cores([str(tmp_path / "run"), *options]) == 0
    torch.set_num_threads(threads)
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        r"test-clean, 3 utterances in \d batches: one process of one thread .* s; .*2 processes .*", line
    )


@pytest.mark.parametrize(
    "files, options, message",
    [
        ([], [], "{run} has no recipe.yaml: give the folder of a run that was trained and tested"),
        (
            ["recipe.yaml"],
            [],
            "{run} has no averaged.ckpt: give the folder of a run that was trained and tested",
        ),
        (
            ["recipe.yaml", "averaged.ckpt"],
            [],
            "{run} has no manifests/test*.csv: give the folder of a run that was tested",
        ),
        ([], ["--beams", "4", "0"], "--beams must be 1 or more"),
    ],
    ids=["no run", "not trained", "not tested", "no beam"],
)
def test_benchmark_errors(tmp_path, capsys, files, options, message):
    for name in files:
        (tmp_path / name).touch()
    assert main([str(tmp_path), *options]) == 2
    assert capsys.readouterr().err == f"error: {message.format(run=tmp_path)}\n"
