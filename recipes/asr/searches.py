"""Whether the searches of a recipe can read its model's decoder."""

from collections.abc import Mapping
from pathlib import Path

from recipes.decoding import Search
from recipes.errors import RecipeError


def check_searches(path: Path, hparams: Mapping) -> None:
    """Raises RecipeError, one line, before anything is computed."""
    for key in ("test_search", "valid_search"):
        search = hparams.get(key)
        try:
            if search is None:
                continue
            if not isinstance(search, Search):
                raise RecipeError(f"is no search of recipes.decoding, but {type(search).__name__}: begin it with !new:")
            search.check(hparams["model"].decoder)
        except RecipeError as error:
            raise RecipeError(f"{path}: {key}: {error}") from None
