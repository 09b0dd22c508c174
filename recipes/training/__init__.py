"""What every training shares: the experiment, its Brain, schedules, checkpoints, logs and folder.

experiment              one run in its folder, from the command line to the summary
trainer                 the training loop: groups of batches, optimizer steps, resumption
schedule                learning rates
checkpoints, stored_checkpoints, integrity, averaging, tensors      weights on disk
run_folder, run_data, lock, logger      what the folder of a run holds, and who may write there
processes, forks, signals, run_options, allocator       processes and the machine
part_names              parts of a model by name, for --freeze
"""

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
