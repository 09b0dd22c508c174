"""A run's report.html: what it got wrong, how sure that is, how it learnt, and how to repeat it.

    python -m recipes.reports RUN_FOLDER

One file that opens without internet; only the audio players point outside of it, to the corpus.
"""

import argparse
import json
from pathlib import Path

from data_prep.files import write_atomically
from recipes.errors import RecipeError, command_line
from recipes.reports.error_analysis import decoding_command, read_decoded
from recipes.reports.error_sections import error_sections
from recipes.reports.page import render
from recipes.reports.run_sections import SPLIT_FIELDS, command, facts, headlines, learning_curves, results

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

    Raises RecipeError when the folder holds no results, or results that do not belong together. An earlier report
    stays until the new one is complete.
    """
    folder = Path(folder)
    summary = read_summary(folder)
    advice = f"evaluate again: {decoding_command(folder, summary)}"
    decoded = {split: read_decoded(folder, split, entry, advice) for split, entry in summary["splits"].items()}
    curves, damaged_lines = learning_curves(folder)
    recipe, rates = folder / "recipe.yaml", headlines(summary, decoded)
    page = render(
        "run.html.jinja",
        title=f"{summary['recipe']} · {summary['mixer']}",
        summary={"seconds": None, **summary},
        headlines=rates,
        results=results(summary, rates),
        curves=curves,
        damaged_lines=damaged_lines,
        errors=error_sections(decoded),
        facts=facts(summary),
        command=command(folder, summary),
        recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else None,
    )
    path = folder / "report.html"
    write_atomically(path, page)
    return path


def read_summary(folder: Path) -> dict:
    """summary.json, with all that a report needs. Raises RecipeError for a missing or damaged one."""
    path, advice = folder / "summary.json", f"evaluate again: {decoding_command(folder)}"
    if not path.is_file():
        raise RecipeError(f"{folder} holds no results: {decoding_command(folder)}")
    try:
        summary = json.loads(path.read_bytes())
    except ValueError:
        raise RecipeError(f"{path}: cut short or damaged: {advice}") from None
    for field in RUN_FIELDS:
        if field not in summary:
            raise RecipeError(f"{path}: no field {field!r}: {advice}")
    for split, entry in summary["splits"].items():
        for field in SPLIT_FIELDS:
            if field not in entry:
                raise RecipeError(f"{path}: no field {field!r} for {split}: {advice}")
    return summary


@command_line
def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m recipes.reports", description="Write a run's report.html.")
    parser.add_argument("run_folder", type=Path, help="folder of a run that was tested")
    print(write_report(parser.parse_args(argv).run_folder))
