"""Train, average, decode and report one recipe: python train.py hparams/X.yaml --data_folder FOLDER"""

import sys

from speechbrain.utils.distributed import ddp_init_group

from recipes.asr.experiment import Experiment
from recipes.config import load
from recipes.config.arguments import parse_arguments
from recipes.errors import command_line


@command_line
def main(argv=None):
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    ddp_init_group(arguments.run_options)
    experiment = Experiment(load(arguments.source, arguments.overrides), arguments.run_options)
    experiment.prepare()
    if not arguments.run_options.test_only:
        experiment.fit()
    experiment.test()


if __name__ == "__main__":
    sys.exit(main())
