"""Describe recipes, one line each: parameters, work, streaming state, published result.

    python -m recipes.describe hparams/*.yaml [--json | --markdown]

- M: millions of parameters; the heads are the output layers of CTC and decoder, the front end counts to
  the encoder.
- multiply-adds: of one utterance's way from features to CTC, in matrix products and convolutions, in 10⁹.
- state: numbers that all mixers of a stream keep after 60 s, in chunks of 16 frames (640 ms) with all the
  past visible; where one of them must hear the whole utterance, it says so.
- published: the recipe's head comment after `# Published:`, which ends where the next `# Word:` begins. Its
  first part, up to a semicolon, is the expected WER and its source; the rest is in the JSON.

Nothing is computed or allocated: tensors are fake and know their shapes alone.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mixers.base import Context
from recipes.config import load, read_recipe
from recipes.cost import encoder_multiply_adds, parameter_count
from recipes.errors import RecipeError, command_line
from recipes.models.recogniser import Recogniser

SECONDS = (10, 60)
CONTEXT = Context(chunk=16, left_chunks=None)
FRAMES_PER_SECOND = 25  # encoder frames
WHOLE = "whole utterance"


class Description(NamedTuple):
    """What ``describe`` finds out about a recipe; see the top of this file."""

    recipe: str
    encoder_type: str
    mixer: str
    parameters: int
    encoder: int
    decoder: int
    heads: int
    multiply_adds: dict[int, int]  # by seconds of speech
    streaming_state: int | None  # None: the whole utterance
    published: str
    published_details: str
    run_by_us: str


def describe(path: Path) -> Description:
    """Build the recipe's model without memory and look at it. Raises RecipeError for what is no recipe."""
    with FakeTensorMode(), torch.no_grad():
        # The features have no parameters, and their filters come from real numbers.
        recipe = load(path, {"data_folder": "none", "model.features": None})
        model = recipe.hparams["model"].eval()
        multiply_adds = {seconds: encoder_multiply_adds(model, seconds) for seconds in SECONDS}
    outputs = [model.ctc] + ([model.decoder.out] if model.decoder is not None else [])
    heads = sum(map(parameter_count, outputs))
    decoder = parameter_count(model.decoder) - parameter_count(model.decoder.out) if model.decoder is not None else 0
    comments = head_comment(recipe.text)
    published = comments.get("Published", "").removesuffix(".")
    return Description(
        recipe=Path(path).stem,
        encoder_type=type(model.encoder).__name__,
        mixer=recipe.hparams["mixer_name"],
        parameters=parameter_count(model),
        encoder=parameter_count(model) - decoder - heads,
        decoder=decoder,
        heads=heads,
        multiply_adds=multiply_adds,
        streaming_state=streaming_state(model),
        published=published.partition(";")[0],
        published_details=published.partition(";")[2].strip(),
        run_by_us=comments.get("Ours", "").removesuffix("."),
    )


def streaming_state(model: Recogniser) -> int | None:
    """Numbers that all mixers keep at the end of a stream of 60 s; None where one cannot stream."""
    try:
        frames = SECONDS[-1] * FRAMES_PER_SECOND
        return sum(block.mixer.state_size(frames, CONTEXT) for block in model.encoder.blocks)
    except ValueError:
        return None


def head_comment(text: str) -> dict[str, str]:
    """The parts of a recipe's first comment that begin with `# Word:`, by that word, each on one line."""
    lines = re.match(r"(?:#.*\n)*", text).group().splitlines()
    parts, word = {}, None
    for line in (line.lstrip("# ").rstrip() for line in lines):
        begins = re.match(r"([A-Z]\w*): *(.*)", line)
        if begins:
            word, line = begins.groups()
        if word:
            parts[word] = f"{parts.get(word, '')} {line}".strip()
    return parts


def cells(one: Description) -> dict[str, str]:
    """What people are shown, by the head of its column."""
    return {
        "recipe": one.recipe,
        "encoder": f"{one.encoder_type}, {one.mixer}",
        "parameters": f"{one.parameters / 1e6:.2f} M",
        "encoder M": f"{one.encoder / 1e6:.2f}",
        "decoder M": f"{one.decoder / 1e6:.2f}",
        "heads M": f"{one.heads / 1e6:.2f}",
        **{f"10⁹ multiply-adds, {seconds} s": f"{work / 1e9:.1f}" for seconds, work in one.multiply_adds.items()},
        "state": WHOLE if one.streaming_state is None else short(one.streaming_state),
        "published": one.published or "none",
    }


def short(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.1f} k"


def lines(described: list[Description]) -> list[str]:
    """A line for each recipe, all in columns; the first word is its name, then comes its size."""
    rows = []
    for one in described:
        name, encoder, total, *parts, ten, sixty, state, published = cells(one).values()
        sizes = ", ".join(f"{kind} {part}" for kind, part in zip(("encoder", "decoder", "heads"), parts, strict=True))
        work = f"{ten} / {sixty} G multiply-adds"
        rows.append((name, total, sizes, work, f"state {state}", f"{encoder}; published: {published}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def markdown(described: list[Description]) -> list[str]:
    """The same as a Markdown table, with what we ran of each recipe."""
    rows = [{**cells(one), "run by us": one.run_by_us or "–"} for one in described]
    rows = [{head: f"`{cell}`" if head == "recipe" else cell for head, cell in row.items()} for row in rows]
    table = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return [f"| {' | '.join(row)} |" for row in table]


@command_line
def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m recipes.describe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipes", nargs="+", type=Path, metavar="hparams/NAME.yaml")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a JSON list")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args(argv)
    described = []
    for path in options.recipes:
        if read_recipe(path).find("model") is not None:
            described.append(describe(path))
        else:
            print(f"{path}: left out, for it has no key 'model'", file=sys.stderr)
    if not described:
        raise RecipeError("none of these files is a recipe")
    if options.json:
        print(json.dumps([one._asdict() for one in described], indent=2))
    else:
        print("\n".join((markdown if options.markdown else lines)(described)))


if __name__ == "__main__":
    sys.exit(main())
