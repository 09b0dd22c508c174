"""A trained language model, read from its run folder."""

from pathlib import Path

import torch

from data_prep.files import checksum
from recipes.config import load
from recipes.errors import RecipeError
from recipes.models.language_model import TransformerLM
from recipes.training.run_folder import TOKENIZER, WEIGHTS
from recipes.training.tensors import load_weights


def load_language_model(folder: Path, tokenizer_model: Path | None = None) -> TransformerLM:
    """The language model of a run folder of train_lm.py, in evaluation mode, on the CPU.

    tokenizer_model: the `tokenizer.model` of the recogniser that it is for. Raises RecipeError, one line, for a
    folder without language model, for damaged or foreign weights, and for another tokenizer.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecipeError(
            f"there is no folder {folder} with a language model: train one with train_lm.py, or give --lm_folder null"
        )
    for name in ("recipe.yaml", WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            hint = "train it to the end" if name == WEIGHTS else "is it the output folder of train_lm.py?"
            raise RecipeError(f"{folder} holds no {name}: {hint}")
    check_same_tokenizer(folder / TOKENIZER, tokenizer_model)
    with torch.random.fork_rng():  # the recipe seeds torch before it draws weights
        model = load(folder / "recipe.yaml", training=False).hparams.get("language_model")
    if not isinstance(model, TransformerLM):
        raise RecipeError(f"{folder / 'recipe.yaml'} is no recipe of a language model: give a folder of train_lm.py")
    weights = load_weights(folder / WEIGHTS)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError):
        raise RecipeError(
            f"{folder / WEIGHTS} does not fit the model of {folder / 'recipe.yaml'}: train it again, in another folder"
        ) from None
    return model.eval()


def check_same_tokenizer(own: Path, recognisers: Path | None) -> None:
    """Raises RecipeError when the two files are not byte for byte the same: token ids would not agree."""
    if recognisers is None or checksum(own) == checksum(recognisers):
        return
    if not Path(recognisers).is_file():
        raise RecipeError(f"there is no tokenizer {recognisers} to compare the language model's with")
    raise RecipeError(
        f"the language model's tokenizer {own} differs from the recogniser's {recognisers}: train the language "
        f"model with the recogniser's own, python train_lm.py hparams/NAME.yaml --tokenizer {recognisers} …"
    )
