"""Tables, plots and report of what a comparison's folder holds."""

import shutil
from pathlib import Path

from data_prep.files import write_atomically
from recipes.bakeoff.figures import timed_rows
from recipes.bakeoff.record import ComparisonRecord, check_entry_name
from recipes.bakeoff.report import write_report
from recipes.bakeoff.results import RUNS, SUMMARY, Comparison, RunRow
from recipes.bakeoff.runs import FinishedRun, read_runs, run_rows
from recipes.bakeoff.statistics import summarise
from recipes.bakeoff.table import markdown
from recipes.errors import RecipeError

TABLE = "table.md"
COMMITTED = (RUNS, SUMMARY, TABLE)


def check_places(folder: Path, benchmark: Path | None, copies: Path | None) -> None:
    """Raises RecipeError, before anything is trained, for what `show_results` could not read, or copy to.

    folder: of the comparison.
    """
    if benchmark:
        timed_rows(benchmark)
    if copies and copies.exists() and not copies.is_dir():
        raise RecipeError(f"--results {copies} is a file: give a folder")
    if copies and copies.resolve() == folder.resolve():
        raise RecipeError(f"--results {copies} is the folder of the comparison, where these files are: give another")


def show_results(
    folder: Path, baseline: str | None = None, benchmark: Path | None = None, copies: Path | None = None
) -> None:
    """Write tables and report of what is in the folder, print the table, and copy the small files to `copies`.

    baseline: an entry; None for the folder's own. benchmark: see `write_report`. Raises RecipeError for a folder
    without a comparison or without a finished run.
    """
    record = ComparisonRecord.read(folder)
    if record is None:
        raise RecipeError(f"{folder}: no comparison there; give --out, or leave out --table to run one")
    baseline = baseline or record.baseline
    check_entry_name("--baseline", baseline, list(record.mixers))
    comparison, runs = write_results(folder, record, baseline)
    drawings = write_report(folder, comparison, runs, benchmark)
    print(f"\n{markdown(comparison)}\nreport: {folder / 'report.html'}")
    if copies:
        copies.mkdir(parents=True, exist_ok=True)
        files = [*(folder / name for name in COMMITTED), *drawings]
        for path in files:
            shutil.copy(path, copies)
        print(f"copied to {copies}: {', '.join(path.name for path in files)}")


def write_results(folder: Path, record: ComparisonRecord, baseline: str) -> tuple[Comparison, list[FinishedRun]]:
    """Write runs.csv, summary.json and table.md of what is there; returns what they hold.

    Raises RecipeError where no run has finished or crashed.
    """
    runs, problems = read_runs(folder, record)
    if not runs and not any(problem.crashed for problem in problems):
        raise RecipeError(f"{folder}: no finished run yet")
    comparison = summarise(record, runs, problems, baseline)
    RunRow.write_all(run_rows(runs), folder / RUNS)
    comparison.write(folder)
    write_atomically(folder / TABLE, markdown(comparison))
    return comparison, runs
