"""A run's report.html: what it got wrong, how sure that is, how it learnt, and how to repeat it.

    python -m recipes.reports RUN_FOLDER

One file that opens without internet; only the audio players point outside of it, to the corpus.
"""

import shlex
from pathlib import Path

from data_prep.arguments import ArgumentParser
from data_prep.files import write_atomically
from recipes.errors import RecipeError, command_line
from recipes.files import COMPARISON
from recipes.reports.error_analysis import read_aligned
from recipes.reports.error_sections import error_sections
from recipes.reports.page import render
from recipes.reports.run_sections import command, facts, headlines, learning, results
from recipes.scoring.results import SUMMARY, LanguageModelSummary, RunSummary


def write_report(folder: Path) -> Path:
    """Write folder/report.html from the folder's summary, logs and decoded utterances; returns its path.

    Raises RecipeError when the folder holds no results, or results that do not belong together. An earlier report
    stays until the new one is complete.
    """
    folder = Path(folder)
    check_is_of_a_recogniser(folder)
    again = decoding_command(folder)
    if not (folder / SUMMARY).is_file():
        raise RecipeError(f"{folder} holds no results: {again}")
    try:
        summary = RunSummary.read(folder)
        again = summary.decoded_by
        decoded = {split: read_aligned(folder, split, result) for split, result in summary.splits.items()}
    except RecipeError as error:
        raise RecipeError(f"{error}: evaluate again: {again}") from None
    recipe, rates = folder / "recipe.yaml", headlines(summary, decoded)
    page = render(
        "run.html.jinja",
        # The folder of an evaluation is named after what differs from the run's own test.
        title=" · ".join([summary.recipe, summary.mixer, *([folder.resolve().name] if summary.settings else [])]),
        summary=summary,
        headlines=rates,
        results=results(summary, rates),
        learning=learning(folder),
        errors=error_sections(decoded),
        facts=facts(summary),
        command=command(folder, summary),
        recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else None,
    )
    path = folder / "report.html"
    write_atomically(path, page)
    return path


def check_is_of_a_recogniser(folder: Path) -> None:
    """Raises RecipeError for a folder whose results are no recogniser's: no command would make them so."""
    if (folder / COMPARISON).is_file():
        again = shlex.join(["python", "compare.py", "--table", "--out", str(folder)])
        raise RecipeError(f"{folder} holds a comparison, whose report is made by {again}")
    try:
        LanguageModelSummary.read(folder)
    except RecipeError:
        return
    raise RecipeError(f"{folder} is a run of a language model, which has no report: its perplexities are in {SUMMARY}")


def decoding_command(folder: Path) -> str:
    """What decodes again in a folder whose summary does not say it: one of a run, or of one of its evaluations."""
    if folder.parent.name == "evaluations":
        return shlex.join(["python", "evaluate.py", str(folder.parents[1])])
    return shlex.join(["python", "train.py", str(folder / "recipe.yaml"), "--test_only"])


@command_line
def main(argv=None):
    parser = ArgumentParser(prog="python -m recipes.reports", description="Write a run's report.html.")
    parser.add_argument("run_folder", type=Path, help="folder of a run that was tested")
    print(write_report(parser.parse_args(argv).run_folder))
