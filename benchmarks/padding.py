"""How much of the batches of a recipe is padding: python -m benchmarks.padding

The lengths are those of a manifest, or those of LibriSpeech's 281,241 training utterances. The latter follow published
quantiles (icefall, egs/librispeech/ASR/local/display_manifest_statistics.py: at speeds of 90, 100 and 110 %).
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.preparation.corpus import TRAIN
from data_prep.arguments import ArgumentParser
from data_prep.columns import read_columns
from recipes.asr.batches import DurationBatches
from recipes.errors import RecipeError, command_line

SHARES = (0, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1)
SECONDS = {  # that so large a share of the utterances does not exceed
    "train-clean-100": (1.3, 1.9, 2.2, 2.5, 4.2, 6.4, 11.4, 13.8, 15.3, 16.7, 17.3, 18.1, 18.4, 18.8, 27.2),
    "train-clean-360": (1.0, 1.8, 2.2, 2.5, 4.2, 6.2, 11.2, 13.7, 15.3, 16.6, 17.3, 18.1, 18.4, 18.8, 33.0),
    "train-other-500": (0.8, 1.7, 2.1, 2.3, 3.5, 5.0, 9.8, 13.4, 15.1, 16.5, 17.2, 18.1, 18.4, 18.9, 31.0),
}


class Padding(NamedTuple):
    """The padding of an epoch. share: of the padded audio that is padding. utterances: of a batch, in the mean."""

    buckets: int
    batches: int
    utterances: float
    share: float


def librispeech() -> np.ndarray:
    """Seconds of as many utterances as LibriSpeech's training splits have, evenly along their quantiles."""
    return np.concatenate(
        [np.interp((np.arange(size) + 0.5) / size, SHARES, SECONDS[split]) for split, size in TRAIN.items()]
    )


def count(durations: np.ndarray, batch_seconds: float, buckets: int, seed: int = 0) -> Padding:
    plan = DurationBatches(durations, batch_seconds, buckets=buckets, seed=seed)
    return Padding(buckets, plan.total(), len(durations) / plan.total(), plan.padding())


@command_line
def main(argv=None) -> None:
    parser = ArgumentParser(
        prog="python -m benchmarks.padding", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--manifest", type=Path, help="lengths of this manifest, such as RUN/manifests/merged/train.csv"
    )
    parser.add_argument("--batch_seconds", type=float, default=500, help="as in a recipe (default 500)")
    parser.add_argument(
        "--buckets", type=int, nargs="+", default=[1, 10, 50, 200, 1000], help="default 1 10 50 200 1000"
    )
    options = parser.parse_args(argv)
    if options.batch_seconds <= 0 or min(options.buckets) < 1:
        raise RecipeError("--batch_seconds must be above 0, and --buckets 1 or more")
    durations = read_columns(options.manifest).durations if options.manifest else librispeech()
    print(f"{len(durations)} utterances, {durations.sum() / 3600:.1f} hours, batches of {options.batch_seconds:g} s")
    print("| batch_buckets | batches | utterances of a batch | padding |", "|---|---|---|---|", sep="\n")
    for buckets in options.buckets:
        row = count(durations, options.batch_seconds, buckets)
        print(f"| {row.buckets} | {row.batches} | {row.utterances:.1f} | {100 * row.share:.1f} % |")


if __name__ == "__main__":
    sys.exit(main())
