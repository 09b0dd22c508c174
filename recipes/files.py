"""JSON files of a run."""

import json
from pathlib import Path

from data_prep.files import write_atomically
from recipes.errors import RecipeError

LOCK = ".lock"  # in a folder that a process works in; see recipes.training.lock


def write_json(path: Path, values: dict) -> None:
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def read_json(path: Path) -> dict:
    """Raises RecipeError for a file that is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from None
