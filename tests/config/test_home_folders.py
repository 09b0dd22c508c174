"""`~` is the home folder wherever a path is typed: a shell does not replace it in --key=~/x."""

from pathlib import Path

import pytest

from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError
from recipes.config import load
from recipes.config.keys import PATHS


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("key", sorted(PATHS))
def test_in_keys_of_a_recipe(home, key):
    (home / "mine.yaml").write_text(f"{key}: x\n")
    assert load(home / "mine.yaml", {key: "~/runs/1"}).hparams[key] == str(home / "runs" / "1")
    assert load(home / "mine.yaml", {key: "a~/1"}).hparams[key] == "a~/1"


def test_in_the_name_of_a_base(home):
    (home / "base.yaml").write_text("lr: 1\n")
    (home / "below").mkdir()
    (home / "below" / "mine.yaml").write_text("base: ~/base.yaml\n")
    assert load(home / "below" / "mine.yaml").hparams["lr"] == 1


def test_in_arguments_of_a_program(home):
    parser = ArgumentParser(prog="program")
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(["~/a", "b", "--out=~/c"])
    assert (options.files, options.out) == ([home / "a", Path("b")], home / "c")
    with pytest.raises(DataError, match=r"argument --out: no home folder for ~nobody\.here: give"):
        parser.parse_args(["--out=~nobody.here/x"])
