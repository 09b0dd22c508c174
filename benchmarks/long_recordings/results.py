"""The results file, of which each program writes its own part."""

from pathlib import Path

from data_prep.errors import DataError
from recipes.files import read_json, write_json


def read_part(path: Path, part: str) -> dict:
    """Raises DataError for a file without this part."""
    parts = read_json(path) if path.is_file() else {}
    if part not in parts:
        raise DataError(f"{path} has no part '{part}': write it with --out")
    return parts[part]


def write_part(path: Path, part: str, values: dict, key: tuple[str, ...]) -> None:
    """The other parts of the file stay, and of this one the rows whose values of ``key`` are none of the new rows'."""
    parts = read_json(path) if path.is_file() else {}
    before = parts.get(part, {"rows": []})["rows"]
    new = {tuple(row.get(name) for name in key) for row in values["rows"]}
    kept = [row for row in before if tuple(row.get(name) for name in key) not in new]
    write_json(path, {**parts, part: {**values, "rows": [*kept, *values["rows"]]}})
