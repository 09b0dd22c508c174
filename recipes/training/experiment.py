"""What runs of recognisers and of language models share: a folder, a log, checkpoints, their average, a summary."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions

from data_prep.files import remove_leftovers
from recipes.config import Recipe, flatten, load
from recipes.config.arguments import parse_arguments
from recipes.cost import parameter_count
from recipes.errors import RecipeError
from recipes.files import read_json
from recipes.provenance import commit, peak_memory_mb, versions
from recipes.scoring.results import SUMMARY
from recipes.training.allocator import keep_freed_memory
from recipes.training.averaging import average_checkpoints, choose_checkpoints
from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.integrity import epoch_of
from recipes.training.lock import locked
from recipes.training.logger import RunLogger
from recipes.training.processes import finish, on_main_process, start
from recipes.training.run_data import DATA, RunData, tokenizer_of
from recipes.training.run_folder import (
    CHECKPOINTS,
    WEIGHTS,
    check_is_run,
    check_recipe,
    debug_folder,
    empty_debug_folder,
    has_weights,
    is_kept_recipe,
    keep_recipe,
)
from recipes.training.run_options import Machine
from recipes.training.tensors import load_weights, save_weights
from recipes.training.trainer import Trainer

NAMES_SHOWN = 5
OF_ONE_COMMAND = {"allow_new_data", "find_batch"}  # keys that the kept recipe does not repeat


class Experiment:
    """One run of one recipe in its output folder: `with … as experiment`, then `prepare`, `fit`, `test`.

    While entered, the main process holds the folder's lock. A subclass says which key of the recipe holds the model
    and what measure in validation chooses checkpoints; its `prepare` sets `brain`. Raises RecipeError or DataError,
    one line each; what can be checked before anything is written is checked by the constructor.
    """

    model_key: str
    measure: str
    wrong_recipe: str  # what to say of a recipe without the key
    data_keys: frozenset[str]  # that may change where new data are allowed
    brain: Trainer
    run_data: RunData | None = None  # where it is yet to be recorded

    def __init__(self, recipe: Recipe, run_options: RunOptions):
        self.recipe, self.hparams, self.run_options = recipe, recipe.hparams, run_options
        self.model, self.folder = self.hparams[self.model_key], Path(self.hparams["output_folder"])
        self.debug, self.test_only = run_options.debug, run_options.test_only
        if self.debug:
            self.folder = debug_folder(self.folder)
        self.allows_new_data = bool(self.hparams.get("allow_new_data"))
        if self.debug and self.test_only:
            raise RecipeError(f"--debug trains anew, in {self.folder}: it has nothing for --test_only to test")
        if self.test_only and not has_weights(self.folder):
            raise RecipeError(f"no finished epoch in {self.folder / CHECKPOINTS}: train before testing")
        self.machine = Machine(recipe, run_options)
        self.check()
        if self.machine.device == "cpu":
            keep_freed_memory()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            on_main_process(lambda: self.take_folder(stack))  # the others would write into a folder not yet taken
            self.logger = RunLogger(self.folder, tensorboard=self.hparams["tensorboard"])
            stack.callback(self.logger.close)
            on_main_process(lambda: remove_leftovers(self.folder))
            self.checkpointer = AtomicCheckpointer(self.folder / CHECKPOINTS, warn=self.warn)
            self.check_stage()
            self.clock, self.epoch_counter = Clock(), EpochCounter(self.hparams["number_of_epochs"])
            recoverables = {"model": self.model, "epoch": self.epoch_counter, "clock": self.clock}
            self.checkpointer.add_recoverables(recoverables)
            self.announce()
            self.held = stack.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self.held.close()

    def check_stage(self) -> None:
        """Find out how far the run is. Sets three attributes:

        `newest`: the checkpoint to go on from; `weights_alone`: whether there are weights but no checkpoints; `trains`:
        whether this command trains. Raises RecipeError if the folder has nothing to test, or nothing to go on from.
        """
        # A converted model's folder, or a run without its checkpoints: to test with, not to go on from.
        self.weights_alone = (self.folder / WEIGHTS).is_file() and not self.checkpointer.list_checkpoints()
        self.newest = None if self.test_only else self.checkpointer.newest()
        self.trains = not (self.test_only or self.is_finished())
        if self.trains and self.weights_alone:
            raise RecipeError(
                f"{self.folder} holds weights ({WEIGHTS}) and no checkpoints to go on from: give --test_only, or "
                "another --output_folder"
            )
        if not self.trains and not self.weights_alone:
            choose_checkpoints(self.checkpointer, "last-1", self.measure)  # raises where no epoch was finished

    def is_finished(self) -> bool:
        """Whether the newest checkpoint is of the end of the last epoch."""
        if self.newest is None or not self.newest.meta["end-of-epoch"]:
            return False
        return epoch_of(self.newest) >= self.hparams["number_of_epochs"]

    def announce(self) -> None:
        self.logger.info(
            f"{self.title()}: {parameter_count(self.model) / 1e6:.2f} M parameters on {self.machine.device}; "
            f"everything is written to {self.folder}"
        )
        if self.debug:
            self.logger.info(
                f"--debug: a few batches; {self.folder} is emptied every time, and the run in "
                f"{self.hparams['output_folder']} stays as it is"
            )

    def take_folder(self, stack: ExitStack) -> None:
        """Lock the folder for as long as `stack` lasts, and see that it is the recipe's."""
        check_is_run(self.folder)
        stack.enter_context(locked(self.folder))
        if self.debug:
            empty_debug_folder(self.folder)
        check_recipe(self.folder, self.recipe, self.data_keys if self.allows_new_data else frozenset())
        if not has_weights(self.folder):  # otherwise later, when the data are known to be the run's own
            keep_recipe(self.folder, self.recipe)

    def title(self) -> str:
        """The name of the experiment, for the screen."""
        return self.recipe.name

    def check(self) -> None:
        """Raises RecipeError for a recipe that no run can have, before anything is written."""
        return

    def prepare(self) -> None:
        """Read the data, and make the Brain. What the run is then made of is recorded, not of a refused command."""
        self.data, self.run_data = on_main_process(lambda: (self.prepare_data(), self.run_data))
        self.tokenizer = tokenizer_of(self.folder, self.run_data)
        self.make_brain()
        if self.trains and (data := self.run_data or RunData.read(self.folder)):
            self.checkpointer.validated_on = data.valid.digest
        on_main_process(self.keep)

    def keep(self) -> None:
        if self.run_data is not None:
            self.run_data.write(self.folder)
        keep_recipe(self.folder, self.recipe)

    def prepare_data(self):
        """Find the data and see that they are the run's; returns what `make_brain` and the other stages need of them.

        In the main process alone. Training and validation data only where this command `trains`.
        """
        raise NotImplementedError

    def make_brain(self) -> None:
        """Set `brain`, with `tokenizer`."""
        raise NotImplementedError

    def fit(self) -> None:
        """Train to the last epoch, going on from the newest checkpoint if there is one."""
        raise NotImplementedError

    def test(self):
        """Measure with the average of the best checkpoints; returns the summary, which is also written."""
        raise NotImplementedError

    # --- for subclasses -------------------------------------------------------------------------------------

    def brain_parts(self) -> dict:
        """Keyword arguments of a `Trainer` that trains."""
        return {
            "logger": self.logger,
            "checkpointer": self.checkpointer,
            "clock": self.clock,
            "epoch_counter": self.epoch_counter,
        }

    def own_data(self, now: RunData) -> None:
        """Make these the data of the run, `run_data`; called in the main process alone.

        Raises RecipeError if the run was trained on other data, unless new data are allowed. Even then it raises if the
        run stopped within an epoch, which would mix both.
        """
        if self.newest is None:
            self.run_data = now
            return
        recorded = RunData.read(self.folder)
        differing = recorded.differences(now) if recorded else [f"it has no {DATA}"]
        if not differing:
            return
        named = ", ".join(differing[:NAMES_SHOWN]) + (", …" if len(differing) > NAMES_SHOWN else "")
        if not self.allows_new_data:
            raise RecipeError(
                f"{self.folder} was trained on other data ({named}): give those again, or --allow_new_data true to go "
                "on with its own tokenizer on these, or another --output_folder"
            )
        if not self.newest.meta["end-of-epoch"]:
            raise RecipeError(
                f"{self.folder} stopped within an epoch, which would mix data ({named}): end it with the data that it "
                "began with, and give --allow_new_data true after it"
            )
        epoch = epoch_of(self.newest)
        self.run_data = recorded.followed_by(now, epoch) if recorded else now
        self.logger.info(f"after epoch {epoch} the run goes on with other data ({named}) and its own tokenizer")

    def check_warmup(self) -> None:
        """Print a note if the run ends within the warm-up. Call it once the Brain has its batches."""
        warmup, steps = self.hparams.get("warmup_steps", 0), self.brain.planned_steps()
        if warmup >= steps > 0:
            highest = max(range(1, steps + 1), key=lambda step: self.brain.learning_rate(step, steps))
            so = "only rises" if highest == steps else f"rises to step {highest} alone, and falls from there"
            self.logger.info(
                f"note: the warm-up is longer than the run: warmup_steps is {warmup} and there are {steps} steps in "
                f"all, so that the learning rate {so}"
            )

    def announce_resumption(self) -> None:
        if self.newest is not None:
            self.logger.info(f"going on from {self.newest.path}")

    def load_tested_weights(self) -> None:
        """Write and load the average of the best checkpoints, and load the time that training took.

        Without checkpoints, load the average that the folder has.
        """
        if self.weights_alone:
            self.logger.info(f"testing with {WEIGHTS}")
            self.brain.model.load_state_dict(load_weights(self.folder / WEIGHTS))
            return
        epochs = on_main_process(self.write_average)
        named = f"epoch{'s' * (len(epochs) > 1)} {', '.join(map(str, epochs))}"
        self.logger.info(f"testing with the average of {len(epochs)} checkpoint{'s' * (len(epochs) > 1)}, of {named}")
        self.checkpointer.recover(["clock"])
        self.brain.model.load_state_dict(load_weights(self.folder / WEIGHTS))

    def training_seconds(self) -> float | None:
        """Of the whole training, once `load_tested_weights` was called. Without checkpoints, what an earlier test
        wrote; None where the training was done elsewhere."""
        if not self.weights_alone:
            return round(self.clock.seconds(), 1)
        summary = self.folder / SUMMARY
        return read_json(summary).get("seconds") if summary.is_file() else None

    def write_average(self) -> list[int]:
        """The average of the best checkpoints, into the folder; the epochs of these."""
        which = f"best-{self.hparams['average_checkpoints']}"
        average = average_checkpoints(self.checkpointer, which, self.measure)
        save_weights(average.weights, self.folder / WEIGHTS)
        return average.epochs

    def warn(self, message: str) -> None:
        self.logger.info(f"warning: {message}")


