"""A comparison as a page, `report.html`, and its plots of error against cost as files of their own."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from data_prep.files import write_atomically
from recipes.bakeoff.results import Result, run_rows
from recipes.bakeoff.table import MULTIPLY_ADDS, notes, p_text, table_cells
from recipes.errors import RecipeError
from recipes.files import read_json
from recipes.reports.page import Column, Figure, Table, render
from recipes.reports.plots import Point, Series, line_plot, scatter_plot
from recipes.reports.svg import standalone

SECONDS_PER_FRAME = 0.04
LEVEL = 0.05  # of significance
# Columns of numbers, and their digits.
RUN_COLUMNS = {"wer": 2, "errors": 0, "words": 0, "train_seconds": 0, "rtf": 4, "peak_memory_mb": 0}
CURVES = {
    "valid_wer_greedy_ctc": ("Learning curves", "validation WER (greedy CTC), %"),
    "valid_homophone_error": ("Homophones spelled wrong, by epoch", "wrong spellings, %"),
}


def write_report(folder: Path, summary: dict, results: Sequence[Result], benchmark: Path | None = None) -> list[Path]:
    """Write report.html and one SVG a split; returns the SVG files.

    benchmark: a file of `benchmarks.memory --out` with times, for the plot of time against length. Raises
    RecipeError where it holds none.
    """
    time_figure = time_against_length(benchmark) if benchmark else None
    drawings = []
    for split in summary["pairs"]:
        path = folder / f"wer_{split}.svg"
        write_atomically(path, standalone(against_multiply_adds(summary, split)))
        drawings.append(path)
    heads, rows = table_cells(summary)
    page = render(
        "comparison.html.jinja",
        title=f"Comparison of mixers: {summary['recipe']}",
        table=Table("results by mixer", [Column(head) for head in heads], rows),
        notes=notes(summary),
        cost_figures=cost_figures(summary),
        curves=curves(summary, results),
        time_figure=time_figure,
        significance=significance(summary),
        significance_level=LEVEL,
        runs=runs_table(results),
        origin=origin(summary),
    )
    write_atomically(folder / "report.html", page)
    return drawings


# --- plots --------------------------------------------------------------------------------------------------


def against_multiply_adds(summary: dict, split: str) -> str:
    return against(summary, split, MULTIPLY_ADDS, 1e9, "10⁹ multiply-adds for 10 s of speech, encoder and CTC")


def against(summary: dict, split: str, cost: str, unit: float, x_label: str) -> str:
    """WER with its interval over one of the costs."""
    points = []
    for number, (name, one) in enumerate(summary["mixers"].items()):
        if found := one["splits"].get(split):
            interval = tuple(found["interval"]) if found["interval"] else None
            points.append(Point(name, one[cost] / unit, found["mean"], y_interval=interval, group=number))
    return scatter_plot(
        points,
        title=f"WER on {split} against {x_label}",
        x_label=x_label,
        y_label=f"WER on {split}, %",
        zero_y=True,
    )


def cost_figures(summary: dict) -> list[list[Figure]]:
    """Of each split."""
    figures = []
    for split in summary["pairs"]:
        by_time = against(summary, split, "train_seconds", 1, "seconds of training, mean over seeds")
        figures.append(
            [
                Figure(f"{split}: WER against multiply-adds", against_multiply_adds(summary, split)),
                Figure(f"{split}: WER against training time", by_time),
            ]
        )
    return figures


def curves(summary: dict, results: Sequence[Result]) -> list[Figure]:
    """Of each figure in the logs that a run has: mean over seeds, band from the least to the highest."""
    figures = []
    for key, (caption, label) in CURVES.items():
        series = [one for name in summary["mixers"] if (one := curve(name, key, results)) is not None]
        if series:
            plot = line_plot(series, title=caption, x_label="optimizer steps", y_label=label, zero_y=True)
            figures.append(Figure(caption, plot))
    return figures


def curve(name: str, key: str, results: Sequence[Result]) -> Series | None:
    """One mixer's mean over the seeds that have a value at that step; None where none has any."""
    values = {}
    for one in results:
        for epoch in one.epochs if one.name == name else ():
            if epoch.get(key) is not None:
                values.setdefault(epoch["steps"], []).append(epoch[key])
    if not values:
        return None
    steps = sorted(values)
    low, mean, high = ([of(values[step]) for step in steps] for of in (min, fmean, max))
    return Series(name, steps, mean, low, high)


def time_against_length(benchmark: Path) -> Figure:
    rows = [row for row in read_json(benchmark).get("rows", []) if row.get("step_s")]
    if not rows:
        raise RecipeError(
            f"--benchmark {benchmark}: no times in it; benchmarks.memory writes them with --repeats 1 or more"
        )
    by_mixer = {}
    for row in rows:
        by_mixer.setdefault(row["mixer"], []).append((row["frames"] * SECONDS_PER_FRAME, row["step_s"]))
    series = [Series(name, *zip(*sorted(points), strict=True)) for name, points in by_mixer.items()]
    title = "Time of one training step"
    plot = line_plot(series, title=title, x_label="seconds of speech", y_label="seconds a step", zero_y=True)
    return Figure(title, plot)


# --- tables -------------------------------------------------------------------------------------------------


def significance(summary: dict) -> dict[str, Table]:
    """By split, a matrix of all pairs: p of both tests, and which is better where both see it."""
    tables = {}
    for split, pairs in summary["pairs"].items():
        by_mixers = {frozenset(pair["mixers"]): pair for pair in pairs}
        names = [name for name, mixer in summary["mixers"].items() if split in mixer["splits"]]
        rows = [[row, *(pair_cell(summary, split, row, column, by_mixers) for column in names)] for row in names]
        columns = [Column(head) for head in ("", *names)]
        tables[split] = Table(f"significance of differences on {split}", columns, rows, sortable=False)
    return tables


def pair_cell(summary: dict, split: str, row: str, column: str, found: dict) -> str:
    if row == column or not found:  # of a single utterance there is no test
        return "·"
    pair = found[frozenset((row, column))]
    said = f"{p_text(pair['p'])} / {p_text(pair['p_bootstrap'])}"
    if max(pair["p"], pair["p_bootstrap"]) >= LEVEL:
        return said
    rates = [summary["mixers"][name]["splits"][split]["mean"] for name in (row, column)]
    return ("better, " if rates[0] < rates[1] else "worse, ") + said


def runs_table(results: Sequence[Result]) -> Table:
    columns = [Column(head) for head in ("mixer", "seed", "split")]
    columns += [Column(key.replace("_", " "), digits) for key, digits in RUN_COLUMNS.items()]
    rows = [
        [row["mixer"], str(row["seed"]), row["split"], *(row[key] for key in RUN_COLUMNS)] for row in run_rows(results)
    ]
    return Table("every run", columns, rows)


def origin(summary: dict) -> list[tuple[str, str]]:
    versions = "; ".join(", ".join(f"{key} {value}" for key, value in one.items()) for one in summary["versions"])
    return [
        ("command", summary["command"]),
        ("machine", "; ".join(summary["machines"])),
        ("device", ", ".join(summary["devices"])),
        ("commit", ", ".join(map(str, summary["commits"]))),
        ("versions", versions),
    ]
