"""Which classes and functions a recipe may name. A recipe is code: whatever it names is built, or run.

Without `--trust` that is a short list: what the faces of `mixers`, `recipes.models` and `recipes.decoding` offer,
classes of `torch.nn` and `torch.optim`, and FUNCTIONS. A recipe of the user's own may name their own mixers too.
A name is checked before anything that it names is imported.
"""

import importlib
import importlib.util
import inspect
from enum import IntEnum
from pathlib import Path

from recipes.config.messages import nearest
from recipes.errors import RecipeError

FACES = ("mixers", "recipes.models", "recipes.decoding")
TORCH = {"torch.nn": "Module", "torch.optim": "Optimizer"}  # and the class that theirs must be of
FUNCTIONS = ("torch.manual_seed", "recipes.training.noam", "recipes.training.linear")
OWN_PACKAGE = "mixers"
RUN_RECIPE = "recipe.yaml"  # what the recipe of a run folder is called


class Trust(IntEnum):
    """What a recipe may name."""

    LISTED = 0  # a run folder's recipe, which may come from anyone
    OWN = 1  # a recipe of the user's own: also any class of a module in `mixers`
    ALL = 2  # with --trust


def trust_in(path: Path) -> Trust:
    """What the recipe in a file may name without --trust."""
    return Trust.LISTED if path.name == RUN_RECIPE else Trust.OWN


def check_name(name: str, trust: Trust) -> None:
    """Raises RecipeError for a dotted name that is not on the list, or that its module does not have."""
    parent, _, last = name.rpartition(".")
    if trust is Trust.ALL or name in FUNCTIONS:
        return
    if parent in FACES or parent in TORCH:
        names = _offered_by(parent)
        if last not in names:
            raise RecipeError(f"there is no '{last}' in '{parent}'{nearest(last, names)}")
    elif not (trust is Trust.OWN and parent.startswith(f"{OWN_PACKAGE}.") and _is_own_class(parent, last)):
        listed = ", ".join((*FACES, *TORCH))
        raise RecipeError(
            f"'{name}' is not on the list of what a recipe may name ({listed}): it would run here; if you know it, "
            "and who wrote this recipe, give --trust"
        )


def names_listed(name: str) -> bool:
    """Whether a dotted name is one of ours on the list."""
    return name in FUNCTIONS or name.rpartition(".")[0] in FACES


def _offered_by(module_name: str) -> list[str]:
    module = importlib.import_module(module_name)
    if module_name in FACES:
        return module.__all__
    base = getattr(module, TORCH[module_name])
    return [name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, base)]


def _is_own_class(module_name: str, name: str) -> bool:
    """Whether a module in `mixers` defines this class, and does not only import it.

    Raises RecipeError where there is no such module or class, and where the module cannot be imported."""
    try:
        is_there = importlib.util.find_spec(module_name) is not None
    except ModuleNotFoundError:  # for a module inside what is no package
        is_there = False
    if not is_there:
        raise RecipeError(f"cannot find '{module_name}.{name}': there is no module '{module_name}'")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's own code raises
        raise RecipeError(f"cannot import '{module_name}': {error}") from error
    if not hasattr(module, name):
        raise RecipeError(f"there is no '{name}' in '{module_name}'{nearest(name, dir(module))}")
    value = getattr(module, name)
    return inspect.isclass(value) and value.__module__ == module_name
