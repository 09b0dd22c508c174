"""Load a release: a folder with a trained recogniser, see `recipes.release_files`.

Nothing of the folder is run. Its recipe may name this project's own classes alone (see `recipes.config.trust`), its
weights are tensors without code. Imports neither SpeechBrain's Brain nor anything of training.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from sentencepiece import SentencePieceProcessor

from data_prep.tokenizer import load_tokenizer
from recipes.config import Recipe, load, read_recipe
from recipes.config.overrides import Overrides
from recipes.errors import RecipeError
from recipes.models import Recogniser, TransformerLM
from recipes.release_files import (
    LM_WEIGHTS,
    RECIPE,
    TOKENIZER,
    WEIGHTS,
    ReleaseInfo,
    check_files,
    put_weights,
    read_info,
)


class Release(NamedTuple):
    """A loaded release. recogniser: with its weights, in evaluation mode, on the CPU; also recipe.hparams["model"].

    language_model: of the recipe's search, alike; None where it has none.
    """

    recogniser: Recogniser
    tokenizer: SentencePieceProcessor
    recipe: Recipe
    info: ReleaseInfo
    language_model: TransformerLM | None


def load_release(folder: Path, overrides: Overrides = (), *, trust: bool = False) -> Release:
    """Recogniser, tokenizer and recipe of a release.

    overrides: keys of the recipe that change the decoding, such as `test_search.beam`. trust: let its recipe name any
    class (`recipes.config.read_recipe`). Raises RecipeError or DataError, one line each, for a folder that is none,
    or of a newer format, for what is missing or damaged, and for a recipe that names what it may not.
    """
    folder = Path(folder)
    info = read_info(folder)
    check_files(folder, info)
    source = read_recipe(folder / RECIPE, trust=trust)
    with torch.random.fork_rng():  # the recipe seeds torch before it draws weights
        recipe = load(source, {"data_folder": ".", **dict(overrides)}, training=False)
    recogniser = recipe.hparams.get("model")
    if not isinstance(recogniser, Recogniser):
        raise RecipeError(f"{folder / RECIPE} describes no recogniser")
    put_weights(recogniser, folder / WEIGHTS)
    language_model = recipe.hparams.get("language_model")
    if language_model is not None:
        put_weights(language_model.eval(), folder / LM_WEIGHTS)
    return Release(recogniser.eval(), load_tokenizer(folder / TOKENIZER), recipe, info, language_model)
