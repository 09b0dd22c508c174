"""A release: a folder with a trained recogniser for others to load. What lies in it, and how it is read.

Nothing of the folder is run. Its recipe may name this project's own classes alone (see `recipes.config.trust`), its
weights are tensors without code. Imports neither SpeechBrain's Brain nor anything of training.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor
from torch import Tensor, nn

from data_prep.files import checksum
from data_prep.tokenizer import load_tokenizer
from recipes.config import Recipe, load, read_recipe
from recipes.config.overrides import Overrides
from recipes.errors import RecipeError
from recipes.files import read_json
from recipes.models import Recogniser, TransformerLM
from recipes.scoring.records import from_json

FORMAT = 1  # goes up when folders are written that older versions would misread
INFO, RECIPE, WEIGHTS, TOKENIZER = "release.json", "recipe.yaml", "model.safetensors", "tokenizer.model"
LM_WEIGHTS = "language_model.safetensors"  # of the key language_model in the recipe, where there is one
CARD, SPEECHBRAIN = "README.md", "hyperparams.yaml"


@dataclass(frozen=True)
class ReleaseInfo:
    """What a loader needs of `release.json`. files: SHA-256 of all weights and of the tokenizer, by name."""

    format: int
    name: str
    files: dict[str, str]


class Release(NamedTuple):
    """A loaded release. recogniser: with its weights, in evaluation mode, on the CPU; also recipe.hparams["model"].

    language_model: of the recipe's search, alike; None where it has none.
    """

    recogniser: Recogniser
    tokenizer: SentencePieceProcessor
    recipe: Recipe
    info: ReleaseInfo
    language_model: TransformerLM | None


def is_release(folder: Path) -> bool:
    return (Path(folder) / INFO).is_file()


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


def read_info(folder: Path) -> ReleaseInfo:
    """Raises RecipeError for a folder that is no release, and for a newer format."""
    path = folder / INFO
    if not path.is_file():
        missing = "there is no folder" if not folder.is_dir() else f"no release (no {INFO}):"
        raise RecipeError(f"{missing} {folder}; python -m recipes.inference.release makes one of a run")
    values = read_json(path)
    number = values.get("format") if isinstance(values, dict) else None
    if not isinstance(number, int):
        raise RecipeError(f"{path} is damaged: it says no format")
    if number > FORMAT:
        raise RecipeError(f"{folder} is a release of format {number}, and this version reads {FORMAT}: update it")
    return from_json(ReleaseInfo, values, str(path))


def check_files(folder: Path, info: ReleaseInfo) -> None:
    """Raises RecipeError where a file is missing, or weights or tokenizer are not those that were released."""
    summed = (TOKENIZER, WEIGHTS, *([LM_WEIGHTS] if LM_WEIGHTS in info.files else []))
    for name in (RECIPE, *summed):
        if not (folder / name).is_file():
            raise RecipeError(f"{folder} has no {name}: it is not the whole release, copy it again")
    for name in summed:
        if info.files.get(name) != checksum(folder / name):
            raise RecipeError(f"{folder / name} is damaged, or not the one that was released: copy it again")


def put_weights(model: nn.Module, path: Path) -> None:
    """Load the weights of a file into a model. Raises RecipeError for a damaged file, or one of another model."""
    try:
        model.load_state_dict(read_weights(path))
    except RuntimeError:
        raise RecipeError(f"the weights in {path} do not fit the recipe beside it: was that changed?") from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises RecipeError for a damaged file."""
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        raise RecipeError(f"{path} is damaged, or not of safetensors: {error}") from None
