"""Folders that appear whole or not at all."""

from pathlib import Path

import pytest

from recipes.errors import RecipeError
from recipes.files import new_folder


def test_the_current_folder_may_be_written_where_it_is_empty(tmp_path, monkeypatch):
    """It has no name: `python -m recipes.inference.release RUN .`"""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with new_folder(Path(".")) as unfinished:
        (unfinished / "file").write_text("whole")
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["file"]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_after_an_error_there_is_nothing(tmp_path):
    with pytest.raises(RecipeError), new_folder(tmp_path / "out") as unfinished:
        (unfinished / "file").write_text("half")
        raise RecipeError("the disk is full")
    assert list(tmp_path.iterdir()) == []
