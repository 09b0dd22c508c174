"""The file that `--out` names: what it holds already, and what must not be lost."""

from collections.abc import Collection
from pathlib import Path

from recipes.errors import RecipeError
from recipes.files import read_json

HEAD = ("command", "machine", "commit")
MEASURED = "measured"


def earlier_results(path: Path | None, benchmark: str, keys: Collection[str]) -> dict:
    """What an earlier call of the same benchmark left in the file; nothing where there is no file.

    To be called before anything is measured. benchmark: the module, which stands in the file's ``command``; keys: all
    that a file may have in which no module stands. Raises RecipeError for another file, which would be lost, and for a
    folder.
    """
    if path is None or not path.exists():
        return {}
    try:
        results = read_json(path)
    except RecipeError:
        results = None
    if not isinstance(results, dict) or not is_written_by(results, benchmark, keys):
        raise RecipeError(f"--out {path} holds something else than results of {benchmark}: give another file")
    return results


def is_written_by(results: dict, benchmark: str, keys: Collection[str]) -> bool:
    command = f"{results.get('command', '')} "
    return f"{benchmark} " in command if " benchmarks." in command else results.keys() <= set(keys)


def with_part(results: dict, head: dict, part: str, figures: object) -> dict:
    """The results with a part measured anew.

    head: command, machine and commit of this call. Parts that another call measured keep theirs, under ``measured``.
    """
    others = [name for name in results if name not in (*HEAD, MEASURED, part)]
    older = {key: results[key] for key in HEAD if key in results}
    measured = {name: results.get(MEASURED, {}).get(name, older) for name in others}
    measured = {name: of_part for name, of_part in measured.items() if of_part != head}
    parts = {name: results[name] for name in others}
    return {**head, **parts, part: figures, **({MEASURED: measured} if measured else {})}
