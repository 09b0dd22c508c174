"""What a comparison makes of its runs: runs.csv, summary.json, table and report."""

import csv
import json
import statistics
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest

from recipes.bakeoff.record import read_record
from recipes.bakeoff.report import write_report
from recipes.bakeoff.results import read_scored, write_results
from recipes.bakeoff.table import markdown
from recipes.errors import RecipeError
from recipes.scoring.significance import bootstrap_interval, holm, matched_pairs, paired_bootstrap
from tests.support.bakeoff_folders import WORDS, write_comparison, write_decoded, write_run

UTTERANCES = 80
NAMES = ("good", "same", "bad")
RATES = {"good": 0.1, "same": 0.1, "bad": 0.3}


def drawn(name: str, seed: int) -> list[int]:
    generator = np.random.default_rng([seed, *name.encode()])
    return generator.binomial(WORDS, RATES[name], UTTERANCES).tolist()


@pytest.fixture
def comparison(tmp_path) -> Path:
    """Three mixers, three seeds; the third mixer makes three times the errors."""
    write_comparison(tmp_path, NAMES, (1, 2, 3))
    for name in NAMES:
        for seed in (1, 2, 3):
            write_run(tmp_path, name, seed, {"test-clean": drawn(name, seed)})
    return tmp_path


def results_of(folder: Path, baseline: str = "good"):
    return write_results(folder, read_record(folder), baseline)


# --- errors -------------------------------------------------------------------------------------------------


def test_errors_by_utterance(tmp_path):
    """Two substitutions and a deletion; none; an insertion; and all words deleted. Ordered by ID."""
    texts = {
        "d": ("A B", ""),
        "a": ("A B C D E", "A X Y D"),
        "b": ("A B", "A B"),
        "c": ("A B", "A Z B"),
    }
    lines = [
        {"id": name, "speaker": "1", "words": words, "hypothesis": heard} for name, (words, heard) in texts.items()
    ]
    path = tmp_path / "decoded_test.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    scored = read_scored(path)
    assert scored.ids == ["a", "b", "c", "d"]
    assert scored.errors.tolist() == [3, 0, 1, 2]
    assert scored.words.tolist() == [5, 2, 2, 2]
    assert scored.wer == pytest.approx(100 * 6 / 11)


def test_damaged_file(tmp_path):
    path = tmp_path / "decoded_test.jsonl"
    path.write_text('{"id": "a", "words": "A"')
    with pytest.raises(RecipeError) as error:
        read_scored(path)
    assert str(error.value).startswith(f"{path} is damaged (")
    assert str(error.value).endswith("remove it, and compare again to decode anew")


# --- runs.csv and summary.json ------------------------------------------------------------------------------


