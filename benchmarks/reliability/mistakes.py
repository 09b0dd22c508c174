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
from benchmarks.reliability.things import CAN_EXPORT, Things, make_things

# Whose program is in their __main__.
PACKAGES = (
    "recipes.config",
    "recipes.describe",
    "recipes.inference.export",
    "recipes.inference.release",
    "recipes.inference.serve",
    "data_prep.own",
)


class Shown(NamedTuple):
    """How a program ended: exit status, both outputs, and the files that it wrote."""

    status: int
    error: str
    output: str
    written: list[Path]


def places(folder: Path, things: Things) -> dict[str, object]:
    """What the placeholders of the table stand for."""
    return {
        "recipe": ROOT / "hparams" / "quickstart.yaml",
        "lm_recipe": ROOT / "hparams" / "lm_quickstart.yaml",
        "none": folder / "none",
        "here": folder,
        "run": folder / "run",
        **things,
    }


def expected(row: BadInput, folder: Path, things: Things) -> Shown:
    """The one line of the table, and nothing done."""
    return Shown(2, f"error: {Template(row.line).safe_substitute(places(folder, things))}\n", "", [])


def give(row: BadInput, folder: Path, things: Things) -> Shown:
    """Give a mistake to its program, in this process. folder: an empty one.

    Of what is shown that is left which the table has: where the line ends in "…", not what follows it; of a mistake
    that is found late, the last line alone.
    """
    substitutions = places(folder, things)
    for name, text in row.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(Template(text).safe_substitute(substitutions))
    before, error, output = files_of(folder), io.StringIO(), io.StringIO()
    command = Template(f"{START[row.program]} {row.options}").safe_substitute(substitutions)
    main = importlib.import_module(row.program + ".__main__" * (row.program in PACKAGES)).main
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(output):
        status = main(shlex.split(command))
    shown = Shown(status, error.getvalue(), output.getvalue(), sorted(files_of(folder) - before))
    if row.late:
        shown = Shown(status, shown.error.splitlines()[-1].strip() + "\n", "", [])
    line = expected(row, folder, things).error
    if line.endswith("…\n") and shown.error.startswith(line[:-2]) and shown.error.count("\n") == 1:
        shown = shown._replace(error=line)
    return shown


def files_of(folder: Path) -> set[Path]:
    """All files apart from the lock that a comparison puts into its folder first."""
    return {path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def try_mistakes(rows: Iterable[BadInput], folder: Path) -> dict:
    """How many mistakes were told in the line of the table, with nothing done; those of ONNX where it is installed."""
    tried, unclear = Counter(), []
    things = make_things(folder / "things")
    for number, row in enumerate(rows):
        if row.exports and not CAN_EXPORT:
            continue
        own = folder / str(number)
        own.mkdir()
        tried[row.program] += 1
        if give(row, own, things) != expected(row, own, things):
            unclear.append(f"{row.program} {row.options}")
    return {"tried": tried.total(), "clear": tried.total() - len(unclear), "programs": dict(tried), "unclear": unclear}
