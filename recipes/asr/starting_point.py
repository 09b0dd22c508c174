"""The weights that a training begins with, where they are not drawn at random: those of a run or of a release."""

import json
from pathlib import Path

from safetensors.torch import load_file

from data_prep.files import checksum
from recipes.asr.saved_run import SavedRun
from recipes.asr.transfer import StartingPoint
from recipes.errors import RecipeError
from recipes.training.run_folder import RECIPE, TOKENIZER

# Of a release, which `recipes.inference.release` writes. That package stands above this one.
RELEASE_INFO, RELEASE_WEIGHTS, RELEASE_TOKENIZER = "release.json", "model.safetensors", "tokenizer.model"
OF_SPEECHBRAIN = ("hyperparams.yaml", "model.ckpt", "asr.ckpt")


def read_starting_point(folder: Path) -> StartingPoint:
    """The weights that a run was tested with (before its end, the average of its best epochs), or a release's.

    Raises RecipeError or DataError for a folder that is neither, and for what is missing or damaged.
    """
    if (folder / RELEASE_INFO).is_file():
        return _release(folder)
    if (folder / RECIPE).is_file():
        run = SavedRun(folder, {"data_folder": "."})  # which a converted run has not, and nothing reads
        return StartingPoint(folder, run.weights, run.weights_name, folder / TOKENIZER)
    if any((folder / name).is_file() for name in OF_SPEECHBRAIN):
        raise RecipeError(
            f"init_from: {folder} is a folder of SpeechBrain: turn it into a run first, "
            f"python -m recipes.stock {folder} --recipe hparams/NAME.yaml OUT"
        )
    what = "has neither recipe.yaml nor release.json" if folder.is_dir() else "does not exist"
    raise RecipeError(f"init_from: {folder} {what}: give the folder of a run or of a release")


def _release(folder: Path) -> StartingPoint:
    try:
        sums = json.loads((folder / RELEASE_INFO).read_text(encoding="utf-8"))["files"]
        changed = [name for name in (RELEASE_WEIGHTS, RELEASE_TOKENIZER) if sums[name] != checksum(folder / name)]
    except (OSError, ValueError, KeyError, TypeError):
        raise RecipeError(f"init_from: {folder / RELEASE_INFO} is damaged: copy the release again") from None
    if changed:
        raise RecipeError(f"init_from: {folder / changed[0]} is not the one that was released: copy it again")
    weights = load_file(folder / RELEASE_WEIGHTS)
    return StartingPoint(folder, weights, "weights of the release", folder / RELEASE_TOKENIZER)
