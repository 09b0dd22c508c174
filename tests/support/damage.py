"""Checkpoints with all parts that a training in float16 has, and damage to them."""

from pathlib import Path

import torch
from speechbrain.utils.epoch_loop import EpochCounter

from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.integrity import CHECKSUMS
from recipes.training.trainer import Progress, Trainer

FILES = [
    "CKPT.yaml",
    CHECKSUMS,
    *(f"{part}.ckpt" for part in ("model", "epoch", "clock", "optimizer", "brain", "scaler")),
]


class Brain(Trainer):
    """A Brain as far as a checkpoint goes."""

    def __init__(self):
        self.progress, self.optimizer_step, self.step = Progress(), 0, 0


class Run:
    """All parts of a training as a program has them after its start, model and optimizer of a single number."""

    def __init__(self, folder: Path):
        self.warnings = []
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.epoch, self.clock, self.brain = EpochCounter(9), Clock(), Brain()
        self.scaler = torch.amp.GradScaler("cpu")
        self.checkpointer = AtomicCheckpointer(folder, warn=self.warnings.append)
        for name in ("model", "epoch", "clock", "optimizer", "brain"):
            self.checkpointer.add_recoverable(name, getattr(self, name))
        self.checkpointer.add_recoverable("scaler", self.scaler, optional_load=True)

    def save(self, epoch: int, wer: float = 50.0, keep_best: int = 9) -> Path:
        """The end of an epoch, at which everything is its number."""
        with torch.no_grad():
            self.model.weight.fill_(float(epoch))
        self.optimizer.state[self.model.weight] = {
            "step": torch.tensor(float(epoch)),
            "exp_avg": torch.full((1, 1), float(epoch)),
            "exp_avg_sq": torch.full((1, 1), float(epoch)),
        }
        self.epoch.current = self.optimizer_step = self.brain.optimizer_step = epoch
        self.clock.earlier = 1000.0 * epoch
        self.checkpointer.save_epoch(keep_best, WER=wer)
        return self.checkpointer.find_checkpoint().path

    def state(self) -> tuple:
        """Where training would go on."""
        state = self.optimizer.state.get(self.model.weight, {})
        moment = float(state["exp_avg"]) if state else None
        return self.model.weight.item(), moment, self.epoch.current, self.brain.optimizer_step


def expected(epoch: int) -> tuple:
    return float(epoch), float(epoch), epoch, epoch


def flip(file: Path) -> None:
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)


def without_checksums(folder: Path) -> None:
    """A checkpoint as earlier versions wrote it."""
    (folder / CHECKSUMS).unlink()
    index = folder / "CKPT.yaml"
    ours = ("checksums", "measure", "keep_best", "keep_last")
    index.write_text("".join(line for line in index.open() if not line.startswith(ours)))
