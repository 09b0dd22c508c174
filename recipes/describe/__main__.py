"""Describe recipes, one line each: parameters, work, streaming state, published result.

    python -m recipes.describe hparams/*.yaml [--json | --markdown | --index]

- M: millions of parameters; the heads are the output layers of CTC and decoder, the front end counts to
  the encoder.
- multiply-adds: of one utterance's way from features to CTC, in matrix products and convolutions, in 10⁹.
- state: numbers that all mixers of a stream keep after 60 s, in chunks of 16 frames (640 ms) with all the
  past visible; where one of them needs the whole utterance, the line says so.
- published: the expected WER and its source, from the recipe's `about`.

Nothing is computed or allocated: tensors have shapes and no numbers.
"""

import argparse
import json
import sys
from pathlib import Path

from recipes.describe.description import Description, describe
from recipes.describe.index import index
from recipes.describe.tables import cells, lines, markdown
from recipes.errors import ArgumentParser, RecipeError, command_line


@command_line
def main(argv=None):
    parser = ArgumentParser(
        prog="python -m recipes.describe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipes", nargs="+", type=Path, metavar="hparams/NAME.yaml")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a JSON list")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    form.add_argument("--index", action="store_true", help="print hparams/README.md, language models included")
    options = parser.parse_args(argv)
    descriptions = [describe(path) for path in options.recipes]
    if options.index:
        print(index(descriptions), end="")
        return
    recognisers = [description for description in descriptions if isinstance(description, Description)]
    for path, description in zip(options.recipes, descriptions, strict=True):
        if description not in recognisers:
            print(f"{path}: left out, a language model; --index has it", file=sys.stderr)
    if not recognisers:
        raise RecipeError("none of these is a recipe of a recogniser")
    if options.json:
        as_dicts = [{**recogniser._asdict(), "about": recogniser.about._asdict()} for recogniser in recognisers]
        print(json.dumps(as_dicts, indent=2, ensure_ascii=False))
    else:
        print(
            "\n".join(
                markdown([cells(recogniser) for recogniser in recognisers]) if options.markdown else lines(recognisers)
            )
        )


if __name__ == "__main__":
    sys.exit(main())
