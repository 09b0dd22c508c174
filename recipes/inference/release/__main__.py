"""Make a folder of a trained run that others can load: `python -m recipes.inference.release RUN OUT`."""

from pathlib import Path

from data_prep.arguments import ArgumentParser
from recipes.asr.saved_run import SavedRun
from recipes.config import read_recipe
from recipes.errors import RecipeError, command_line
from recipes.files import check_free
from recipes.inference.release.writing import LICENCE, write_release
from recipes.release_files import CARD, RECIPE, is_release

DESCRIPTION = "Make a folder of a trained run that others can load: weights, tokenizer, recipe, model card."


@command_line
def main(argv=None):
    parser = ArgumentParser(prog="python -m recipes.inference.release", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder that train.py wrote")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--name", help="of the model, in its card; otherwise recipe and mixer")
    parser.add_argument("--licence", default=LICENCE, help=f"of the weights, as SPDX names it (default: {LICENCE})")
    parser.add_argument("--data", metavar="TEXT", help="what the card says of the data beside their names and hours")
    parser.add_argument("--trust", action="store_true", help="the recipe may name classes that are not on the list")
    arguments = parser.parse_args(argv)
    if is_release(arguments.run):
        raise RecipeError(f"{arguments.run} is a release already: copy it")
    if not (arguments.run / RECIPE).is_file():
        raise RecipeError(f"{arguments.run} is no run folder (it has no {RECIPE}): give first one that train.py wrote")
    check_free(arguments.out)
    source = read_recipe(arguments.run / RECIPE, trust=arguments.trust)
    run = SavedRun(arguments.run, {}, source=source)
    out = write_release(run, arguments.out, name=arguments.name, licence=arguments.licence, data=arguments.data)
    print(f"{out}: released under {arguments.licence}, with the {run.weights_name}; do read {out / CARD}")


if __name__ == "__main__":
    raise SystemExit(main())
