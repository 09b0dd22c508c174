"""Which mixer, at what cost, with how much certainty: train every one with several seeds and compare them.

    python compare.py hparams/bakeoff.yaml --data_folder FOLDER --mixers summarymixing attention --seeds 3

An entry of --mixers is [NAME=]MIXER[,KEY=VALUE...]: a mixer, a hybrid (summarymixing*3+attention*1), and
recipe keys of its own; with a name, one mixer can stand there several times (slow=attention,lr=1e-3). All
other options are those of train.py: recipe keys (--lr 1e-3) and run options, for all entries alike.

The same command again, also days later, runs only what is missing or unfinished. Exit status: 1 where a run
crashed, which does not stop the others; 2 for a mistake in the command.
"""

import argparse
import shlex
import shutil
import signal
import sys
from pathlib import Path

import torch

from recipes.bakeoff.plan import check_known_name, make_plan
from recipes.bakeoff.record import read_record
from recipes.bakeoff.report import write_report
from recipes.bakeoff.results import write_results
from recipes.bakeoff.runner import locked, run_all, threads_each, time_steps
from recipes.bakeoff.table import markdown
from recipes.config.arguments import parse_arguments
from recipes.errors import RecipeError, command_line
from recipes.provenance import machine

COMMITTED = ("runs.csv", "summary.json", "table.md")


def arguments(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of this program, and what it hands on to train.py."""
    parser = argparse.ArgumentParser(
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
    parser.add_argument("--baseline", metavar="NAME", help="what p is against (default: attention, or the first entry)")
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


def run(options: argparse.Namespace, shared: list[str], command: str) -> tuple[Path, int]:
    """Run what is missing; the folder, and how many runs crashed."""
    if not options.mixers:
        raise RecipeError("no mixers to compare: give --mixers ENTRY …, such as --mixers summarymixing attention")
    if options.jobs < 1:
        raise RecipeError(f"--jobs must be 1 or more, not {options.jobs}")
    folder = folder_of(options, shared)
    read_record(folder)  # refuses a folder of other things before a lock is put there
    with locked(folder) as lock:
        plan = make_plan(
            shared,
            options.mixers,
            options.seeds,
            folder=folder,
            baseline=options.baseline,
            seconds=options.seconds,
            match_parameters=options.match_parameters,
        )
        note_origin(plan.record, options, shared, command)
        plan.save()
        if options.seconds:
            time_steps(plan, options.jobs, lock)
        return folder, run_all(plan, options.jobs, lock)


def note_origin(record: dict, options: argparse.Namespace, shared: list[str], command: str) -> None:
    """The command, and the machines that the comparison has run on."""
    record["command"] = command
    threads = threads_each(options.jobs)
    device = parse_arguments(shared).run_options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    where = machine(device) + (
        f", {options.jobs} runs at a time of {threads} thread{'s' * (threads > 1)}" if threads else ""
    )
    record["machines"] = list(dict.fromkeys([*record.get("machines", []), where]))


def folder_of(options: argparse.Namespace, shared: list[str]) -> Path:
    return options.out or Path("runs") / "compare" / parse_arguments(shared).recipe.stem


def show(folder: Path, options: argparse.Namespace) -> None:
    """Tables and report of what is in the folder."""
    record = read_record(folder)
    if record is None:
        raise RecipeError(f"{folder}: no comparison there; give --out, or leave out --table to run one")
    baseline = options.baseline or record["baseline"]
    check_known_name("--baseline", baseline, list(record["mixers"]))
    summary, results = write_results(folder, record, baseline)
    drawings = write_report(folder, summary, results, options.benchmark)
    print(f"\n{markdown(summary)}\nreport: {folder / 'report.html'}")
    if options.results:
        options.results.mkdir(parents=True, exist_ok=True)
        for path in (*(folder / name for name in COMMITTED), *drawings):
            shutil.copy(path, options.results)
        print(f"copied to {options.results}: {', '.join((*COMMITTED, *(path.name for path in drawings)))}")


def interrupt(*_):
    raise KeyboardInterrupt


@command_line
def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    options, shared = arguments(argv)
    if options.table:
        show(folder_of(options, shared), options)
        return
    folder, crashed = run(options, shared, f"python compare.py {shlex.join(argv)}")
    show(folder, options)
    if crashed:
        raise SystemExit(1)


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):  # the runs must not outlive this program
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)
    sys.exit(main())
