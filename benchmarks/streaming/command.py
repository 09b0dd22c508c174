"""What a stream costs: python -m benchmarks.streaming errors RUN… or cost --mixers NAME… or table FILE

errors: WER of runs that were trained on chunks, by length of the chunk and left context, beside whole utterances. Keys
of the recipe may follow, as for evaluate.py: --test_search null. cost: state and CPU time of a chunk after 1 minute and
after 1 hour, of models with random weights. Both write into one JSON file, each its own part, rows of the same
recipe, mixer, search and seed in place of older ones. table: prints such a file.
"""

import argparse
import json
from pathlib import Path

import torch

from benchmarks.streaming import accuracy, cost
from benchmarks.streaming.table import read, tables
from data_prep.arguments import ArgumentParser
from mixers import Context
from recipes.errors import RecipeError, command_line
from recipes.files import write_json
from recipes.provenance import commit, versions

ALL = "all"


def left(text: str) -> int | None:
    return None if text == ALL else int(text)


def parse(argv=None) -> tuple[argparse.Namespace, list[str]]:
    parser = ArgumentParser(
        prog="python -m benchmarks.streaming",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parsers = parser.add_subparsers(dest="part", required=True)
    errors, chunks, table = (parsers.add_parser(part, allow_abbrev=False) for part in ("errors", "cost", "table"))
    table.add_argument("file", type=Path, metavar="FILE", help="that --out has written")
    errors.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="of train.py with `streaming`")
    errors.add_argument("--chunks", nargs="+", type=int, default=[4, 8, 16, 32], help="frames of 40 ms")
    errors.add_argument("--left_chunks", nargs="+", type=left, default=[2, 8, None], help="whole chunks, or all")
    chunks.add_argument("--recipe", type=Path, default=Path("hparams/conformer_summarymixing_100h.yaml"))
    chunks.add_argument(
        "--mixers", nargs="+", default=["summarymixing", "linear_attention", "gated_delta", "attention"]
    )
    chunks.add_argument("--chunk", type=int, default=16)
    chunks.add_argument("--left_chunks", type=left, default=None)
    chunks.add_argument("--minutes", nargs="+", type=float, default=[1, 60])
    chunks.add_argument("--repeats", type=int, default=15)
    for part in (errors, chunks):
        part.add_argument("--out", type=Path, help="JSON file for the figures")
    own, rest = parser.parse_known_args(argv)
    if own.part != "errors" and rest:
        raise RecipeError(f"{own.part} takes no {rest[0]}")
    return own, rest


def rows_of(own: argparse.Namespace, rest: list[str]):
    if own.part == "cost":
        torch.set_num_threads(1)
        yield from cost.measure(own.recipe, own.mixers, Context(own.chunk, own.left_chunks), own.minutes, own.repeats)
        return
    for run in own.runs:
        yield from accuracy.measure(run, accuracy.contexts(own.chunks, own.left_chunks), rest)


def key(row: dict) -> tuple:
    model = tuple(row.get(name) for name in ("recipe", "mixer", "search", "seed"))
    return *model, (row["chunk"], row["left_chunks"]) if "minutes" in row else None


@command_line
def main(argv=None):
    own, rest = parse(argv)
    if own.part == "table":
        print(tables(read(own.file)))
        return
    rows = []
    for row in rows_of(own, rest):
        rows.append(row)
        print(json.dumps(row), flush=True)
    if own.out:
        older = read(own.out) if own.out.is_file() else {}
        new = {key(row) for row in rows}
        kept = [row for row in older.get(own.part, []) if key(row) not in new]
        write_json(own.out, {**older, "commit": commit(), "versions": versions(), own.part: kept + rows})
