"""What a run's report says of the run itself: results, learning curves, and how to repeat it."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from recipes.reports.error_analysis import interval
from recipes.reports.error_sections import Decoded
from recipes.reports.page import Column, Figure, Table, duration, interval_text, number_text
from recipes.reports.plots import Series, line_plot, value_text
from recipes.scoring.results import LOG, EpochRecord, RunSummary

COUNTS = ("substitutions", "deletions", "insertions", "words", "utterances")
OPTIONAL_COLUMNS = {  # field of SplitResult: column, and the factor from one to the other
    "cer": (Column("CER %", 2), 1),
    "rtf": (Column("real-time factor", 3), 1),
    "audio_seconds": (Column("audio, min", 1), 1 / 60),
    "merged_wer": (Column("WER %, homophones as one", 2), 1),
    "homophone_error": (Column("homophone errors %", 2), 1),
    "homophones_seen": (Column("homophones seen %", 2), 1),
}
CURVES = (  # caption, axis, and {value of an epoch: name in the legend}
    ("Loss", "loss", {"train_loss": "training", "valid_loss": "validation"}),
    ("CTC loss", "loss", {"train_ctc_loss": "training", "valid_ctc_loss": "validation"}),
    ("Attention loss", "loss", {"train_attention_loss": "training", "valid_attention_loss": "validation"}),
    ("Transducer loss", "loss", {"train_transducer_loss": "training", "valid_transducer_loss": "validation"}),
    ("Consistency of two views", "loss", {"train_consistency_loss": "training"}),
    ("Validation WER", "WER, %", {"valid_wer_greedy_ctc": "greedy CTC", "valid_wer": "beam search"}),
    ("Validation CER", "CER, %", {"valid_cer_greedy_ctc": "greedy CTC"}),
    ("Frames whose best CTC token is blank", "frames, %", {"valid_blank_share": "validation"}),
    ("Gradient norm", "norm", {"gradient_norm": "before clipping"}),
    ("Clipped steps", "share of steps", {"clipped_steps": "clipped"}),
    ("Learning rate", "learning rate", {"lr": "learning rate"}),
    ("Homophone errors in validation", "errors, %", {"valid_homophone_error": "homophone errors"}),
)


class Headline(NamedTuple):
    """The WER of a test set, percent, with its 95 % interval, and the CER of transcripts without spaces."""

    split: str
    wer: float
    interval: tuple[float, float] | None
    cer: float | None


def headlines(summary: RunSummary, decoded: Decoded) -> list[Headline]:
    """Runs of before intervals were written have them computed here."""
    return [
        Headline(
            split,
            result.wer,
            result.interval or interval(decoded[split]),
            None if result.has_spaces else result.cer,
        )
        for split, result in summary.splits.items()
    ]


def results(summary: RunSummary, rates: list[Headline]) -> Table:
    """WER of each test set with its interval and counts, and what else the run has measured of it."""
    all_splits = summary.splits.values()
    optional = [key for key in OPTIONAL_COLUMNS if any(getattr(result, key) is not None for result in all_splits)]
    columns = [Column("test set"), Column("WER %", 2), Column("95 % interval")]
    columns += [Column(head, 0) for head in ("sub", "del", "ins", "words", "utterances")]
    columns += [Column("greedy CTC WER %", 2), *(OPTIONAL_COLUMNS[field][0] for field in optional)]
    normalizers = list(dict.fromkeys(result.normalizer for result in all_splits if result.normalizer))
    columns += [Column(f"WER %, {name}", 2) for name in normalizers]
    rows = []
    for headline in rates:
        result = summary.splits[headline.split]
        row = [headline.split, headline.wer, interval_text(headline.interval)]
        row += [getattr(result, field) for field in (*COUNTS, "wer_greedy_ctc")]
        for field in optional:
            value = getattr(result, field)
            row.append(None if value is None else value * OPTIONAL_COLUMNS[field][1])
        row += [result.normalized_wer if result.normalizer == name else None for name in normalizers]
        rows.append(row)
    return Table("Errors by test set", columns, rows, sortable=False)


class Learning(NamedTuple):
    """What log.jsonl tells: curves, or the values of a single epoch, whose curves would be points."""

    logged: bool
    curves: list[Figure]
    values: Table
    damaged_lines: int


def learning(folder: Path) -> Learning:
    """Of log.jsonl; nothing is ``logged`` without that file. damaged_lines: how many of its lines are left out."""
    logged = (folder / LOG).is_file()
    epochs, damaged_lines = EpochRecord.read_all(folder) if logged else ([], 0)
    figures, rows = [], []
    for caption, axis, labels in CURVES:
        series = [curve(label, name, epochs) for name, label in labels.items()]
        series = [line for line in series if any(map(math.isfinite, line.y))]
        if not series:
            continue
        if len(epochs) == 1:
            value = caption + " %" * axis.endswith("%")
            rows += [[f"{value}, {line.label}" if len(labels) > 1 else value, value_text(line.y[0])] for line in series]
        else:
            caption += f" ({series[0].label})" if len(series) < len(labels) else ""
            plot = line_plot(series, title=caption, x_label="epoch", y_label=axis, zero_y=True)
            figures.append(Figure(caption, plot))
    values = Table("Values of the epoch", [Column(""), Column("after the first epoch")], rows, sortable=False)
    return Learning(logged, figures, values, damaged_lines)


def curve(label: str, name: str, epochs: Sequence[EpochRecord]) -> Series:
    """The epochs that measured it; a value that is not finite stays, to interrupt the line."""
    values = {epoch.epoch: epoch.lr if name == "lr" else epoch.metrics.get(name) for epoch in epochs}
    measured = {number: value for number, value in values.items() if value is not None}
    return Series(label, list(measured), list(measured.values()))


def facts(summary: RunSummary) -> list[tuple[str, object]]:
    """What the run is, and on what it ran."""
    return [
        ("recipe", summary.recipe),
        ("mixer", summary.mixer),
        ("seed", summary.seed),
        *([("weights", summary.weights)] if summary.weights else []),
        ("parameters", number_text(summary.parameters)),
        ("training time", duration(summary.seconds) if summary.seconds else "–"),
        ("device", summary.device),
        ("peak memory", f"{number_text(summary.peak_memory_mb)} MB"),
        ("versions", ", ".join(f"{name} {version}" for name, version in summary.versions.items())),
        ("commit", summary.commit or "not from a checkout"),
        ("recipe hash", summary.recipe_hash),
    ]


def command(folder: Path, summary: RunSummary) -> tuple[str, str]:
    """What makes the results again, and its name. In its own folder a finished run would only be tested."""
    trained_here = (folder / LOG).is_file() and not summary.weights  # only evaluations name their weights
    if not trained_here:
        return "to evaluate it", summary.decoded_by
    recipe = str(folder / "recipe.yaml")
    return "to repeat it", shlex.join(["python", "train.py", recipe, "--output_folder", "ANOTHER_FOLDER"])