def test_runs(comparison):
    results_of(comparison)
    with open(comparison / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == ("mixer,seed,split,wer,errors,words,parameters,train_seconds,rtf,peak_memory_mb")
    assert [(row["mixer"], row["seed"]) for row in rows] == [(name, seed) for name in NAMES for seed in "123"]
    errors = sum(drawn("bad", 2))
    row = rows[7]
    assert (int(row["errors"]), int(row["words"])) == (errors, UTTERANCES * WORDS)
    assert float(row["wer"]) == round(100 * errors / (UTTERANCES * WORDS), 3)
    assert (row["train_seconds"], row["rtf"], row["peak_memory_mb"]) == ("62.0", "0.25", "502.0")


def test_homophones_have_columns_where_there_are_any(comparison):
    write_run(comparison, "more", 1, {"test-clean": drawn("good", 9)}, merged_wer=8.5, homophone_error=4.0)
    record = read_record(comparison)
    record["mixers"]["more"] = {**record["mixers"]["good"], "mixer": "more", "seeds": [1]}
    summary, _ = write_results(comparison, record, "good")
    head, *rows = (comparison / "runs.csv").read_text().splitlines()
    assert head.endswith("peak_memory_mb,merged_wer,homophone_error")
    assert rows[-1].endswith(",8.5,4.0") and rows[0].endswith(",,")
    assert summary["mixers"]["more"]["splits"]["test-clean"]["homophone_error"] == 4.0
    assert "merged WER % | homophone error % | dev WER % | training s" in markdown(summary)


def test_mean_spread_and_interval(comparison):
    summary, _ = results_of(comparison)
    assert json.loads((comparison / "summary.json").read_text()) == summary
    errors = np.array([drawn("good", seed) for seed in (1, 2, 3)])
    rates = [100 * sum(one) / (UTTERANCES * WORDS) for one in errors]
    found = summary["mixers"]["good"]["splits"]["test-clean"]
    assert found["mean"] == pytest.approx(statistics.mean(rates), abs=1e-3)
    assert found["spread"] == pytest.approx(statistics.stdev(rates), abs=1e-3)
    low, high = bootstrap_interval(errors, np.full(UTTERANCES, WORDS))
    assert found["interval"] == [round(low, 3), round(high, 3)]
    assert low < found["mean"] < high
    costs = summary["mixers"]["good"]
    assert (costs["train_seconds"], costs["peak_memory_mb"], costs["rtf"]) == (62.0, 503.0, 0.25)


def test_significance_is_corrected_over_the_mixers_of_a_split(comparison):
    summary, _ = results_of(comparison)
    errors = {name: np.array([drawn(name, seed) for seed in (1, 2, 3)]) for name in NAMES}
    words = np.full(UTTERANCES, WORDS)
    raw = [
        (matched_pairs(one, errors["good"]), paired_bootstrap(one, errors["good"], words, samples=10_000))
        for one in (errors["same"], errors["bad"])
    ]
    for test, values in zip(("p", "p_bootstrap"), zip(*raw, strict=True), strict=True):
        found = [summary["mixers"][name]["splits"]["test-clean"][test] for name in ("same", "bad")]
        assert found == pytest.approx(holm(values), rel=0.01)
        assert found[0] > 0.05 and found[1] < 0.01
    assert summary["mixers"]["good"]["splits"]["test-clean"]["p"] is None
    pairs = {tuple(pair["mixers"]): pair for pair in summary["pairs"]["test-clean"]}
    assert pairs.keys() == {("good", "same"), ("good", "bad"), ("same", "bad")}
    assert pairs["same", "bad"]["p"] < 0.01 < pairs["good", "same"]["p"]


def test_another_baseline(comparison):
    summary, _ = results_of(comparison, "bad")
    values = {name: one["splits"]["test-clean"]["p"] for name, one in summary["mixers"].items()}
    assert values["bad"] is None and values["good"] < 0.01 and values["same"] < 0.01
    assert "p against bad: " in markdown(summary)


# --- what is missing is said --------------------------------------------------------------------------------


def test_one_seed_has_no_spread(tmp_path):
    write_comparison(tmp_path, ("good", "bad"), (1,))
    for name in ("good", "bad"):
        write_run(tmp_path, name, 1, {"test-clean": drawn(name, 1)})
    summary, _ = results_of(tmp_path)
    assert summary["mixers"]["good"]["splits"]["test-clean"]["spread"] is None
    table = (tmp_path / "table.md").read_text()
    assert "- Fewer than two seeds, so no spread over seeds can be given: good, bad.\n" in table
    assert "±" not in table.split("\n\n")[0]


def test_crashed_and_unfinished_runs(comparison):
    record = read_record(comparison)
    record["mixers"]["worse"] = {**record["mixers"]["bad"], "seeds": [1]}
    (comparison / "runs" / "worse").mkdir()
    (comparison / "runs" / "worse" / "1.crash.json").write_text('{"said": "training | has diverged"}')
    (comparison / "runs" / "same" / "2" / "decoded_test-clean.jsonl").unlink()
    summary, results = write_results(comparison, record, "good")
    assert len(results) == 8
    table, notes = (comparison / "table.md").read_text().split("\n\n")
    rows = {row.split(" | ")[0]: row.strip("| ").split(" | ") for row in table.splitlines()}
    assert rows["| same"][3].endswith("(2 of 3 seeds)")
    assert rows["| worse"][3:5] == ["crashed", "–"]
    assert {len(row) for row in rows.values()} == {9}
    assert "- worse, seed 1 crashed: training | has diverged." in notes
    assert "- same, seed 2 is not finished." in notes
    write_report(comparison, summary, results)


def test_speakers_whose_utterances_are_alike_widen_the_interval(tmp_path):
    """One of four speakers makes all the errors."""
    write_comparison(tmp_path, ("good",), (1,))
    write_run(tmp_path, "good", 1, {"test-clean": [WORDS * (number % 4 == 0) for number in range(80)]})
    summary, _ = results_of(tmp_path)
    found = summary["mixers"]["good"]["splits"]["test-clean"]
    width, of_speakers = (found[key][1] - found[key][0] for key in ("interval", "interval_speakers"))
    assert found["speakers"] == 4 and of_speakers > 1.5 * width
    low, high = found["interval_speakers"]
    assert (
        f"test-clean has 4 speakers; drawing these and not utterances, the interval of good is [{low:.2f}, {high:.2f}]"
        in (markdown(summary))
    )


def test_a_split_of_one_utterance_has_no_interval(tmp_path):
    write_comparison(tmp_path, ("good", "bad"), (1,))
    for name in ("good", "bad"):
        write_run(tmp_path, name, 1, {"test-clean": [1]})
    summary, results = results_of(tmp_path)
    assert summary["mixers"]["good"]["splits"]["test-clean"]["interval"] is None
    write_report(tmp_path, summary, results)


def test_other_words_of_the_same_utterances(comparison):
    path = comparison / "runs" / "bad" / "2" / "decoded_test-clean.jsonl"
    path.write_text(path.read_text().replace("YES", "WELL", 3))
    with pytest.raises(RecipeError, match="decoded other utterances of test-clean"):
        results_of(comparison)


def test_baseline_without_a_run(comparison):
    record = read_record(comparison)
    record["mixers"]["none"] = {**record["mixers"]["bad"], "seeds": [1]}
    summary, _ = write_results(comparison, record, "none")
    assert {one["splits"]["test-clean"]["p"] for name, one in summary["mixers"].items() if name != "none"} == {None}
    assert "- No p: the baseline none has no finished run." in markdown(summary)
    assert "| not finished | – |" in markdown(summary)


def test_nothing_finished(tmp_path):
    record = write_comparison(tmp_path, ("good", "bad"), (1,))
    with pytest.raises(RecipeError) as error:
        write_results(tmp_path, record, "good")
    assert str(error.value) == f"{tmp_path}: no finished run yet"


def test_runs_on_other_utterances(comparison):
    write_decoded(comparison / "runs" / "bad" / "3" / "decoded_test-clean.jsonl", [0] * (UTTERANCES - 1))
    with pytest.raises(RecipeError) as error:
        results_of(comparison)
    assert str(error.value) == (
        "'good', seed 1, and 'bad', seed 3, decoded other utterances of test-clean: remove the run "
        "folder of one of them, and compare again"
    )


def test_several_commits_are_said(comparison):
    path = comparison / "runs" / "bad" / "1" / "summary.json"
    path.write_text(path.read_text().replace('"abc"', '"def"'))
    assert "- Runs are of several commits of the code: abc, def.\n" in markdown(results_of(comparison)[0])


# --- the caption --------------------------------------------------------------------------------------------

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
def test_budget_is_said(tmp_path, budget):
    changes, said = BUDGETS[budget]
    write_comparison(tmp_path, ("good", "bad"), (1,), **changes)
    for name in ("good", "bad"):
        write_run(tmp_path, name, 1, {"test-clean": drawn(name, 1)})
    summary, _ = results_of(tmp_path)
    assert summary["budget"] == said
    assert f"\n- {said}\n" in markdown(summary)


def test_unequal_steps_are_listed(comparison):
    log = comparison / "runs" / "bad" / "3" / "log.jsonl"
    log.write_text(log.read_text() + '{"epoch": 3, "steps": 1300}\n')
    assert results_of(comparison)[0]["budget"] == "Same data; steps a run: good 200, same 200, bad 1,300."


# --- report -------------------------------------------------------------------------------------------------


def test_report(comparison):
    summary, results = results_of(comparison)
    drawings = write_report(comparison, summary, results)
    assert [path.name for path in drawings] == ["wer_test-clean.svg"]
    drawing = drawings[0].read_text()
    xml.etree.ElementTree.fromstring(drawing)
    page = (comparison / "report.html").read_text()
    for name in NAMES:
        assert f">{name}<" in drawing and f">{name}<" in page
    for heading in (
        "Results",
        "Error against cost",
        "Learning",
        "Which differ",
        "Every run",
        "How it was made",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert "better, &lt; 0.001 / " in page and "worse, &lt; 0.001 / " in page
    assert page.count('<svg class="plot"') == 3  # two of cost, one learning curve
    assert "Homophones" not in page and "Time against length" not in page
    assert "src=" not in page and "http" not in page.replace("http://www.w3.org", "")


def test_curves_over_seeds(comparison):
    """The band is from the lowest to the highest seed; of an epoch written twice, the last line holds."""
    for seed in (1, 2, 3):
        log = comparison / "runs" / "good" / str(seed) / "log.jsonl"
        line = {"epoch": 2, "steps": 200, "valid_wer_greedy_ctc": 10 * seed, "valid_homophone_error": 5.0}
        log.write_text(log.read_text() + json.dumps(line) + "\n")
    summary, results = results_of(comparison)
    write_report(comparison, summary, results)
    page = (comparison / "report.html").read_text()
    assert "good: 200, 20" in page and "Homophones spelled wrong" in page
    assert page.count('<svg class="plot"') == 4


def test_time_against_length(comparison, tmp_path):
    summary, results = results_of(comparison)
    file = tmp_path / "benchmark.json"
    rows = [{"mixer": "good", "frames": frames, "step_s": frames / 1000} for frames in (500, 1000)]
    file.write_text(json.dumps({"rows": rows}))
    write_report(comparison, summary, results, file)
    assert "<h2>Time against length</h2>" in (comparison / "report.html").read_text()
    file.write_text(json.dumps({"rows": [{"mixer": "good", "frames": 500}]}))
    with pytest.raises(RecipeError) as error:
        write_report(comparison, summary, results, file)
    assert str(error.value) == (
        f"--benchmark {file}: no times in it; benchmarks.memory writes them with --repeats 1 or more"
    )
