"""How fast our parts are beside SpeechBrain's, and how far from plain matrix products: python -m benchmarks.speed

mixers: each at d_model 512; encoders: whole Conformers of recipes; steps: training steps from samples to new weights;
decoding: joint beam search; transcription: greedy CTC, and the next chunk of a stream. Ours, the peers and a matrix
product take turns in this process, so that ratios hold on a busy machine too. On one thread only CPU time counts.
--reference FOLDER is a checkout of github.com/SamsungLabs/SummaryMixing. --peer MIXER=FILE.py:FUNCTION is any other
module, made by FUNCTION(d_model, heads), such as XNOR of its authors. Neither is kept here.
--check compares with a file that --out wrote, and names what has become slower by over 10 %. It compares costs in units
of the machine's own matrix products, so it works across machines whose memory is similar.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.results_file import earlier_results
from benchmarks.speed import report
from benchmarks.speed.timing import Case, measure
from data_prep.arguments import ArgumentParser
from recipes.errors import RecipeError, command_line
from recipes.files import read_rows, write_json
from recipes.provenance import commit, machine, versions
from recipes.training.allocator import keep_freed_memory

PARTS = ("mixers", "encoders", "steps", "decoding", "transcription")


def arguments(argv=None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument("--modes", nargs="+", choices=("inference", "training"), default=["inference", "training"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="default: 1")
    parser.add_argument("--frames", type=int, nargs="+", default=[125, 750, 1500, 15000], help="of 40 ms, for mixers")
    parser.add_argument("--seconds_of_speech", type=float, nargs="+", default=[12], help="for all else (default: 12)")
    parser.add_argument("--batches", type=int, nargs="+", default=[4], help="utterances at once (default: 4)")
    parser.add_argument("--seconds", type=float, default=3, help="for each row, at least (default: %(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="keys of the recipes to change")
    parser.add_argument("--reference", type=Path, metavar="FOLDER", help="the authors' SummaryMixing")
    parser.add_argument("--peer", action="append", default=[], metavar="MIXER=FILE.py:FUNCTION")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare with this file")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the tables of this file, run nothing")
    parser.add_argument("--plot", type=Path, nargs=2, metavar=("FILE", "SVG"), help="draw a file, run nothing")
    options = parser.parse_args(argv)
    for name in ("threads", "frames", "batches", "seconds_of_speech"):
        if min(getattr(options, name)) <= 0:
            raise RecipeError(f"--{name} must be above 0")
    if wrong := [pair for pair in options.set if "=" not in pair]:
        raise RecipeError(f"--set {wrong[0]}: write KEY=VALUE")
    return options


def peers(options: argparse.Namespace) -> dict:
    """What makes the user's peers, by row or by mixer."""
    from benchmarks.speed.reference import authors_summary_mixing, users_peer

    build = dict(users_peer(text) for text in options.peer)
    if options.reference:
        of_mode = authors_summary_mixing(options.reference)
        build |= {"summarymixing": of_mode("SummaryMixing")}
        build |= {"summarymixing, lite, 4 heads": of_mode("SummaryMixing-lite")}
    return build


def cases(options: argparse.Namespace) -> Iterator[Case]:
    from benchmarks.speed import modules, programs

    overrides = dict(pair.split("=", 1) for pair in options.set)
    speech, batches = options.seconds_of_speech, options.batches
    frames = [max(int(length * modules.FRAMES_PER_SECOND), 1) for length in speech]
    makers: dict[str, Callable[[], Iterator[Case]]] = {
        "mixers": partial(modules.mixer_cases, options.frames, batches, options.modes, peers(options)),
        "encoders": partial(modules.encoder_cases, frames, batches, options.modes, overrides),
        "steps": partial(programs.step_cases, speech, batches, overrides),
        "decoding": partial(programs.search_cases, min(max(16, *frames), 100), [1, 8], 10),
        "transcription": partial(programs.transcription_cases, speech, overrides),
    }
    for part in options.parts:
        yield from makers[part]()


def run(options: argparse.Namespace, argv: Sequence[str]) -> list[dict]:
    """The rows, each shown as it comes, and written where a file is named: the later ones take long."""
    keep_freed_memory()  # as in a training; the peers have it too
    about, rows = provenance(argv), []
    for threads in options.threads:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        for case in cases(options):
            rows.append({"threads": threads, **measure(case, options.seconds)})
            print(report.line(rows[-1]), flush=True)
            if options.out:
                write_json(options.out, {**about, "rows": rows})
    return rows


def provenance(argv: Sequence[str]) -> dict:
    command = shlex.join(["python", "-m", "benchmarks.speed", *argv])
    return {"command": command, "machine": machine("cpu"), "versions": versions(), "commit": commit()}


def rows_of(file: Path) -> list[dict]:
    """Raises RecipeError for a file of another kind."""
    return read_rows(file, "benchmarks.speed", ("part", "name", "mode", "batch", "threads", "seconds", "times_ours"))


@command_line
def main(argv=None) -> int:
    options = arguments(argv)
    if options.table:
        print(report.tables(rows_of(options.table)))
        return 0
    if options.plot:
        source, drawing = options.plot
        drawing.write_text(report.plot(rows_of(source)), encoding="utf-8")
        return 0
    earlier_results(options.out, "benchmarks.speed", ())
    committed = rows_of(options.check) if options.check else []
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
    slower = report.slower(run(options, sys.argv[1:] if argv is None else argv), committed)
    print("".join(f"{message}\n" for message in slower), end="")
    return 1 if slower else 0
