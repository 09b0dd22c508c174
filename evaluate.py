"""Decode with a saved run, with any search settings: python evaluate.py RUN_FOLDER --split test-clean test-other"""

import argparse
import sys
from pathlib import Path

from recipes.arguments import parse_arguments
from recipes.errors import RecipeError, command_line
from recipes.saved_run import SavedRun

DESCRIPTION = """\
Decode test sets with a run that train.py (or recipes.from_speechbrain) left, and report word error rates.
Keys of the recipe that say how to decode may follow: --test_search.beam 20, --lm_folder runs/lm_transformer/1234,
--test_search null (greedy CTC), --data_folder. Results go to RUN_FOLDER/evaluations/, under a name that says
what differs from the recipe; the run itself stays as it is."""


def parse(argv):
    parser = argparse.ArgumentParser(
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
    parser.add_argument("--nbest", type=int, default=1, metavar="N", help="keep the N best sentences with their scores")
    parser.add_argument("--output", type=Path, help="folder for the results")
    arguments, rest = parser.parse_known_args(argv)
    recipe = arguments.run / "recipe.yaml"
    if not recipe.is_file():
        raise RecipeError(f"{arguments.run} is no run folder (it has no recipe.yaml): give one that train.py wrote")
    return arguments, parse_arguments([str(recipe), *rest])


@command_line
def main(argv=None):
    own, of_recipe = parse(sys.argv[1:] if argv is None else argv)
    overrides = dict(of_recipe.overrides)
    if own.ngram:
        overrides["test_search"] = f"!new:recipes.ngram_search.NgramCTCSearch {{ngram: '{own.ngram}'}}"
    if own.split:
        overrides["test_splits"] = own.split
    tune = own.tune or bool(own.tune_split)
    run = SavedRun(
        own.run, overrides, of_recipe.run_options, average=own.average, output=own.output,
        label="tuned" if tune else "",
    )  # fmt: skip
    if tune:
        run.tune(own.tune_split)
    run.evaluate(nbest=own.nbest)


if __name__ == "__main__":
    sys.exit(main())
