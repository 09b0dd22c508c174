"""A run's report.html: what it got wrong, how sure that is, how it learnt, and how to repeat it.

    python -m recipes.reports RUN_FOLDER

One file that opens without internet; only the audio players point outside of it, to the corpus.
"""

import argparse
import json
from pathlib import Path

from data_prep.files import write_atomically
from recipes.errors import RecipeError, command_line
from recipes.reports import error_sections as html_sections
from recipes.reports import page as html
from recipes.reports import run_sections as html_run
from recipes.reports.errors import evaluation, read_decoded

RUN_FIELDS = (
    "recipe",
    "mixer",
    "seed",
    "splits",
    "parameters",
    "peak_memory_mb",
    "device",
    "versions",
    "commit",
    "recipe_hash",
)


def write_report(folder: Path) -> Path:
    """Write folder/report.html from the folder's summary, logs and decoded utterances; returns its path.

    Raises RecipeError when the folder holds no results, or such as do not belong together. An earlier report
    stays until the new one is complete.
    """
    folder = Path(folder)
    summary = read_summary(folder)
    again = evaluation(folder, summary)
    decoded = {split: read_decoded(folder, split, entry, again) for split, entry in summary["splits"].items()}
    parts = [html_run.heading(summary), html_run.results(summary, decoded), html_run.learning_curves(folder)]
    if decoded:
        parts += [
            html_sections.speakers(decoded),
            html_sections.lengths(decoded),
            html_sections.words(decoded),
            html_sections.confusions(decoded),
            html_sections.worst_utterances(decoded),
        ]
    parts.append(html_run.this_run(folder, summary))
    path = folder / "report.html"
    write_atomically(path, html.page(html_run.title(summary), html.join(parts)))
    return path


def read_summary(folder: Path) -> dict:
    """summary.json, with all that a report needs. Raises RecipeError for a missing or damaged one."""
    path, again = folder / "summary.json", f"evaluate again: {evaluation(folder)}"
    if not path.is_file():
        raise RecipeError(f"{folder} holds no results: {evaluation(folder)}")
    try:
        summary = json.loads(path.read_bytes())
    except ValueError:
        raise RecipeError(f"{path}: cut short or damaged: {again}") from None
    for field in RUN_FIELDS:
        if field not in summary:
            raise RecipeError(f"{path}: no field {field!r}: {again}")
    for split, entry in summary["splits"].items():
        for field in html_run.SPLIT_FIELDS:
            if field not in entry:
                raise RecipeError(f"{path}: no field {field!r} for {split}: {again}")
    return summary


@command_line
def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m recipes.reports", description="Write a run's report.html.")
    parser.add_argument("run_folder", type=Path, help="folder of a run that was tested")
    print(write_report(parser.parse_args(argv).run_folder))