def summary_fields(recipe: Recipe, brain: Trainer) -> dict:
    """The fields that every summary has, except `seconds`."""
    return {
        "recipe": recipe.name,
        "seed": recipe.hparams["seed"],
        "parameters": parameter_count(brain.model),
        "peak_memory_mb": peak_memory_mb(brain.device),
        "device": str(brain.device),
        "versions": versions(),
        "commit": commit(),
        "recipe_hash": recipe.hash,
    }


def run_experiment(kind: type[Experiment], argv: Sequence[str] | None, description: str) -> None:
    """The command of `train.py` and `train_lm.py`: prepare, train unless `--test_only`, test.

    argv: without the program's name; None: the command line's.
    """
    arguments = parse_arguments(argv, description, key=kind.model_key)
    if arguments.source.find(kind.model_key) is None:
        raise RecipeError(f"{arguments.recipe} is {kind.wrong_recipe}")
    overrides = arguments.overrides
    if "output_folder" not in overrides and is_kept_recipe(arguments.recipe):
        overrides = {**overrides, "output_folder": str(arguments.recipe.parent)}  # which may have been moved
    recipe = load(arguments.source, overrides)
    lasting = {key: value for key, value in overrides.items() if key not in OF_ONE_COMMAND}
    if lasting != overrides:
        recipe = recipe._replace(text=flatten(arguments.source, lasting))
    run_options = start(arguments.run_options)
    with kind(recipe, run_options) as experiment:
        experiment.prepare()
        if experiment.trains:
            experiment.fit()
        experiment.test()
    finish()
