"""Every mistake of the table `bad_inputs` is given to its program: what is shown, and what is left behind."""

import contextlib
import importlib
import io
import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import NamedTuple

from benchmarks.reliability.bad_inputs import START, BadInput
from benchmarks.reliability.programs import ROOT

# Whose program is in their __main__.
PACKAGES = ("recipes.config", "recipes.describe", "recipes.inference.serve", "data_prep.own")


class Shown(NamedTuple):
    """How a program ended: exit status, both outputs, and the files that it wrote."""

    status: int
    error: str
    output: str
    written: list[Path]


def places(folder: Path) -> dict[str, Path]:
    """What the placeholders of the table stand for."""
    return {
        "recipe": ROOT / "hparams" / "quickstart.yaml",
        "lm_recipe": ROOT / "hparams" / "lm_quickstart.yaml",
        "none": folder / "none",
        "here": folder,
        "run": folder / "run",
    }


def expected(row: BadInput, folder: Path) -> Shown:
    """The one line of the table, and nothing done."""
    return Shown(2, f"error: {Template(row.line).safe_substitute(places(folder))}\n", "", [])


def give(row: BadInput, folder: Path) -> Shown:
    """Give a mistake to its program, in this process. folder: an empty one."""
    substitutions = places(folder)
    for name, text in row.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(Template(text).safe_substitute(substitutions))
    before, error, output = files_of(folder), io.StringIO(), io.StringIO()
    command = Template(f"{START[row.program]} {row.options}").safe_substitute(substitutions)
    main = importlib.import_module(row.program + ".__main__" * (row.program in PACKAGES)).main
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(output):
        status = main(shlex.split(command))
    return Shown(status, error.getvalue(), output.getvalue(), sorted(files_of(folder) - before))


def files_of(folder: Path) -> set[Path]:
    """All files apart from the lock that a comparison puts into its folder first."""
    return {path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def try_mistakes(rows: Iterable[BadInput], folder: Path) -> dict:
    """How many mistakes were told in the line of the table, with nothing done."""
    tried, unclear = Counter(), []
    for number, row in enumerate(rows):
        own = folder / str(number)
        own.mkdir()
        tried[row.program] += 1
        if give(row, own) != expected(row, own):
            unclear.append(f"{row.program} {row.options}")
    return {"tried": tried.total(), "clear": tried.total() - len(unclear), "programs": dict(tried), "unclear": unclear}
