"""The report of a prepared split, `<split>.json`: counts, hours and every problem by name."""

import json
from collections.abc import Iterator
from pathlib import Path

from data_prep.problems import RULES

SAMPLE_RATE = 16000  # Hz, of training
NAMES_SHOWN = 5  # per kind of problem; the report has them all
EARLIER = {"normalizer": "none", "segments": 0}  # what reports of earlier versions do not say


def read_report(path: Path) -> dict:
    """The report; empty for a file that is missing or no report."""
    try:
        report = json.loads(path.read_text())
        is_report = isinstance(report, dict) and {"csv_sha256", "checked"} <= report.keys()
        return EARLIER | report if is_report else {}
    except (OSError, ValueError):
        return {}


def report_lines(report: dict, path: Path) -> Iterator[str]:
    """The report for the screen. path: of its file."""
    yield (
        f"{report['split']:<16} {report['utterances']:>7} utterances {report['hours']:>8.2f} hours"
        f" {report['speakers']:>5} speakers"
    )
    for kind, names in report["problems"].items():
        more = f", … (all in {path})" if len(names) > NAMES_SHOWN else ""
        yield f"  left out: {kind}: {len(names)}: {', '.join(names[:NAMES_SHOWN])}{more}"
        if kind in RULES:
            yield f"    the rule: {_rule(report, kind)}"
    for rate, count in report["sample_rates"].items():
        if int(rate) != SAMPLE_RATE:
            yield (
                f"  kept: {count} of {report['utterances']} files at {rate} Hz;"
                f" training resamples them to {SAMPLE_RATE} Hz"
            )
    if report["segments"]:
        yield f"  {report['segments']} are segments of longer files"
    if report["normalizer"] != "none":
        yield f"  text_normalizer {report['normalizer']}: the words are written so"
    if report["several_channels"]:
        yield f"  kept: {report['several_channels']} files with several channels; training takes their mean"
    if report["several_formats"]:
        yield f"  kept: {report['several_formats']} utterances with audio in several formats; FLAC is read, then WAV"


def refusal(report: dict, source: str | Path, path: Path) -> str:
    """Why the split of this report is refused: the message of a DataError. source: its folder, or its manifest."""
    count = report["utterances_found"]
    unusable = f"{count - report['utterances']} of {count} utterances are unusable" if count else "no utterance in it"
    kind = max(report["problems"], key=lambda kind: len(report["problems"][kind]), default=None)
    most = f", most by: {kind}" + (f" (the rule: {_rule(report, kind)})" if kind in RULES else "") if kind else ""
    return (
        f"{source}: {unusable}{most}; a split is refused when nothing is usable or more than 10 % is not"
        f" (each problem by name in {path}): repair it, fetch it again or choose other splits"
    )


def _rule(report: dict, kind: str) -> str:
    """The rule of a kind of problem, and the first line of a transcript that breaks it."""
    first = report["first_lines"].get(kind)
    return RULES[kind] + (f"; first bad line {first}" if first else "")
