"""The weights that a training begins with, where they are not drawn at random: those of a run or of a release."""

from pathlib import Path

from recipes import release_files
from recipes.asr.saved_run import SavedRun
from recipes.asr.transfer import StartingPoint
from recipes.config.content import recipe_content
from recipes.errors import RecipeError
from recipes.release_files import check_files, is_release, read_info, read_weights
from recipes.training.run_folder import RECIPE, TOKENIZER

OF_SPEECHBRAIN = ("hyperparams.yaml", "model.ckpt", "asr.ckpt")


def read_starting_point(folder: Path) -> StartingPoint:
    """The weights that a run was tested with (before its end, the average of its best epochs), or a release's.

    Raises RecipeError or DataError for a folder that is neither, and for what is missing or damaged.
    """
    if is_release(folder):
        info = read_info(folder)
        check_files(folder, info)
        weights, tokenizer = read_weights(folder / release_files.WEIGHTS), folder / release_files.TOKENIZER
        content = recipe_content((folder / RECIPE).read_text(encoding="utf-8"), str(folder / RECIPE))
        return StartingPoint(
            folder, weights, "weights of the release", tokenizer, info.recipe, info.recipe_hash, content
        )
    if (folder / RECIPE).is_file():
        run = SavedRun(folder, {"data_folder": "."})  # which a converted run has not, and nothing reads
        name, weights = run.weights_name, run.weights
        content = recipe_content(run.recipe.text)
        return StartingPoint(folder, weights, name, folder / TOKENIZER, run.recipe.name, run.recipe.hash, content)
    if any((folder / name).is_file() for name in OF_SPEECHBRAIN):
        raise RecipeError(
            f"init_from: {folder} is a folder of SpeechBrain: turn it into a run first, "
            f"python -m recipes.stock {folder} --recipe hparams/NAME.yaml OUT"
        )
    what = "has neither recipe.yaml nor release.json" if folder.is_dir() else "does not exist"
    raise RecipeError(f"init_from: {folder} {what}: give the folder of a run or of a release")
