"""The plots of a comparison: error against cost, learning curves, time against length."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from markupsafe import Markup

from recipes.bakeoff.results import Comparison
from recipes.bakeoff.runs import FinishedRun
from recipes.errors import RecipeError
from recipes.files import read_rows
from recipes.reports.page import Figure
from recipes.reports.plots import Point, Series, line_plot, scatter_plot

SECONDS_PER_FRAME = 0.04
CURVES = {  # of an epoch's metrics: caption, axis
    "valid_wer_greedy_ctc": ("Learning curves", "validation WER (greedy CTC), %"),
    "valid_homophone_error": ("Homophones spelled wrong, by epoch", "wrong spellings, %"),
}


def cost_figures(comparison: Comparison, split: str) -> list[Figure]:
    """WER against multiply-adds and against training time."""
    return [
        Figure(f"{split}: WER against multiply-adds", against_multiply_adds(comparison, split)),
        Figure(f"{split}: WER against training time", against_training_time(comparison, split)),
    ]


def against_multiply_adds(comparison: Comparison, split: str) -> Markup:
    costs = {name: mixer.multiply_adds_10s / 1e9 for name, mixer in comparison.mixers.items()}
    return against(comparison, split, costs, "10⁹ multiply-adds for 10 s of speech, encoder and CTC")


def against_training_time(comparison: Comparison, split: str) -> Markup:
    costs = {name: mixer.train_seconds for name, mixer in comparison.mixers.items()}
    return against(comparison, split, costs, "seconds of training, mean over seeds")


def against(comparison: Comparison, split: str, costs: Mapping[str, float | None], x_label: str) -> Markup:
    """WER with its interval over a cost, for the entries that have both."""
    points = []
    for number, (name, mixer) in enumerate(comparison.mixers.items()):
        result, cost = mixer.splits.get(split), costs[name]
        if result is not None and cost is not None:
            points.append(Point(name, cost, result.mean, y_interval=result.interval, group=number))
    title = f"WER on {split} against {x_label}"
    return scatter_plot(points, title=title, x_label=x_label, y_label=f"WER on {split}, %", zero_y=True)


def learning_curves(comparison: Comparison, runs: Sequence[FinishedRun]) -> list[Figure]:
    """A plot for each metric that a run has: the mean over seeds, in a band from the lowest to the highest."""
    figures = []
    for metric, (caption, label) in CURVES.items():
        curves = [learning_curve(name, metric, runs) for name in comparison.mixers]
        if series := [curve for curve in curves if curve.x]:
            plot = line_plot(series, title=caption, x_label="optimizer steps", y_label=label, zero_y=True)
            figures.append(Figure(caption, plot))
    return figures


def learning_curve(name: str, metric: str, runs: Sequence[FinishedRun]) -> Series:
    """An entry's mean over the seeds that have a value of that epoch, at their mean step: epochs of two seeds may have
    different numbers of steps. Empty where none has any."""
    points: dict[int, list[tuple[int, float]]] = {}
    for run in runs:
        for epoch in run.epochs if run.name == name else ():
            if (value := epoch.metrics.get(metric)) is not None:
                points.setdefault(epoch.epoch, []).append((epoch.steps, value))
    steps, values = ([[point[part] for point in points[epoch]] for epoch in sorted(points)] for part in (0, 1))
    low, mean, high = ([function(of_epoch) for of_epoch in values] for function in (min, fmean, max))
    return Series(name, [fmean(of_epoch) for of_epoch in steps], mean, low, high)


def time_against_length(benchmark: Path) -> Figure:
    """A plot of a file that `benchmarks.memory --out` wrote. Raises RecipeError if it holds no times."""
    rows = timed_rows(benchmark)
    by_mixer: dict[str, list[tuple[float, float]]] = {}
    one_recipe = len({row.get("recipe") for row in rows}) == 1
    for row in rows:
        name = row["mixer"] if one_recipe else f"{row['recipe']}, {row['mixer']}"
        by_mixer.setdefault(name, []).append((row["frames"] * SECONDS_PER_FRAME, row["step_s"]))
    series = [Series(name, *zip(*sorted(points), strict=True)) for name, points in by_mixer.items()]
    title = "Time of one training step"
    plot = line_plot(series, title=title, x_label="seconds of speech", y_label="seconds a step", zero_y=True)
    return Figure(title, plot)


def timed_rows(benchmark: Path) -> list[dict]:
    """Of a file that `benchmarks.memory --out` wrote. Raises RecipeError if it is another file or holds no times."""
    rows = [row for row in read_rows(benchmark, "benchmarks.memory", ("mixer", "frames")) if row.get("step_s")]
    if not rows:
        raise RecipeError(
            f"--benchmark {benchmark}: no times in it; benchmarks.memory writes them with --repeats 1 or more"
        )
    return rows
