"""Which mixer, at what cost, with how much certainty: train every one with several seeds and compare them.

    python compare.py hparams/context.yaml --data_folder FOLDER --mixers summarymixing attention --seeds 3

An entry of --mixers is [NAME=]MIXER[,KEY=VALUE...]: a mixer, a hybrid (summarymixing*3+attention*1), and
recipe keys of its own; with a name, one mixer can stand there several times (slow=attention,lr=1e-3). All
other options are those of train.py: recipe keys (--lr 1e-3) and run options, for all entries alike.

The same command again, also days later, runs only what is missing or unfinished. Exit status: 1 where a run
crashed, which does not stop the others; 2 for a mistake in the command.
"""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.arguments import ArgumentParser
from recipes.bakeoff import check_places, show_results
from recipes.errors import RecipeError, command_line


def arguments(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of this program, and what it hands on to train.py."""
    parser = ArgumentParser(
        usage="%(prog)s hparams/NAME.yaml --mixers ENTRY [ENTRY ...] [--key value ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--mixers", nargs="+", metavar="ENTRY", help="[NAME=]MIXER[,KEY=VALUE...]")
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[3],
        metavar="N",
        help="how many, from the recipe's seed on (default: 3); or several: the seeds themselves",
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, the cores divided among them")
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="what p is against (default: that of the folder; of a new one attention, or the first entry)",
    )
    parser.add_argument("--seconds", type=float, help="the same training time for all, instead of the same steps")
    parser.add_argument(
        "--match_parameters",
        action="store_true",
        help="feed-forward widths such that all are as large as the baseline",
    )
    parser.add_argument("--out", type=Path, help="folder of the comparison (default: runs/compare/RECIPE)")
    parser.add_argument("--table", action="store_true", help="only make tables and report anew, of what is there")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="copy the small files there, to be committed")
    parser.add_argument(
        "--benchmark", type=Path, metavar="FILE", help="of benchmarks.memory --out: time against length"
    )
    return parser.parse_known_args(argv)


def check_table(options: argparse.Namespace, shared: Sequence[str]) -> None:
    """Raises RecipeError for what `--table` does not heed: it makes tables of what is there."""
    unheeded = [argument for argument in shared if argument.startswith("--")]
    unheeded += [f"--{name}" for name in ("mixers", "seconds", "match_parameters") if getattr(options, name)]
    if unheeded:
        raise RecipeError(f"{unheeded[0]}: --table trains nothing, it takes --out, --baseline, --results, --benchmark")


def folder_of(options: argparse.Namespace, shared: Sequence[str]) -> Path:
    """Where the comparison lies: what --out says, or a folder named after the recipe."""
    files = [argument for argument in shared if argument.endswith((".yaml", ".yml"))]
    if not options.out and not files:
        raise RecipeError("no recipe given, and no --out: give python compare.py hparams/NAME.yaml …")
    return options.out or Path("runs") / "compare" / Path(files[0]).stem


def run(options: argparse.Namespace, shared: list[str], folder: Path, command: str) -> int:
    """Run what is missing; returns how many runs crashed."""
    from recipes.bakeoff.comparison import run_comparison  # loads SpeechBrain, which --table does without

    return run_comparison(
        shared,
        options.mixers,
        options.seeds,
        folder=folder,
        command=command,
        jobs=options.jobs,
        baseline=options.baseline,
        seconds=options.seconds,
        match_parameters=options.match_parameters,
    )


def interrupt(*_):
    raise KeyboardInterrupt


@command_line
def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    options, shared = arguments(argv)
    folder = folder_of(options, shared)
    if options.table:
        check_table(options, shared)
    check_places(folder, options.benchmark, options.results)
    crashed = 0 if options.table else run(options, shared, folder, f"python compare.py {shlex.join(argv)}")
    show_results(folder, options.baseline, options.benchmark, options.results)
    if crashed:
        raise SystemExit(1)


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):  # the runs must not outlive this program
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)
    sys.exit(main())
