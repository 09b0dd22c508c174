"""Whether the searches of a recipe can read its model's decoder."""

from collections.abc import Mapping
from pathlib import Path

from recipes.errors import RecipeError


def check_searches(path: Path, hparams: Mapping) -> None:
    """Raises RecipeError, one line, before anything is computed."""
    for key in ("test_search", "valid_search"):
        search = hparams.get(key)
        try:
            if search is not None:
                search.check(hparams["model"].decoder)
        except RecipeError as error:
            raise RecipeError(f"{path}: {key}: {error}") from None
