"""A run's folder belongs to one recipe, kept there as recipe.yaml so that the run can be repeated from it."""

from pathlib import Path

from data_prep.files import write_atomically
from recipes.config import Recipe, recipe_content
from recipes.config.keys import Role, free_keys, keys_of
from recipes.errors import RecipeError

WEIGHTS = "averaged.ckpt"  # the model that is tested
TOKENIZER = "tokenizer/tokenizer.model"


def claim(folder: Path, recipe: Recipe) -> None:
    """Take `folder` for `recipe`, or make sure that it is the recipe's already.

    A folder without weights holds no run yet: an error came first, and its cure may be another recipe. Raises
    RecipeError for a folder that holds a run of another recipe, naming the keys that differ, and for one that holds
    other files than a run.
    """
    saved = folder / "recipe.yaml"
    if saved.is_file() and (has_checkpoints(folder) or (folder / WEIGHTS).is_file()):
        trained, wanted = recipe_content(saved.read_text(encoding="utf-8")), recipe_content(recipe.text)
        keys = sorted({*trained, *wanted} - free_keys() - keys_of(Role.FILLED))
        differing = [key for key in keys if trained.get(key) != wanted.get(key)]
        if differing:
            raise RecipeError(
                f"{folder} holds a run of another recipe (it differs in {', '.join(differing)}): give another "
                "--output_folder, or remove that folder"
            )
    elif not saved.is_file() and folder.is_dir() and any(folder.iterdir()):
        raise RecipeError(f"{folder} holds other files than a run: give another --output_folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(saved, recipe.text)


def has_checkpoints(folder: Path) -> bool:
    return any(folder.glob("checkpoints/CKPT*"))
