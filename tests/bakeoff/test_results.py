"""The result files of a comparison: runs.csv and summary.json, written, read again, and those of the repository."""

from dataclasses import replace
from pathlib import Path

import pytest

from recipes.bakeoff import Comparison, ComparisonRecord, RunRow, write_results
from recipes.bakeoff.table import markdown
from recipes.errors import RecipeError
from tests.bakeoff.conftest import NAMES, SEEDS, UTTERANCES, drawn, results_of
from tests.support.bakeoff_folders import WORDS, write_comparison, write_run

COMMITTED = sorted((Path(__file__).parents[2] / "results").glob("*/runs.csv"))


def test_runs(folder):
    results_of(folder)
    head = (folder / "runs.csv").read_text().splitlines()[0]
    assert head == "mixer,seed,split,wer,errors,words,parameters,train_seconds,rtf,peak_memory_mb"
    rows = RunRow.read_all(folder / "runs.csv")
    assert [(row.mixer, row.seed) for row in rows] == [(name, seed) for name in NAMES for seed in SEEDS]
    errors = sum(drawn("bad", 2))
    assert rows[7] == RunRow(
        mixer="bad",
        seed=2,
        split="test-clean",
        wer=round(100 * errors / (UTTERANCES * WORDS), 3),
        errors=errors,
        words=UTTERANCES * WORDS,
        parameters=1_000_000,
        train_seconds=62.0,
        rtf=0.25,
        peak_memory_mb=502.0,
    )


def test_homophones_have_columns_where_there_are_any(folder):
    write_run(folder, "more", 1, {"test-clean": drawn("good", 9)}, merged_wer=8.5, homophone_error=4.0)
    record = ComparisonRecord.read(folder)
    record.mixers["more"] = replace(record.mixers["good"], mixer="more", seeds=[1])
    comparison, _ = write_results(folder, record, "good")
    head, *lines = (folder / "runs.csv").read_text().splitlines()
    assert head.endswith("peak_memory_mb,merged_wer,homophone_error")
    assert lines[-1].endswith(",8.5,4.0") and lines[0].endswith(",,")
    assert RunRow.read_all(folder / "runs.csv")[-1].homophone_error == 4.0
    assert comparison.mixers["more"].splits["test-clean"].homophone_error == 4.0
    assert "merged WER % | homophone error % | dev WER % | training s" in markdown(comparison)


@pytest.mark.parametrize("line", ["good,1", "good,one,test-clean,1,1,1,1,1,1,1", "good,1,a,1,1,1,1,1,1,1,1"])
def test_a_damaged_line_is_named(folder, line):
    results_of(folder)
    path = folder / "runs.csv"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(RecipeError) as error:
        RunRow.read_all(path)
    assert str(error.value) == f"{path}, line 11: damaged, or of another kind of table"


def test_the_summary_is_read_as_it_was_written(folder):
    comparison, _ = results_of(folder)
    assert Comparison.read(folder) == comparison
    (folder / "summary.json").unlink()
    with pytest.raises(RecipeError, match=r"summary\.json is missing"):
        Comparison.read(folder)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_results_have_this_format(path, tmp_path):
    """The files are written again as they are, and the table comes from the summary."""
    folder = path.parent
    RunRow.write_all(RunRow.read_all(path), tmp_path / "runs.csv")
    comparison = Comparison.read(folder)
    comparison.write(tmp_path)
    for name in ("runs.csv", "summary.json"):
        assert (tmp_path / name).read_text() == (folder / name).read_text()
    assert markdown(comparison) == (folder / "table.md").read_text()


def test_nothing_finished(tmp_path):
    record = write_comparison(tmp_path, ("good", "bad"), (1,))
    with pytest.raises(RecipeError) as error:
        write_results(tmp_path, record, "good")
    assert str(error.value) == f"{tmp_path}: no finished run yet"
