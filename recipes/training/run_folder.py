"""A run's folder belongs to one recipe, kept there as recipe.yaml so that the run can be repeated from it."""

import shutil
from collections.abc import Set
from pathlib import Path

from data_prep.files import contents, write_atomically
from recipes.config import Recipe, recipe_content
from recipes.config.keys import Role, free_keys, keys_of
from recipes.errors import RecipeError
from recipes.files import LOCK
from recipes.release_files import is_release

RECIPE = "recipe.yaml"
WEIGHTS = "averaged.ckpt"  # the model that is tested
TOKENIZER = "tokenizer/tokenizer.model"
CHECKPOINTS = "checkpoints"
DAMAGED = "damaged+"  # before the name of a checkpoint that is set aside
PREPARED = {"manifests", "tokenizer"}  # may be there before the run
DEBUG = ".debug"  # marks the folder of a debug run, which the next one may empty


def has_checkpoints(folder: Path) -> bool:
    """Whether there is any checkpoint. A damaged one counts, since tokenizer and data then belong to a run as well."""
    return any(any(folder.glob(f"{CHECKPOINTS}/{name}*")) for name in ("CKPT", DAMAGED))


def has_weights(folder: Path) -> bool:
    """Whether something was trained (or converted) there. A folder without weights holds no run yet."""
    return has_checkpoints(folder) or (folder / WEIGHTS).is_file()


def is_kept_recipe(recipe: Path) -> bool:
    """Whether this is the `recipe.yaml` that a run keeps in its folder; training with it resumes the run there."""
    files = (CHECKPOINTS, WEIGHTS, TOKENIZER, "manifests")
    own = recipe.name == RECIPE and any((recipe.parent / name).exists() for name in files)
    return own and not is_release(recipe.parent)  # which stays as it is


def debug_folder(folder: Path) -> Path:
    """Where a debug run of the run in `folder` lives."""
    return folder.with_name(f"{folder.name}-debug")


def check_is_run(folder: Path) -> None:
    """Raises RecipeError for a folder of other files than a run. Nothing is written, not even a lock."""
    if not (folder / RECIPE).is_file() and contents(folder) - {LOCK, DEBUG} - PREPARED:
        raise RecipeError(f"{folder} holds other files than a run: give another --output_folder")


def check_recipe(folder: Path, recipe: Recipe, may_differ: Set[str] = frozenset()) -> None:
    """Raises RecipeError for a folder that holds a run of another recipe, naming the keys that differ.

    A folder without weights accepts any recipe: its first command ended in an error, which another recipe may mend.
    may_differ: keys that may differ, in addition to those that always may.
    """
    saved = folder / RECIPE
    if not (saved.is_file() and has_weights(folder)):
        return
    trained, wanted = recipe_content(saved.read_text(encoding="utf-8"), str(saved)), recipe_content(recipe.text)
    keys = sorted({*trained, *wanted} - free_keys() - keys_of(Role.FILLED) - may_differ)
    differing = [key for key in keys if trained.get(key) != wanted.get(key)]
    if differing:
        with_weights = f" (and --init_from {folder} to begin with its weights)" if "init_from" in recipe.hparams else ""
        raise RecipeError(
            f"{folder} holds a run of another recipe (it differs in {', '.join(differing)}): give another "
            f"--output_folder{with_weights}, or remove that folder"
        )


def keep_recipe(folder: Path, recipe: Recipe) -> None:
    write_atomically(folder / RECIPE, recipe.text)


def empty_debug_folder(folder: Path) -> None:
    """Remove what an earlier debug run left, and mark the folder. Raises RecipeError where it holds a real run."""
    if (folder / RECIPE).exists() and not (folder / DEBUG).exists():
        raise RecipeError(f"{folder} is where --debug writes, but holds a run: give another --output_folder")
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
    (folder / DEBUG).touch()
