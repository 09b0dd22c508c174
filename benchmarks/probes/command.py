"""What each mixer can carry across a sequence: python -m benchmarks.probes [--mixers …] [--tasks …] [--seeds 3]

Trains a small stack of two blocks around each mixer on six tasks and prints the accuracies. The mixers are
those of hparams/conformer.yaml; `a+b` is a hybrid, a in the first block and b in the second. Every trained
stack is written to the results file at once: give the command again, and finished stacks are not trained again.
"""

import argparse
from pathlib import Path

from benchmarks.probes import ON_REQUEST, TASK_NAMES
from benchmarks.probes.results import markdown, read
from data_prep.arguments import ArgumentParser
from data_prep.cores import usable_cores
from data_prep.errors import DataError, command_line


def arguments(argv=None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks.probes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    without = ", ".join(f"{name} ({reason})" for name, reason in ON_REQUEST.items())
    parser.add_argument("--mixers", nargs="+", help=f"default: all, one hybrid, and not {without}")
    parser.add_argument("--tasks", nargs="+", default=list(TASK_NAMES), help=f"default: {' '.join(TASK_NAMES)}")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N-1 (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=usable_cores(), help="processes of one thread each (default: all cores)"
    )
    parser.add_argument("--out", type=Path, default=Path("results/probes.json"), help="default: %(default)s")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the table of this file, train nothing")
    options = parser.parse_args(argv)
    for name in ("seeds", "jobs"):
        if getattr(options, name) < 1:
            raise DataError(f"--{name} must be at least 1, not {getattr(options, name)}")
    return options


@command_line
def main(argv=None):
    """Train what is missing, show each result as it comes, and print the table."""
    options = arguments(argv)
    if options.table:
        print(markdown(read(options.table)))
        return
    from benchmarks.probes.run import run  # with recipes and SpeechBrain, which --table does without

    run(options)
