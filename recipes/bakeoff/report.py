"""A comparison as a page, `report.html`, and its plots of error against cost as files of their own."""

from collections.abc import Sequence
from pathlib import Path

from data_prep.files import write_atomically
from recipes.bakeoff.figures import against_multiply_adds, cost_figures, learning_curves, time_against_length
from recipes.bakeoff.results import Comparison, PairTest
from recipes.bakeoff.runs import FinishedRun, run_rows
from recipes.bakeoff.table import notes, p_text, table_cells
from recipes.reports.page import Column, Table, render
from recipes.reports.svg import standalone

LEVEL = 0.05  # of significance
RUN_COLUMNS = {"wer": 2, "errors": 0, "words": 0, "train_seconds": 0, "rtf": 4, "peak_memory_mb": 0}  # and digits


def write_report(
    folder: Path, comparison: Comparison, runs: Sequence[FinishedRun], benchmark: Path | None = None
) -> list[Path]:
    """Write report.html and an SVG for each split; returns the SVG files.

    benchmark: a file of `benchmarks.memory --out` with times, for the plot of time against length. Raises
    RecipeError where it holds none.
    """
    heads, rows = table_cells(comparison)
    page = render(
        "comparison.html.jinja",
        title=f"Comparison of mixers: {comparison.recipe}",
        table=Table("results by mixer", [Column(head) for head in heads], rows),
        notes=notes(comparison),
        cost_figures=[cost_figures(comparison, split) for split in comparison.pairs],
        curves=learning_curves(comparison, runs),
        time_figure=time_against_length(benchmark) if benchmark else None,
        significance={split: significance(comparison, split) for split in comparison.pairs},
        significance_level=LEVEL,
        runs=runs_table(runs),
        origin=origin(comparison),
    )
    drawings = {split: folder / f"wer_{split}.svg" for split in comparison.pairs}
    for split, path in drawings.items():
        write_atomically(path, standalone(against_multiply_adds(comparison, split)))
    write_atomically(folder / "report.html", page)
    return list(drawings.values())


def significance(comparison: Comparison, split: str) -> Table:
    """A matrix of all pairs: p of both tests, and which is better where both see it."""
    tests = {frozenset(test.mixers): test for test in comparison.pairs[split]}
    names = [name for name, mixer in comparison.mixers.items() if split in mixer.splits]
    rows = [
        [row, *(pair_cell(comparison, split, row, column, tests.get(frozenset((row, column)))) for column in names)]
        for row in names
    ]
    columns = [Column(head) for head in ("", *names)]
    return Table(f"significance of differences on {split}", columns, rows, sortable=False)


def pair_cell(comparison: Comparison, split: str, row: str, column: str, test: PairTest | None) -> str:
    """The two p of a pair, marked where they are significant; a dot where there is no test."""
    if test is None:
        return "·"
    text = f"{p_text(test.p)} / {p_text(test.p_bootstrap)}"
    if max(test.p, test.p_bootstrap) >= LEVEL:
        return text
    row_mean, column_mean = (comparison.mixers[name].splits[split].mean for name in (row, column))
    return ("better, " if row_mean < column_mean else "worse, ") + text


def runs_table(runs: Sequence[FinishedRun]) -> Table:
    columns = [Column(head) for head in ("mixer", "seed", "split")]
    columns += [Column(name.replace("_", " "), digits) for name, digits in RUN_COLUMNS.items()]
    rows = [
        [row.mixer, str(row.seed), row.split, *(getattr(row, name) for name in RUN_COLUMNS)] for row in run_rows(runs)
    ]
    return Table("every run", columns, rows)


def origin(comparison: Comparison) -> list[tuple[str, str]]:
    versions = (
        ", ".join(f"{name} {version}" for name, version in packages.items()) for packages in comparison.versions
    )
    return [
        ("command", comparison.command),
        ("machine", "; ".join(comparison.machines)),
        ("device", ", ".join(comparison.devices)),
        ("commit", ", ".join(map(str, comparison.commits))),
        ("versions", "; ".join(versions)),
    ]
