"""Accidents that must do no harm: python -m benchmarks.reliability

kills: trainings that are killed at random moments and resumed must end with the weights, the scores and the log of an
unbroken one. processes: two processes must equal one with gradient accumulation. bad_inputs: each mistake of a user
must give one line, and nothing else must happen. manifests: time and memory of preparing a corpus as large as
LibriSpeech, and of starting a training on it. soak: memory and time of an epoch, over a long training.
Everything runs on one thread of the CPU, in a temporary folder; all of it takes half an hour.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.reliability.bad_inputs import ROWS
from benchmarks.reliability.kills import VARIANTS, try_kills
from benchmarks.reliability.manifests import LIBRISPEECH, measure_manifests
from benchmarks.reliability.mistakes import try_mistakes
from benchmarks.reliability.processes import try_processes
from benchmarks.reliability.programs import load
from benchmarks.reliability.soak import EARLY, soak
from benchmarks.reliability.tiny_run import small_corpus
from benchmarks.results_file import earlier_results, with_part
from data_prep.arguments import ArgumentParser
from recipes.errors import RecipeError, command_line
from recipes.files import write_json
from recipes.provenance import commit, machine

PARTS: dict[str, Callable[[argparse.Namespace, Path, Path], dict]] = {
    "kills": lambda options, data, folder: try_kills(data, folder, options.kills, options.seed, options.variants),
    "processes": lambda options, data, folder: try_processes(data, folder),
    "bad_inputs": lambda options, data, folder: try_mistakes(ROWS[:: options.every], folder),
    "manifests": lambda options, data, folder: measure_manifests(folder, options.utterances, not options.no_start),
    "soak": lambda options, data, folder: soak(data, folder, options.epochs),
}


def arguments(argv=None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks.reliability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument("--kills", type=int, default=20, help="trainings to kill (default: %(default)s)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="give every Nth bad input (default: all)")
    parser.add_argument("--utterances", type=int, default=LIBRISPEECH, help="to prepare (default: %(default)s)")
    parser.add_argument("--no_start", action="store_true", help="do not start a training on these")
    parser.add_argument("--epochs", type=int, default=500, help="of the long training (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made (default: the system's)")
    parser.add_argument("--out", type=Path, default=Path("results/reliability.json"), help="default: %(default)s")
    options = parser.parse_args(argv)
    for name, least in (("kills", 1), ("every", 1), ("utterances", 1), ("epochs", EARLY + 1)):
        if getattr(options, name) < least:
            raise RecipeError(f"--{name} must be {least} or more")
    return options


@command_line
def main(argv=None):
    options = arguments(argv)
    results = earlier_results(options.out, "benchmarks.reliability", PARTS)
    head = {
        "command": shlex.join(["python", "-m", "benchmarks.reliability", *(sys.argv[1:] if argv is None else argv)]),
        "machine": machine("cpu"),
        "commit": commit(),
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        load()
        data = small_corpus(Path(temporary) / "corpus")
        for part in options.parts:
            folder = Path(temporary) / part
            folder.mkdir()
            results = with_part(results, head, part, PARTS[part](options, data, folder))
            print(f"{part}: {results[part]}", flush=True)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(options.out, results)  # after every part: the later ones take long
