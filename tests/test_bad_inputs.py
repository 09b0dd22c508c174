"""Every mistake is found before anything is read, computed or written, and told in one line."""

import shlex
from pathlib import Path
from string import Template

import pytest

import compare
import evaluate
import train
import train_lm
from recipes.config import __main__ as config
from recipes.describe import __main__ as describe
from tests.support.bad_inputs import ROWS, START

HPARAMS = Path(__file__).parents[1] / "hparams"
MAIN = {
    "train": train.main,
    "train_lm": train_lm.main,
    "compare": compare.main,
    "evaluate": evaluate.main,
    "recipes.config": config.main,
    "recipes.describe": describe.main,
}


def files_of(folder: Path) -> list[Path]:
    """All files apart from the lock that a comparison puts into its folder first."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.program} {row.options}")
def test_one_line_and_nothing_done(row, tmp_path, capsys):
    places = {
        "recipe": HPARAMS / "quickstart.yaml",
        "lm_recipe": HPARAMS / "lm_quickstart.yaml",
        "none": tmp_path / "none",
        "here": tmp_path,
        "run": tmp_path / "run",
    }
    for name, text in row.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(Template(text).safe_substitute(places))
    files = files_of(tmp_path)
    command = Template(f"{START[row.program]} {row.options}").safe_substitute(places)
    assert MAIN[row.program](shlex.split(command)) == 2
    output = capsys.readouterr()
    assert output.err == f"error: {Template(row.line).safe_substitute(places)}\n"
    assert output.out == ""
    assert files_of(tmp_path) == files
