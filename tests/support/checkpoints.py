"""A run of a tiny model, for tests of its checkpoints."""

import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks

from recipes.training.checkpoints import AtomicCheckpointer


@register_checkpoint_hooks
class Trouble:
    """A part of the run whose saving can be made to fail; it is saved after the model."""

    def __init__(self):
        self.strikes = lambda path: None

    @mark_as_saver
    def save(self, path):
        Path(path).write_text("begun")
        self.strikes(path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        assert Path(path).read_text() == "begun"


class Run:
    """A model of one number, the trouble, and their checkpointer, as a program has them after its start."""

    def __init__(self, folder: Path):
        self.model, self.trouble = torch.nn.Linear(1, 1, bias=False), Trouble()
        self.checkpointer = AtomicCheckpointer(folder, {"model": self.model, "trouble": self.trouble})

    def set(self, number: float) -> None:
        with torch.no_grad():
            self.model.weight.fill_(number)

    def resumed(self) -> float | None:
        """The number that a resumed run goes on from; None when it has to begin anew."""
        return None if self.checkpointer.recover_if_possible() is None else self.model.weight.item()


@pytest.fixture
def saved_once(tmp_path):
    run = Run(tmp_path)
    run.set(1.0)
    run.checkpointer.save_checkpoint()
    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def room_for(size: int):
    """No file of this process can grow beyond ``size`` bytes, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
