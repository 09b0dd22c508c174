"""The parts of a run's report about the run itself: results, learning curves, and how to repeat it."""

import json
import math
import shlex
from pathlib import Path

from recipes.reports import page as html
from recipes.reports.error_sections import SECTIONS, Decoded, range_text
from recipes.reports.errors import evaluation, interval
from recipes.reports.plots import Series, line_plot

COUNTS = ("substitutions", "deletions", "insertions", "words", "utterances")
SPLIT_FIELDS = ("wer", *COUNTS, "wer_greedy_ctc")
MORE_COLUMNS = (  # that only some runs have: key of summary.json, head, digits, factor
    ("rtf", "real-time factor", 3, 1),
    ("audio_seconds", "audio, min", 1, 1 / 60),
    ("merged_wer", "WER %, homophones as one", 2, 1),
    ("homophone_error", "homophone errors %", 2, 1),
    ("homophones_seen", "homophones seen %", 2, 1),
)
CURVES = (  # heading, axis, and (key of log.jsonl, name in the legend)
    ("Loss", "loss", (("train_loss", "training"), ("valid_loss", "validation"))),
    ("Validation WER", "WER, %", (("valid_wer_greedy_ctc", "greedy CTC"), ("valid_wer", "beam search"))),
    ("Learning rate", "learning rate", (("lr", "learning rate"),)),
    ("Homophone errors in validation", "errors, %", (("valid_homophone_error", "homophone errors"),)),
)
NOTE = (
    "WER is the word error rate of the recipe's own search; that of greedy CTC stands beside it. Words are "
    "compared as the transcripts write them: nothing is normalised. Intervals are 95 % bootstrap intervals "
    "over utterances."
)


def title(summary: dict) -> str:
    return f"{summary['recipe']} · {summary['mixer']}"


def heading(summary: dict) -> html.Html:
    """Title, size and age of the run, and links to the sections."""
    sections = {"results": "Results", "curves": "Learning curves"} | (SECTIONS if summary["splits"] else {})
    sections["run"] = "This run"
    links = "\n".join(f'<a href="#{anchor}">{html.text(name)}</a>' for anchor, name in sections.items())
    trained = f", trained for {duration(summary['seconds'])}" if summary.get("seconds") else ""
    told = f"{summary['parameters'] / 1e6:.2f} M parameters, seed {summary['seed']}{trained}"
    told = html.paragraph(told, "muted")
    return html.Html(f"<header><h1>{html.text(title(summary))}</h1>{told}<nav>{links}</nav></header>\n")


def results(summary: dict, decoded: Decoded) -> html.Html:
    """WER of each test set with its interval and counts."""
    splits = summary["splits"]
    if not splits:
        return html.section("results", "Results", html.paragraph("This run has no test set."))
    more = [column for column in MORE_COLUMNS if any(one.get(column[0]) is not None for one in splits.values())]
    heads = ["test set", "WER %", "95 % interval", "sub", "del", "ins", "words", "utterances"]
    heads += ["greedy CTC WER %", *(head for _, head, _, _ in more)]
    headlines, rows = [], []
    for split, one in splits.items():
        sure = one.get("interval") or interval(decoded[split])
        told = f"95 % interval {range_text(sure)} %" if sure else "no interval from one utterance"
        headlines.append(
            f'<div class="headline"><p class="muted">{html.text(split)}</p><div class="value">'
            f"{html.number(one['wer'], 2)}<small> % WER</small></div><p>{told}</p></div>"
        )
        counts = [html.Number(one[key]) for key in COUNTS]
        row = [
            split,
            html.Number(one["wer"], 2),
            range_text(sure),
            *counts,
            html.Number(one["wer_greedy_ctc"], 2),
        ]
        for key, _, digits, factor in more:
            row.append(html.Number(None if one.get(key) is None else one[key] * factor, digits))
        rows.append(row)
    return html.section(
        "results",
        "Results",
        html.Html(f'<div class="headlines">{"".join(headlines)}</div>'),
        html.table("Errors by test set", heads, rows, sortable=False),
        html.paragraph(NOTE, "note"),
    )


def learning_curves(folder: Path) -> html.Html:
    """From log.jsonl. A run that went on after a stop may have repeated an epoch: its last line counts."""
    heading, path = "Learning curves", folder / "log.jsonl"
    if not path.is_file():
        told = "There is no log.jsonl: this model was not trained in this folder."
        return html.section("curves", heading, html.paragraph(told))
    by_epoch, unreadable = {}, 0
    for line in path.read_bytes().splitlines():
        try:
            one = json.loads(line)
            by_epoch[int(one["epoch"])] = one
        except (ValueError, KeyError, TypeError):
            unreadable += 1
    plots = []
    for name, axis, lines in CURVES:
        series = [_curve(label, key, by_epoch) for key, label in lines]
        series = [one for one in series if any(map(math.isfinite, one.y))]
        if series:
            only = f" ({series[0].label})" if len(series) < len(lines) else ""
            drawn = line_plot(series, title=name + only, x_label="epoch", y_label=axis, zero_y=True)
            plots.append(html.figure(name + only, drawn))
    parts = [html.columns(plots) if plots else html.paragraph("log.jsonl holds no finished epoch.")]
    if unreadable:
        told = f"Left out: {unreadable} line{'s' * (unreadable > 1)} of log.jsonl, cut short or damaged."
        parts.append(html.paragraph(told, "note"))
    return html.section("curves", heading, *parts)


def this_run(folder: Path, summary: dict) -> html.Html:
    """What it takes to repeat the run."""
    recipe = folder / "recipe.yaml"
    command = evaluation(folder, summary)
    trained = (folder / "log.jsonl").is_file() and "weights" not in summary  # which evaluations have
    if trained:  # in its own folder a finished run would only be tested
        command = shlex.join(["python", "train.py", str(recipe), "--output_folder", "ANOTHER_FOLDER"])
    pairs = [
        ("recipe", summary["recipe"]),
        ("mixer", summary["mixer"]),
        ("seed", summary["seed"]),
        *([("weights", summary["weights"])] if "weights" in summary else []),
        ("parameters", html.number(summary["parameters"])),
        ("training time", duration(summary["seconds"]) if summary.get("seconds") else "–"),
        ("device", summary["device"]),
        ("peak memory", f"{html.number(summary['peak_memory_mb'])} MB"),
        ("versions", ", ".join(f"{name} {version}" for name, version in summary["versions"].items())),
        ("commit", summary["commit"] or "not from a checkout"),
        ("recipe hash", summary["recipe_hash"]),
        ("to repeat it" if trained else "to evaluate it", html.Html(f"<code>{html.text(command)}</code>")),
    ]
    if recipe.is_file():
        shown = html.text(recipe.read_text(encoding="utf-8"))
        details = html.Html(f"<details><summary>The whole recipe</summary><pre>{shown}</pre></details>\n")
    else:
        details = html.paragraph("There is no recipe.yaml in this folder.")
    return html.section("run", "This run", html.facts(pairs), details)


def duration(seconds: float) -> str:
    """286 → 4 min 46 s; 90061 → 25 h 1 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _curve(label: str, key: str, by_epoch: dict[int, dict]) -> Series:
    """The epochs that measured it; a value that is not finite stays, to interrupt the line."""
    measured = {number: one[key] for number, one in sorted(by_epoch.items()) if one.get(key) is not None}
    return Series(label, list(measured), list(measured.values()))
