"""What every training shares: the experiment, its Brain, schedules, checkpoints, logs and folder."""

from recipes.training.averaging import Average, average_checkpoints, load_weights, save_weights
from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.experiment import Experiment, run_experiment, summary_fields
from recipes.training.logger import RunLogger
from recipes.training.processes import on_main_process
from recipes.training.run_folder import TOKENIZER, WEIGHTS
from recipes.training.schedule import linear, noam
from recipes.training.trainer import Trainer

__all__ = [
    "TOKENIZER",
    "WEIGHTS",
    "AtomicCheckpointer",
    "Average",
    "Clock",
    "Experiment",
    "RunLogger",
    "Trainer",
    "average_checkpoints",
    "linear",
    "load_weights",
    "noam",
    "on_main_process",
    "run_experiment",
    "save_weights",
    "summary_fields",
]
