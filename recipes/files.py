"""JSON files of a run, and folders that appear whole."""

import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from data_prep.files import write_atomically
from recipes.errors import RecipeError

LOCK = ".lock"  # in a folder that a process works in; see recipes.training.lock
COMPARISON = "comparison.json"  # what the folder of a comparison compares


def write_json(path: Path, values: dict) -> None:
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def read_json(path: Path) -> dict:
    """Raises RecipeError for a file that is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RecipeError(f"{path} is damaged, it is no JSON ({error}): put back a copy of it") from None


def read_rows(path: Path, writer: str, keys: Collection[str]) -> list[dict]:
    """The rows of a file of results, which all have these keys.

    writer: the program whose ``--out`` makes such files. Raises RecipeError for a file of another kind.
    """
    content = read_json(path)
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= set(keys) for row in rows):
        raise RecipeError(f"{path} is no results file of {writer}: write one with its --out")
    return rows


def check_free(out: Path) -> None:
    """Raises RecipeError where ``out`` is there already, unless as an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError(f"{out} is there already: give another folder")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``out`` at the end: it appears whole or, after an error, not at all.

    Raises RecipeError as `check_free` does, and where nothing can be written.
    """
    check_free(out)
    out = out.resolve()  # "." has no name
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise RecipeError(f"{out} cannot be written: {error.strerror}; give another folder") from None
    try:
        yield unfinished
        if out.is_dir():
            out.rmdir()
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
