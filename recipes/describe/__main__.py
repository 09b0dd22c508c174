"""Describe recipes, one line each: parameters, work, streaming state, published result.

    python -m recipes.describe hparams/*.yaml [--json | --markdown | --index] [--key value …]

- --json prints a JSON list, --markdown a table, --index the file hparams/README.md, language models included.
- --mixer xnor, --layers 18: any key of the recipe, as train.py takes it; of all recipes that are named.
- M: millions of parameters; the heads are the output layers of CTC and decoder, the front end counts to
  the encoder.
- multiply-adds: of one utterance's way from features to CTC, in matrix products and convolutions, in 10⁹.
- state: numbers that all mixers of a stream keep after 60 s, in chunks of 16 frames (640 ms) with all the
  past visible; where one of them needs the whole utterance, the line says so.
- published: the expected WER and its source, from the recipe's `about`.

Nothing is computed or allocated: tensors have shapes and no numbers.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from recipes.config.split import split
from recipes.describe.description import Description, describe
from recipes.describe.index import index
from recipes.describe.tables import cells, lines, markdown
from recipes.errors import RecipeError, command_line

USAGE = "python -m recipes.describe hparams/NAME.yaml … [--json | --markdown | --index] [--key value …]"
FORMS = ("json", "markdown", "index")


def parse(argv: Sequence[str]) -> tuple[list[Path], str | None, dict[str, object]]:
    """The recipes, the form of what is printed (None: lines), and keys of the recipes."""
    names, keys = split(argv, usage=USAGE, flags=FORMS)
    forms = [name for name in FORMS if keys.pop(name, False)]
    if not names:
        raise RecipeError(f"no recipe given; usage: {USAGE}")
    if len(forms) > 1:
        raise RecipeError(f"give one of {' and '.join(f'--{form}' for form in forms)}")
    if keys and forms == ["index"]:
        raise RecipeError(f"--index describes recipes as they are: leave out --{next(iter(keys))}")
    return [Path(name) for name in names], next(iter(forms), None), keys


@command_line
def main(argv=None):
    argv = sys.argv[1:] if argv is None else list(argv)
    if "--help" in argv or "-h" in argv:
        print(__doc__, end="")
        return
    paths, form, keys = parse(argv)
    descriptions = [describe(path, keys) for path in paths]
    if form == "index":
        print(index(descriptions), end="")
        return
    recognisers = [description for description in descriptions if isinstance(description, Description)]
    for path, description in zip(paths, descriptions, strict=True):
        if description not in recognisers:
            print(f"{path}: left out, a language model; --index has it", file=sys.stderr)
    if not recognisers:
        raise RecipeError("none of these is a recipe of a recogniser")
    if form == "json":
        as_dicts = [{**recogniser._asdict(), "about": recogniser.about._asdict()} for recogniser in recognisers]
        print(json.dumps(as_dicts, indent=2, ensure_ascii=False))
    elif form == "markdown":
        print("\n".join(markdown([cells(recogniser) for recogniser in recognisers])))
    else:
        print("\n".join(lines(recognisers)))


if __name__ == "__main__":
    sys.exit(main())
