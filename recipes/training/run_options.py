"""SpeechBrain's run options on this machine, known and checked before a Brain holds a model."""

import torch
from speechbrain.core import Brain
from speechbrain.utils.run_opts import RunOptions

from recipes.config import Recipe
from recipes.errors import RecipeError


class Machine(Brain):
    """The run options of a recipe and a command line as a Brain reads them, without a model.

    `device`, `noprogressbar` and `eval_precision` are those that every Brain of the recipe will have. Raises
    RecipeError for options that do not fit the machine: a device that it lacks, a precision that the device lacks.
    """

    def __init__(self, recipe: Recipe, run_options: RunOptions):
        try:
            super().__init__(hparams=recipe.hparams, run_opts=run_options)
            torch.empty(0, device=self.device)
        except (ValueError, RuntimeError, AssertionError, SystemExit) as error:
            raise RecipeError(f"{recipe.path}: {str(error).splitlines()[0]}") from None

    def print_trainable_parameters(self):
        """There are none."""
