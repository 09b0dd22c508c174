"""Memory and time of a training step: python -m benchmarks.memory hparams/X.yaml … --frames 1500 3000 6000

`--part mixer` runs a mixer alone, `--part encoder` the encoder, both on an utterance of as many 40 ms frames;
`--part model` runs the whole model, from audio to the joint loss, on a batch of `--batch` such utterances.
Every figure is measured in a process of its own, so that no run profits from memory that another one has allocated.
`--table FILE` prints a file that `--out` wrote as a Markdown table.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.memory.table import markdown
from benchmarks.results_file import earlier_results
from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError, command_line

COLUMNS = ("recipe", "mixer", "frames", "peak_mb", "step_s", "speech_s_per_s", "parameters", "multiply_adds_per_frame")
PARTS = ("mixer", "encoder", "model")
DOES_NOT_FIT = "does not fit"


def arguments(argv=None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", help="recipes in hparams/")
    parser.add_argument("--frames", type=int, nargs="+", default=[1500, 3000, 6000], help="encoder frames of 40 ms")
    parser.add_argument("--mixers", nargs="+", help="run every recipe with each of these instead of its own")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="keys of the recipes to change")
    parser.add_argument("--part", choices=PARTS, default="encoder")
    parser.add_argument("--batch", type=int, default=1, help="utterances, with --part model")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3, help="steps timed after a warm-up (0: none, only count)")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file too")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the figures of this file, run nothing")
    parser.add_argument("--in_this_process", action="store_true", help=argparse.SUPPRESS)  # a single figure
    return parser.parse_args(argv)


@command_line
def main(argv=None):
    """Measure every recipe, mixer and length, show each figure as it comes, and write them all."""
    options = arguments(argv)
    if options.table:
        print(markdown(options.table))
        return
    if not options.recipes:
        raise DataError("no recipe given: hparams/X.yaml …, or --table FILE")
    if options.part != "model" and options.batch != 1:
        raise DataError(f"--batch is for --part model, and --part {options.part} has one utterance")
    if options.part == "model" and not options.repeats:
        raise DataError("--part model can only be run: give --repeats 1 or more")
    from benchmarks.memory.measure import measure  # with models and recipes, which --table does without

    if options.in_this_process:
        print(json.dumps(measure(options)))
        return
    earlier_results(options.out, "benchmarks.memory", ("command", "machine", "rows"))
    print(f"{COLUMNS[0]:32}" + "".join(f"{name:>{len(name) + 8}}" for name in COLUMNS[1:]))
    rows = []
    for recipe in options.recipes:
        for mixer in options.mixers or [None]:
            for frames in options.frames:
                row = in_own_process(options, recipe, mixer, frames)
                rows.append(row)
                cells = "".join(f"{row.get(name, '')!s:>{len(name) + 8}}" for name in COLUMNS[1:])
                print(f"{row['recipe']:32}{cells}", row.get("problem", ""), flush=True)
    if options.out:
        write(options.out, rows, argv or sys.argv[1:], options.device)
    problems = sum(row.get("problem", DOES_NOT_FIT) != DOES_NOT_FIT for row in rows)
    if problems:
        raise DataError(f"{problems} of {len(rows)} could not be measured, for the reason at the end of the line")


def in_own_process(options: argparse.Namespace, recipe: str, mixer: str | None, frames: int) -> dict:
    """The figures of a recipe, mixer and length; a `problem` in place of the figures where there are none."""
    command = [sys.executable, "-m", "benchmarks.memory", recipe, "--in_this_process", "--frames", str(frames)]
    command += ["--part", options.part, "--batch", str(options.batch), "--precision", options.precision]
    command += ["--device", options.device, "--repeats", str(options.repeats)]
    command += ["--mixers", mixer] if mixer else []
    command += ["--set", *options.set] if options.set else []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment)
    if finished.returncode == 0:
        return json.loads(finished.stdout.splitlines()[-1])
    problem = (finished.stderr.strip().splitlines() or ["killed"])[-1]
    if finished.returncode < 0 or "memory" in problem.lower():
        problem = DOES_NOT_FIT
    return {"recipe": Path(recipe).stem, "mixer": mixer or "", "frames": frames, "problem": problem}


def write(path: Path, rows: list[dict], argv: list[str], device: str) -> None:
    from recipes.provenance import machine

    command = " ".join(["python -m benchmarks.memory", *argv])
    results = {"command": command, "machine": machine(device), "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
