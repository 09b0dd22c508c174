"""A release, a folder with a trained recogniser for others to load: its files, and whether they are all there."""

from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from data_prep.files import checksum
from recipes.errors import RecipeError
from recipes.files import read_json

FORMAT = 1  # goes up when folders are written that older versions would misread
INFO, RECIPE, WEIGHTS, TOKENIZER = "release.json", "recipe.yaml", "model.safetensors", "tokenizer.model"
LM_WEIGHTS = "language_model.safetensors"  # of the key language_model in the recipe, where there is one
CARD, SPEECHBRAIN = "README.md", "hyperparams.yaml"


class ReleaseInfo(NamedTuple):
    """What a loader needs of `release.json`. files: SHA-256 of all weights and of the tokenizer, by name; recipe: its
    name and hash, empty where it was not written."""

    format: int
    name: str
    files: dict[str, str]
    recipe: str
    recipe_hash: str


def is_release(folder: Path) -> bool:
    """Raises RecipeError for a release without the file that says so, which would be taken for an odd run."""
    if (Path(folder) / INFO).is_file():
        return True
    if (Path(folder) / WEIGHTS).is_file():
        raise RecipeError(f"{folder} has no {INFO}: it is not the whole release, copy it again")
    return False


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
    name, files = values.get("name"), values.get("files")
    if not isinstance(name, str) or not isinstance(files, dict):
        raise RecipeError(f"{path} is damaged: it says no name and no sums of files")
    return ReleaseInfo(number, name, files, str(values.get("recipe", "")), str(values.get("recipe_hash", "")))


def check_complete(folder: Path, info: ReleaseInfo) -> None:
    """Raises RecipeError where a file is missing."""
    for name in (RECIPE, *summed_files(info)):
        if not (folder / name).is_file():
            raise RecipeError(f"{folder} has no {name}: it is not the whole release, copy it again")


def summed_files(info: ReleaseInfo) -> list[str]:
    """Weights and tokenizer."""
    return [TOKENIZER, WEIGHTS, *([LM_WEIGHTS] if LM_WEIGHTS in info.files else [])]


def check_files(folder: Path, info: ReleaseInfo) -> None:
    """Raises RecipeError where a file is missing, or weights or tokenizer are not those that were released."""
    check_complete(folder, info)
    for name in summed_files(info):
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
