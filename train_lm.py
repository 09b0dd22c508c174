"""Train a language model: python train_lm.py hparams/lm_X.yaml --tokenizer RUN/tokenizer/tokenizer.model …"""

import sys

from recipes.errors import command_line
from recipes.lm import LanguageModelExperiment
from recipes.training import run_experiment

DESCRIPTION = (
    "Train a language model for the beam search of a recogniser, with the recogniser's own tokenizer. A text "
    "is a run folder, a corpus folder, a manifest, or a text file (.gz too), or a list of such: --tokenizer "
    "RUN/tokenizer/tokenizer.model --train_text '[RUN, librispeech-lm-norm.txt.gz]' --valid_text RUN"
)


@command_line
def main(argv=None):
    run_experiment(LanguageModelExperiment, argv, DESCRIPTION)


if __name__ == "__main__":
    sys.exit(main())
