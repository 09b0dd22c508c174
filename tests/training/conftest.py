"""Two checkpoints to damage."""

import shutil
from pathlib import Path

import pytest

from tests.support.damage import Run


@pytest.fixture(scope="package")
def saved(tmp_path_factory) -> Path:
    run = Run(tmp_path_factory.mktemp("saved"))
    for epoch in (1, 2):
        run.save(epoch)
    return run.checkpointer.checkpoints_dir


@pytest.fixture
def two(saved, tmp_path) -> list[Path]:
    """The folders of two checkpoints, of the epochs 1 and 2."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    return sorted(tmp_path.iterdir())
