"""What a comparison computes of its runs: means, spreads, intervals, significance, costs, and its budget in words."""

import statistics
from dataclasses import replace

import numpy as np
import pytest

from recipes.bakeoff import ComparisonRecord, write_results
from recipes.bakeoff.figures import learning_curve
from recipes.scoring.significance import bootstrap_interval, holm, matched_pairs, paired_bootstrap
from tests.bakeoff.conftest import SEEDS, UTTERANCES, drawn, results_of
from tests.support.bakeoff_folders import WORDS, log_epoch, write_comparison, write_run


def errors_of(name: str) -> np.ndarray:
    """[seeds, utterances]."""
    return np.array([drawn(name, seed) for seed in SEEDS])


def test_mean_spread_and_interval(folder):
    comparison, _ = results_of(folder)
    errors = errors_of("good")
    rates = [100 * sum(run) / (UTTERANCES * WORDS) for run in errors]
    mixer = comparison.mixers["good"]
    result = mixer.splits["test-clean"]
    assert result.mean == pytest.approx(statistics.mean(rates), abs=1e-3)
    assert result.spread == pytest.approx(statistics.stdev(rates), abs=1e-3)
    low, high = bootstrap_interval(errors, np.full(UTTERANCES, WORDS))
    assert result.interval == (round(low, 3), round(high, 3))
    assert low < result.mean < high
    assert (mixer.train_seconds, mixer.peak_memory_mb, mixer.rtf) == (62.0, 503.0, 0.25)
    assert (mixer.valid_wer, mixer.steps) == (27.0, [200])


def test_significance_is_corrected_over_the_mixers_of_a_split(folder):
    comparison, _ = results_of(folder)
    words, good = np.full(UTTERANCES, WORDS), errors_of("good")
    raw = [
        (matched_pairs(errors, good), paired_bootstrap(errors, good, words, samples=10_000))
        for errors in (errors_of("same"), errors_of("bad"))
    ]
    for test, values in zip(("p", "p_bootstrap"), zip(*raw, strict=True), strict=True):
        same, bad = (getattr(comparison.mixers[name].splits["test-clean"], test) for name in ("same", "bad"))
        assert [same, bad] == pytest.approx(holm(values), rel=0.01)
        assert same > 0.05 and bad < 0.01
    assert comparison.mixers["good"].splits["test-clean"].p is None
    pairs = {test.mixers: test for test in comparison.pairs["test-clean"]}
    assert pairs.keys() == {("good", "same"), ("good", "bad"), ("same", "bad")}
    assert pairs["same", "bad"].p < 0.01 < pairs["good", "same"].p


def test_another_baseline(folder):
    comparison, _ = results_of(folder, "bad")
    p = {name: mixer.splits["test-clean"].p for name, mixer in comparison.mixers.items()}
    assert p["bad"] is None and p["good"] < 0.01 and p["same"] < 0.01


def test_baseline_without_a_run(folder):
    record = ComparisonRecord.read(folder)
    record.mixers["none"] = replace(record.mixers["bad"], seeds=[1])
    comparison, _ = write_results(folder, record, "none")
    assert comparison.mixers["none"].splits == {} and comparison.mixers["none"].peak_memory_mb is None
    assert {mixer.splits["test-clean"].p for name, mixer in comparison.mixers.items() if name != "none"} == {None}


def test_speakers_whose_utterances_are_alike_widen_the_interval(tmp_path):
    """A quarter of the speakers makes all the errors."""
    write_comparison(tmp_path, ("good",), (1,))
    write_run(tmp_path, "good", 1, {"test-clean": [WORDS * (number % 4 == 0) for number in range(80)]})
    comparison, _ = results_of(tmp_path)
    result = comparison.mixers["good"].splits["test-clean"]
    width, width_by_speakers = (high - low for low, high in (result.interval, result.interval_speakers))
    assert result.speakers == 4 and width_by_speakers > 1.5 * width


def test_a_split_of_a_single_utterance_has_neither_interval_nor_test(tmp_path):
    write_comparison(tmp_path, ("good", "bad"), (1,))
    for name in ("good", "bad"):
        write_run(tmp_path, name, 1, {"test-clean": [1]})
    comparison, _ = results_of(tmp_path)
    assert comparison.mixers["good"].splits["test-clean"].interval is None
    assert comparison.mixers["bad"].splits["test-clean"].p is None
    assert comparison.pairs == {"test-clean": []}


BUDGETS = {
    "steps": ({}, "Same data, 2 epochs and 200 steps a run."),
    "seconds": (
        {"seconds": 60.0},
        "Same data, about 60 seconds of training a run; steps by timing runs: good 200, bad 200.",
    ),
    "parameters": (
        {"match_parameters": "good"},
        (
            "Same data, 2 epochs and 200 steps a run; feed-forward layers sized so that each has "
            "the parameters of good within 0.5 %."
        ),
    ),
}


@pytest.mark.parametrize("budget", BUDGETS)
def test_budget_in_words(tmp_path, budget):
    changes, text = BUDGETS[budget]
    write_comparison(tmp_path, ("good", "bad"), (1,), **changes)
    for name in ("good", "bad"):
        write_run(tmp_path, name, 1, {"test-clean": drawn(name, 1)})
    assert results_of(tmp_path)[0].budget == text


def test_seeds_of_unequal_steps(tmp_path):
    """As batches of drawn lengths give. The curve is over epochs, and the budget names the range."""
    write_comparison(tmp_path, ("good",), (1, 2))
    for seed, steps in ((1, 210), (2, 220)):
        run = write_run(tmp_path, "good", seed, {"test-clean": drawn("good", seed)})
        for epoch in (1, 2):
            log_epoch(run, epoch, epoch * steps // 2, valid_wer=100.0 * seed / epoch)
    comparison, runs = results_of(tmp_path)
    assert comparison.budget == "Same data, 2 epochs and 210 to 220 steps a run."
    curve = learning_curve("good", "valid_wer", runs)
    assert (curve.x, curve.y) == ([107.5, 215.0], [150.0, 75.0])
    assert (curve.low, curve.high) == ([100.0, 50.0], [200.0, 100.0])


def test_unequal_steps_are_listed(folder):
    log_epoch(folder / "runs" / "bad" / "3", 3, 1300)
    assert results_of(folder)[0].budget == "Same data; steps a run: good 200, same 200, bad 200 to 1,300."
