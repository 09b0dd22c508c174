"""Checkpoints that a stranger wrote: no file of theirs runs code when it is read."""

import contextlib
import os
import pickle
from pathlib import Path

import pytest
import torch

from recipes.errors import RecipeError
from recipes.training.averaging import average_checkpoints
from recipes.training.integrity import CHECKSUMS, write_checksums
from recipes.training.tensors import load_weights, save_weights
from tests.support.damage import FILES, Run, expected, flip, without_checksums


class Hostile:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def with_torch(file: Path, mark: Path) -> None:
    torch.save({"weight": Hostile(mark)}, file)


def with_pickle(file: Path, mark: Path) -> None:
    file.write_bytes(pickle.dumps(Hostile(mark)))


def with_yaml(file: Path, mark: Path) -> None:
    file.write_text(f"unixtime: 4000000000.0\nend-of-epoch: true\nWER: !!python/object/apply:os.mkdir ['{mark}']\n")


@pytest.mark.parametrize("checksums", [True, False], ids=["checksums", "none"])
@pytest.mark.parametrize("attack", [with_torch, with_pickle, with_yaml])
@pytest.mark.parametrize("name", [name for name in FILES if name != CHECKSUMS])
def test_no_file_of_a_checkpoint_runs_code(two, tmp_path, monkeypatch, name, attack, checksums):
    """The stranger also writes the checksums anew, and wants torch to be careless."""
    mark = tmp_path / "mark"
    without_checksums(two[1])
    attack(two[1] / name, mark)
    if checksums:
        write_checksums(two[1])
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    run = Run(tmp_path)
    assert run.checkpointer.recover_if_possible().path == two[0]
    assert run.state() == expected(1)
    assert average_checkpoints(run.checkpointer, "best-2").epochs == [1]
    assert not mark.exists()


def test_the_attacks_work_on_careless_readers(tmp_path):
    for number, attack in enumerate([with_torch, with_pickle]):
        mark, file = tmp_path / f"mark{number}", tmp_path / f"file{number}"
        attack(file, mark)
        with contextlib.suppress(RuntimeError):
            torch.load(file, weights_only=False)
        assert mark.is_dir()


def test_averaged_weights_are_read_with_the_same_care(tmp_path):
    file, mark = tmp_path / "averaged.ckpt", tmp_path / "mark"
    save_weights({"weight": torch.ones(64)}, file)
    assert load_weights(file)["weight"].sum() == 64
    flip(file)
    with pytest.raises(RecipeError, match=r"averaged\.ckpt is damaged: "):
        load_weights(file)
    with_torch(file, mark)
    with pytest.raises(RecipeError, match=r"averaged\.ckpt is damaged: "):
        load_weights(file)
    assert not mark.exists()
