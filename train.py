"""Train a recogniser, average, decode and report: python train.py hparams/X.yaml --data_folder FOLDER"""

import sys

from recipes.asr import ASRExperiment
from recipes.errors import command_line
from recipes.training import run_experiment

DESCRIPTION = (
    "Train a recogniser from a recipe, and test it: prepare the data, train (from the newest checkpoint on, if there "
    "is one), average the best checkpoints, decode the test sets, write summary and report into the output folder."
)


@command_line
def main(argv=None):
    run_experiment(ASRExperiment, argv, DESCRIPTION)


if __name__ == "__main__":
    sys.exit(main())
