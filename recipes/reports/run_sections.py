"""What a run's report says of the run itself: results, learning curves, and how to repeat it."""

import json
import math
import shlex
from pathlib import Path
from typing import NamedTuple

from recipes.reports.error_analysis import decoding_command, interval
from recipes.reports.error_sections import Decoded
from recipes.reports.page import Column, Figure, Table, duration, interval_text, number_text
from recipes.reports.plots import Series, line_plot

COUNTS = ("substitutions", "deletions", "insertions", "words", "utterances")
SPLIT_FIELDS = ("wer", *COUNTS, "wer_greedy_ctc")
OPTIONAL_COLUMNS = {  # key of summary.json: column, and the factor from one to the other
    "rtf": (Column("real-time factor", 3), 1),
    "audio_seconds": (Column("audio, min", 1), 1 / 60),
    "merged_wer": (Column("WER %, homophones as one", 2), 1),
    "homophone_error": (Column("homophone errors %", 2), 1),
    "homophones_seen": (Column("homophones seen %", 2), 1),
}
CURVES = (  # caption, axis, and {key of log.jsonl: name in the legend}
    ("Loss", "loss", {"train_loss": "training", "valid_loss": "validation"}),
    ("Validation WER", "WER, %", {"valid_wer_greedy_ctc": "greedy CTC", "valid_wer": "beam search"}),
    ("Learning rate", "learning rate", {"lr": "learning rate"}),
    ("Homophone errors in validation", "errors, %", {"valid_homophone_error": "homophone errors"}),
)


class Headline(NamedTuple):
    """The WER of a test set, percent, with its 95 % interval."""

    split: str
    wer: float
    interval: tuple[float, float] | None


def headlines(summary: dict, decoded: Decoded) -> list[Headline]:
    """Runs of before intervals were written have them computed here."""
    return [
        Headline(split, result["wer"], result.get("interval") or interval(decoded[split]))
        for split, result in summary["splits"].items()
    ]


def results(summary: dict, headlines: list[Headline]) -> Table:
    """WER of each test set with its interval and counts, and what else the run has measured of it."""
    splits = summary["splits"]
    optional = [key for key in OPTIONAL_COLUMNS if any(result.get(key) is not None for result in splits.values())]
    columns = [Column("test set"), Column("WER %", 2), Column("95 % interval")]
    columns += [Column(head, 0) for head in ("sub", "del", "ins", "words", "utterances")]
    columns += [Column("greedy CTC WER %", 2), *(OPTIONAL_COLUMNS[key][0] for key in optional)]
    rows = []
    for headline in headlines:
        result = splits[headline.split]
        row = [headline.split, headline.wer, interval_text(headline.interval), *(result[key] for key in COUNTS)]
        row.append(result["wer_greedy_ctc"])
        for key in optional:
            value = result.get(key)
            row.append(None if value is None else value * OPTIONAL_COLUMNS[key][1])
        rows.append(row)
    return Table("Errors by test set", columns, rows, sortable=False)


def learning_curves(folder: Path) -> tuple[list[Figure] | None, int]:
    """Plots of log.jsonl, None without it, and how many of its lines are damaged.

    A run that went on after a stop may have repeated an epoch: its last line counts.
    """
    path = folder / "log.jsonl"
    if not path.is_file():
        return None, 0
    by_epoch, damaged = {}, 0
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
            by_epoch[int(record["epoch"])] = record
        except (ValueError, KeyError, TypeError):
            damaged += 1
    figures = []
    for caption, axis, labels in CURVES:
        series = [curve(label, key, by_epoch) for key, label in labels.items()]
        series = [line for line in series if any(map(math.isfinite, line.y))]
        if series:
            caption += f" ({series[0].label})" if len(series) < len(labels) else ""
            plot = line_plot(series, title=caption, x_label="epoch", y_label=axis, zero_y=True)
            figures.append(Figure(caption, plot))
    return figures, damaged


def curve(label: str, key: str, by_epoch: dict[int, dict]) -> Series:
    """The epochs that measured it; a value that is not finite stays, to interrupt the line."""
    measured = {epoch: record[key] for epoch, record in sorted(by_epoch.items()) if record.get(key) is not None}
    return Series(label, list(measured), list(measured.values()))


def facts(summary: dict) -> list[tuple[str, object]]:
    """What the run is, and on what it ran."""
    return [
        ("recipe", summary["recipe"]),
        ("mixer", summary["mixer"]),
        ("seed", summary["seed"]),
        *([("weights", summary["weights"])] if "weights" in summary else []),
        ("parameters", number_text(summary["parameters"])),
        ("training time", duration(summary["seconds"]) if summary.get("seconds") else "–"),
        ("device", summary["device"]),
        ("peak memory", f"{number_text(summary['peak_memory_mb'])} MB"),
        ("versions", ", ".join(f"{name} {version}" for name, version in summary["versions"].items())),
        ("commit", summary["commit"] or "not from a checkout"),
        ("recipe hash", summary["recipe_hash"]),
    ]


def command(folder: Path, summary: dict) -> tuple[str, str]:
    """What makes the results again, and its name. In its own folder a finished run would only be tested."""
    trained_here = (folder / "log.jsonl").is_file() and "weights" not in summary  # only evaluations have these
    if not trained_here:
        return "to evaluate it", decoding_command(folder, summary)
    recipe = str(folder / "recipe.yaml")
    return "to repeat it", shlex.join(["python", "train.py", recipe, "--output_folder", "ANOTHER_FOLDER"])
