"""What every training shares: the experiment, its Brain, schedules, checkpoints, logs and folder."""

from typing import TYPE_CHECKING

from recipes.faces import lazy_face

if TYPE_CHECKING:
    from recipes.training.averaging import Average, average_checkpoints
    from recipes.training.checkpoints import AtomicCheckpointer, Clock
    from recipes.training.experiment import Experiment, run_experiment, summary_fields
    from recipes.training.logger import RunLogger
    from recipes.training.processes import on_main_process
    from recipes.training.run_folder import TOKENIZER, WEIGHTS
    from recipes.training.schedule import linear, noam
    from recipes.training.tensors import load_weights, save_weights
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

__getattr__ = lazy_face(
    __name__,
    averaging=["Average", "average_checkpoints"],
    checkpoints=["AtomicCheckpointer", "Clock"],
    experiment=["Experiment", "run_experiment", "summary_fields"],
    logger=["RunLogger"],
    processes=["on_main_process"],
    run_folder=["TOKENIZER", "WEIGHTS"],
    schedule=["linear", "noam"],
    tensors=["load_weights", "save_weights"],
    trainer=["Trainer"],
)
