"""What every training shares: the trainer, its schedules, checkpoints, logs and folder."""

from recipes.training.checkpoints import AtomicCheckpointer
from recipes.training.logger import Journal
from recipes.training.schedule import linear, noam
from recipes.training.trainer import Trainer

__all__ = ["AtomicCheckpointer", "Journal", "Trainer", "linear", "noam"]
