"""Train a language model: python train_lm.py hparams/lm_X.yaml --tokenizer RUN/tokenizer/tokenizer.model …"""

import sys

from speechbrain.utils.distributed import ddp_init_group

from recipes.config import load
from recipes.config.arguments import parse_arguments
from recipes.errors import RecipeError, command_line
from recipes.lm.experiment import LanguageModelExperiment

DESCRIPTION = (
    "Train a language model for the beam search of a recogniser, with the recogniser's own tokenizer. A text "
    "is a run folder, a corpus folder, a manifest, or a text file (.gz too), or a list of such: --tokenizer "
    "RUN/tokenizer/tokenizer.model --train_text '[RUN, librispeech-lm-norm.txt.gz]' --valid_text RUN"
)


@command_line
def main(argv=None):
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv, DESCRIPTION)
    if arguments.source.find("language_model") is None:
        raise RecipeError(
            f"{arguments.recipe} is no recipe of a language model, it has no key 'language_model': for a "
            "recogniser there is train.py"
        )
    recipe = load(arguments.source, arguments.overrides)
    ddp_init_group(arguments.run_options)
    experiment = LanguageModelExperiment(recipe, arguments.run_options)
    experiment.prepare()
    if not arguments.run_options.test_only:
        experiment.fit()
    experiment.test()


if __name__ == "__main__":
    sys.exit(main())
