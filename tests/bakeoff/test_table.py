"""The table of a comparison, and the notes beneath it: what is missing is named."""

from dataclasses import replace

from recipes.bakeoff import ComparisonRecord, write_results
from recipes.bakeoff.runs import Crash, run_folder
from recipes.bakeoff.table import markdown
from tests.bakeoff.conftest import drawn, results_of
from tests.support.bakeoff_folders import write_comparison, write_run


def test_a_single_seed_has_no_spread(tmp_path):
    write_comparison(tmp_path, ("good", "bad"), (1,))
    for name in ("good", "bad"):
        write_run(tmp_path, name, 1, {"test-clean": drawn(name, 1)})
    comparison, _ = results_of(tmp_path)
    assert comparison.mixers["good"].splits["test-clean"].spread is None
    table = (tmp_path / "table.md").read_text()
    assert "- Fewer than two seeds, so no spread over seeds can be given: good, bad.\n" in table
    assert "±" not in table.split("\n\n")[0]


def test_crashed_and_unfinished_runs(folder):
    record = ComparisonRecord.read(folder)
    record.mixers["worse"] = replace(record.mixers["bad"], seeds=[1])
    (folder / "runs" / "worse").mkdir()
    Crash("training | has diverged").write(run_folder(folder, "worse", 1))
    (run_folder(folder, "same", 2) / "decoded_test-clean.jsonl").unlink()
    _, runs = write_results(folder, record, "good")
    assert len(runs) == 8
    table, notes = (folder / "table.md").read_text().split("\n\n")
    rows = {row.split(" | ")[0]: row.strip("| ").split(" | ") for row in table.splitlines()}
    assert rows["| same"][3].endswith("(2 of 3 seeds)")
    assert rows["| worse"][3:5] == ["crashed", "–"]
    assert {len(row) for row in rows.values()} == {9}
    assert "- worse, seed 1 crashed: training | has diverged." in notes
    assert "- same, seed 2 is not finished." in notes


def test_seeds_that_differ_are_said(folder):
    notes = markdown(results_of(folder, "bad")[0])
    assert "the same seeds" not in notes
    (run_folder(folder, "same", 2) / "decoded_test-clean.jsonl").unlink()
    notes = markdown(results_of(folder, "bad")[0])
    assert "- Not all entries have the same seeds, and each mean is over its own: " in notes
    assert "; same 1, 3" in notes or "same 1, 3; " in notes


def test_the_baseline_is_named(folder):
    assert "p against bad: " in markdown(results_of(folder, "bad")[0])


def test_baseline_without_a_run(folder):
    record = ComparisonRecord.read(folder)
    record.mixers["none"] = replace(record.mixers["bad"], seeds=[1])
    table = markdown(write_results(folder, record, "none")[0])
    assert "- No p: the baseline none has no finished run." in table
    assert "| not finished | – |" in table


def test_the_interval_over_speakers_is_given(folder):
    comparison, _ = results_of(folder)
    low, high = comparison.mixers["good"].splits["test-clean"].interval_speakers
    note = (
        f"test-clean has 4 speakers; drawing these and not utterances, the interval of good is [{low:.2f}, {high:.2f}]."
    )
    assert f"- {note}\n" in markdown(comparison)


def test_the_budget_is_a_note(folder):
    comparison, _ = results_of(folder)
    assert f"\n- {comparison.budget}\n" in markdown(comparison)


def test_several_commits_are_named(folder):
    path = folder / "runs" / "bad" / "1" / "summary.json"
    path.write_text(path.read_text().replace('"abc"', '"def"'))
    assert "- Runs are of several commits of the code: abc, def.\n" in markdown(results_of(folder)[0])
