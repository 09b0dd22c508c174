"""Decode with a saved run, with any search settings: python evaluate.py RUN_FOLDER --split test-clean test-other"""

import argparse
import shlex
import sys
from pathlib import Path

from data_prep.arguments import ArgumentParser
from recipes.asr import Evaluation, SavedRun, check_search, check_tunable, development, tune, with_ngram
from recipes.config.arguments import Arguments, parse_arguments
from recipes.config.source import plain
from recipes.errors import RecipeError, command_line
from recipes.training.processes import finish, start

USAGE = "evaluate.py RUN_FOLDER [--key value …]"
DESCRIPTION = """\
Decode test sets with a run of train.py (or a model that recipes.stock converted), and report word error rates.
The folder comes first. Keys of the recipe that say how to decode may follow: --test_search.beam 20,
--lm_folder runs/lm, --test_search null (greedy CTC), --data_folder, and SpeechBrain's run options (--device,
--eval_precision bf16). Results go to RUN_FOLDER/evaluations/, under a name that says what differs from the
recipe; the run itself stays as it is."""


def parse(argv: list[str]) -> tuple[argparse.Namespace, Arguments]:
    """The options of evaluate.py itself, and what is left for the recipe and SpeechBrain."""
    parser = ArgumentParser(
        prog="evaluate.py",
        description=DESCRIPTION,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--split", nargs="+", help="what to decode; without it, the test splits of the recipe")
    parser.add_argument(
        "--average", help="weights: best-5, last-5, or epochs 3-7; without it, those of the run's own test"
    )
    parser.add_argument(
        "--ngram", type=Path, help="CTC search with this word n-gram (ARPA or KenLM) in place of the recipe's search"
    )
    parser.add_argument(
        "--tune", action="store_true", help="first choose the search's weights on the validation splits"
    )
    parser.add_argument("--tune_split", nargs="+", help="splits to tune on instead; never a test split of the recipe")
    parser.add_argument(
        "--nbest",
        type=int,
        default=1,
        metavar="N",
        help="keep the N best sentences with their scores, at most the beam",
    )
    parser.add_argument("--out", "--output", type=Path, metavar="FOLDER", help="for the results")
    arguments, rest = parser.parse_known_args(argv)
    if arguments.nbest < 1:
        raise RecipeError(f"--nbest must be 1 or more, not {arguments.nbest}")
    recipe = arguments.run / "recipe.yaml"
    if not recipe.is_file():
        raise RecipeError(
            f"{arguments.run} is no run folder (it has no recipe.yaml): give first one that train.py wrote"
        )
    return arguments, parse_arguments([str(recipe), *rest], usage=USAGE)


def settings(own: argparse.Namespace, arguments: Arguments) -> dict:
    """The recipe's keys to change: those given, and those that evaluate.py's own options stand for."""
    chosen = with_ngram(own.ngram, arguments.overrides)
    if not own.split:
        return chosen
    if "test_manifest" in chosen:
        raise RecipeError("--split and --test_manifest both choose the data: give one of them")
    manifest = arguments.source.find("test_manifest")
    if manifest is not None and plain(manifest) is not None:
        chosen = chosen | {"test_manifest": None}  # which would take the place of the splits
    return chosen | {"test_splits": own.split}


@command_line
def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    own, arguments = parse(argv)
    wants_tuning = own.tune or bool(own.tune_split)
    run = SavedRun(own.run, settings(own, arguments), own.average, source=arguments.source)
    if wants_tuning:
        check_search(run)
    if own.nbest > 1 and run.hparams["test_search"] is None:
        raise RecipeError(f"--nbest {own.nbest}: greedy CTC (test_search: null) has one reading alone")
    evaluation = Evaluation(
        run,
        start(arguments.run_options),
        output=own.out,
        label="tuned" if wants_tuning else "",
        command=shlex.join(["python", "evaluate.py", *argv]),
    )
    if wants_tuning:
        check_tunable(evaluation)
    tuned_on = development(evaluation, own.tune_split) if wants_tuning else None
    with evaluation:
        if tuned_on:
            tune(evaluation, tuned_on)
        evaluation.evaluate(nbest=own.nbest)
    finish()


if __name__ == "__main__":
    sys.exit(main())
