"""One training loop for recognisers and language models: groups of batches, exact resumption, nothing silent."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch
from speechbrain.core import Brain, Stage
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from recipes.config.recipe import Recipe
from recipes.errors import RecipeError
from recipes.scoring import EpochRecord
from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.logger import EpochBar, RunLogger
from recipes.training.processes import all_sum, gathered, rank, ranks
from recipes.training.progress import Progress
from recipes.training.schedule import note_of_rise
from recipes.training.signals import Stop, StopRequest

CURVE_INTERVAL = 50  # optimizer steps between two points of a curve
LONGEST_REASON = 200  # characters of torch.compile's error


class Batches(Sized, Protocol):
    """The batches of an epoch, of all processes. ``epoch`` and ``skip``, the number of batches done, are set before."""

    epoch: int
    skip: int

    def total(self) -> int:
        """How many the whole epoch has."""


@register_checkpoint_hooks
class Trainer(Brain):
    """A Brain that takes an optimizer step for each group of batches.

    A group is `grad_accumulation_factor` batches of every process; the last group of an epoch may be smaller.
    Its gradient is that of the mean loss over all its utterances (tokens, for a language model): batches weigh by
    what they hold, so that N processes equal accumulation over N batches, and both equal one batch of all. Every
    random draw follows from (seed, epoch, number of the batch), the learning rate from the number of the step, so
    a resumed run goes on as the unbroken run would. A step whose gradient is not finite is not taken.

    SpeechBrain's own loop counts groups by `step % factor`, drops the last group of an epoch, weighs all batches
    alike, and steps on gradients that are not finite.

    checkpointer, clock, epoch_counter: for `fit` alone. A subclass sets `batches` before `fit`, and says by `weigh`
    what a batch weighs.
    """

    batches: Batches

    def __init__(
        self,
        recipe: Recipe,
        model: nn.Module,
        run_options: RunOptions,
        *,
        logger: RunLogger,
        checkpointer: AtomicCheckpointer | None = None,
        clock: Clock | None = None,
        epoch_counter: EpochCounter | None = None,
    ):
        super().__init__(
            modules={"model": model},
            opt_class=recipe.hparams["opt_class"],
            hparams=recipe.hparams,
            run_opts=run_options,
            checkpointer=checkpointer,
        )
        self.grad_accumulation_factor = accumulation(recipe, self.grad_accumulation_factor)
        self.logger, self.clock, self.epoch_counter = logger, clock, epoch_counter
        self.epochs = epoch_counter.limit if epoch_counter else 0
        self.progress, self.skipped_in_a_row = Progress(), 0
        # With None torch.compile keeps lengths symbolic once it has met a second one. With False, SpeechBrain's
        # default, it compiles for each length anew, and gives up after eight.
        self.compile_using_dynamic_shape_tracing = self.compile_using_dynamic_shape_tracing or None

    @property
    def model(self) -> nn.Module:
        """The model itself, without the wrappers of torch.compile and distributed training.

        A wrapper has other names in its state dict, and distributed training hides all methods but ``forward``.
        """
        model = self.modules["model"]
        if isinstance(model, (DistributedDataParallel, DataParallel)):  # around torch.compile's wrapper
            model = model.module
        return getattr(model, "_orig_mod", model)  # where torch.compile's wrapper has it

    def model_of(self, stage: Stage) -> nn.Module:
        """The model to call, with its wrappers in training alone.

        That of distributed training waits for all processes at each call, but validation and tests may have more
        batches for one of them than for another; that of torch.compile would compile anew for their shapes.
        """
        return self.modules["model"] if stage == Stage.TRAIN else self.model

    @property
    def shows_progress(self) -> bool:
        return self.logger.active and not self.noprogressbar

    # --- for subclasses -------------------------------------------------------------------------------------

    def weigh(self, batch) -> int:
        """How many utterances (or tokens) the loss of the batch is a mean over."""
        raise NotImplementedError

    def name(self, batch) -> list[str]:
        """What a batch is called in a message."""
        raise NotImplementedError

    def note(self, **values: Tensor) -> None:
        """Note means over the current training batch; the log has their averages over the epoch."""
        self.noted[-1] |= {key: value.detach().double() * self.batch_weight for key, value in values.items()}

    def end_epoch(self, epoch: int) -> None:
        """Called after validation: log the epoch, and save a checkpoint."""
        raise NotImplementedError

    # --- epochs ---------------------------------------------------------------------------------------------

    def fit(self, *arguments, **options):
        with StopRequest() as self.stop:
            try:
                super().fit(*arguments, **options)
            except RuntimeError as error:
                if not is_compile_error(error):
                    raise
                reason = " ".join(str(error).split())[:LONGEST_REASON]
                raise RecipeError(f"--compile: torch.compile failed; train without it ({reason})") from error

    def on_fit_start(self):
        super().on_fit_start()
        self.clock.start()
        self.check_group()
        # A finished run: no epoch of no steps. One that was stopped after its last step has its epoch still to end.
        if self._optimizer_step_limit_exceeded and not self.progress.batches:
            self.epoch_counter.current = self.epoch_counter.limit

    def check_group(self) -> None:
        """Print a note if a resumed run has another number of batches in a step than before."""
        group, before = ranks() * self.grad_accumulation_factor, self.progress.group
        if self.progress.optimizer_steps and group != before:
            self.logger.info(
                f"note: a step is now over {group} batches ({ranks()} processes, accumulation "
                f"{self.grad_accumulation_factor}) and was over {before}: the run goes on with other steps; with "
                f"--global_batch {before} they would be of the same size"
            )
            self.progress.steps_before = self.progress.optimizer_steps - self.progress.batches // group
        self.progress.group = group

    def _fit_train(self, train_set, epoch, enable):
        """One epoch of training; in place of SpeechBrain's, see the class."""
        self.epoch = epoch
        self.batches.epoch, self.batches.skip = epoch, self.progress.batches
        self.modules.train()
        self.on_stage_start(Stage.TRAIN, epoch)
        self.zero_grad()
        total = self.planned_steps(epoch, self.progress.steps_before)
        if self.optimizer_step:
            before, now = self.optimizer.param_groups[0]["lr"], self.learning_rate(self.optimizer_step, total)
            if note := note_of_rise(before, now, total):
                self.logger.info(note)
        done = self.progress.batches // ranks()
        self.bar = EpochBar(epoch, self.epochs, -(-self.batches.total() // ranks()), done, self.shows_progress)
        last_save, steps_since_save = time.time(), 0
        for group in groups(train_set, self.grad_accumulation_factor):
            if self._optimizer_step_limit_exceeded:
                break
            self.fit_group(group, total)
            self.step += len(group)
            steps_since_save += 1
            if self.debug and self.step >= self.debug_batches:
                break
            self.stop_if_asked()
            if self._should_save_intra_epoch_ckpt(last_save, steps_since_save):
                self._save_intra_epoch_ckpt()
                last_save, steps_since_save = time.time(), 0
        self.bar.close()
        self.on_stage_end(Stage.TRAIN, self.mean("loss"), epoch)
        self.step = 0

    def _fit_valid(self, valid_set, epoch, enable):
        """The validation of an epoch; in place of SpeechBrain's, whose loss is a mean of the batches' means."""
        if valid_set is None:
            return
        self.on_stage_start(Stage.VALID, epoch)
        self.modules.eval()
        with torch.no_grad():
            for number, batch in enumerate(valid_set, start=1):
                self.evaluate_batch(batch, Stage.VALID)
                if ranks() == 1:  # several processes may have different numbers of batches: they stop after the last
                    self.stop_if_asked()
                if self.debug and number == self.debug_batches:
                    break
        self.on_stage_end(Stage.VALID, None, epoch)

    def planned_steps(self, epoch: int = 1, before: int = 0) -> int:
        """Optimizer steps of a training with so many before this epoch, by the batches as they are now."""
        of_epoch = -(-self.batches.total() // (ranks() * self.grad_accumulation_factor))
        steps = before + of_epoch * (self.epochs - epoch + 1)
        return min(steps, self.optimizer_step_limit or steps)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == Stage.TRAIN:
            self.train_metrics = {
                "train_loss": self.mean("loss"),
                **{f"train_{key}": self.mean(key) for key in self.progress.sums if key.endswith("_loss")},
                "gradient_norm": self.mean("gradient_norm", "steps"),
                "clipped_steps": self.mean("clipped", "steps"),
                "skipped_steps": int(self.progress.sums.get("skipped", 0)),
            }
        elif stage == Stage.VALID:
            self.progress = Progress(
                optimizer_steps=self.optimizer_step, steps_before=self.optimizer_step, group=self.progress.group
            )
            self.end_epoch(epoch)
            self.stop_if_asked(saved=True)

    def mean(self, key: str, over: str = "weight") -> float | None:
        """The mean of a noted value over this epoch so far; None before there is one. over: what it is divided by."""
        weight = self.progress.sums.get(over, 0.0)
        return self.progress.sums.get(key, 0.0) / weight if weight else None

    # --- a group of batches: one optimizer step --------------------------------------------------------------

    def fit_group(self, group: list, total_steps: int) -> None:
        """One optimizer step. total_steps: of the whole training."""
        first = self.progress.batches + rank()
        numbers = [first + place * ranks() for place in range(len(group))]
        # In the last group a process may have no batch of its own left: it has a copy of another one, with weight 0.
        total = self.batches.total()
        weights = [self.weigh(batch) * (number < total) for batch, number in zip(group, numbers, strict=True)]
        (group_weight,) = all_sum([sum(weights)])
        if not group_weight:  # nothing of it could be read: no step
            self.progress.batches = min(self.progress.batches + len(group) * ranks(), total)
            return
        self.set_learning_rate(total_steps)
        self.noted: list[dict[str, Tensor]] = []  # of each batch
        losses = []
        for batch, number, weight in zip(group, numbers, weights, strict=True):
            torch.manual_seed(hash((int(self.hparams.seed), self.epoch, number)) % 2**63)
            self.batch_weight = weight
            self.noted.append({})
            with self.no_sync(number != numbers[-1]):
                with self.training_ctx:
                    outputs = self.compute_forward(batch, Stage.TRAIN)
                    loss = self.compute_objectives(outputs, batch, Stage.TRAIN)
                # Distributed training takes the mean over the processes, hence their number.
                self.scaler.scale(loss * (weight * ranks() / group_weight)).backward()
            losses.append(loss.detach())
        norm = self.take_step(group, losses)
        self.progress.batches = min(self.progress.batches + len(group) * ranks(), total)
        self.add_up(losses, weights, norm)
        lr = self.optimizer.param_groups[0]["lr"]
        self.bar.update(len(group), self.mean("loss"), lr)
        if self.optimizer_step % CURVE_INTERVAL == 0:
            self.logger.scalars(self.optimizer_step, loss=float(losses[-1]), lr=lr, gradient_norm=norm)

    def learning_rate(self, step: int, total_steps: int) -> float:
        return self.hparams.lr * self.hparams.lr_schedule(step, max(step, total_steps))

    def set_learning_rate(self, total_steps: int) -> None:
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = self.learning_rate(self.optimizer_step + 1, total_steps)

    def take_step(self, group: list, losses: list[Tensor]) -> float | None:
        """Step, unless the gradient is not finite; its norm before clipping, None where no step was taken."""
        self.scaler.unscale_(self.optimizer)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = float(clip_grad_norm_(parameters, self.max_grad_norm))
        finite = norm < float("inf")  # False for NaN too
        if finite or self.scaler.is_enabled():
            self.scaler.step(self.optimizer)  # skips the step itself where the gradient is not finite
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if finite:
            self.optimizer_step += 1
            self.progress.optimizer_steps, self.skipped_in_a_row = self.optimizer_step, 0
            return norm
        self.skip_step(group, losses)
        return None

    def skip_step(self, group: list, losses: list[Tensor]) -> None:
        """Log which utterances had a loss that is not finite. Raises RecipeError after too many skips in a row."""
        names = [
            name for batch, loss in zip(group, losses, strict=True) if not loss.isfinite() for name in self.name(batch)
        ]
        names = gathered(names)
        if not names and self.scaler.is_enabled() and self.scaler.get_scale() >= 1:
            return  # float16 overflowed and the scaler lowers its scale, which is normal, down to 1
        self.skipped_in_a_row += 1
        cause = f"the loss of {', '.join(names[:20])}" if names else "the gradient"
        self.logger.info(f"epoch {self.epoch}, step {self.optimizer_step + 1} skipped: {cause} is not finite")
        if self.skipped_in_a_row > self.nonfinite_patience:
            newest = self.checkpointer.find_checkpoint() if self.checkpointer else None
            kept = f"the last good checkpoint is {newest.path}; " if newest else ""
            raise RecipeError(
                f"training has diverged: {self.skipped_in_a_row} steps in a row were not finite, the last of epoch "
                f"{self.epoch}; {kept}start anew with a lower lr or more warmup_steps, in another --output_folder"
            )

    def add_up(self, losses: list[Tensor], weights: list[int], norm: float | None) -> None:
        """Add the values of this group to the sums of the epoch, over all processes, but for batches that have a
        loss which is not finite."""
        own = dict.fromkeys(("loss", "weight", *sorted(self.noted[0])), 0.0)
        for loss, weight, noted in zip(losses, weights, self.noted, strict=True):
            if loss.isfinite():
                for key, value in {"loss": loss * weight, "weight": weight, **noted}.items():
                    own[key] += float(value)
        shared = dict(zip(own, all_sum(list(own.values())), strict=True))
        shared |= {
            "steps": norm is not None,
            "skipped": norm is None,
            "gradient_norm": norm or 0.0,
            "clipped": norm is not None and norm > self.max_grad_norm,
        }
        for key, value in shared.items():
            self.progress.sums[key] = self.progress.sums.get(key, 0.0) + float(value)

    # --- stopping and resuming ------------------------------------------------------------------------------

    def stop_if_asked(self, saved: bool = False) -> None:
        """Save and end, where any of the processes was asked to stop. Raises Stop."""
        (wishes,) = all_sum([self.stop.signal_name is not None])
        if not wishes:
            return
        if not saved:
            self._save_intra_epoch_ckpt()
        where = f"epoch {self.epoch}" if saved else f"step {self.optimizer_step} of epoch {self.epoch}"
        name = self.stop.signal_name or "another process"
        raise Stop(f"stopped by {name} after {where}; all is saved: give the same command again to go on")

    @mark_as_saver
    def _save(self, path):
        self.progress.optimizer_steps = self.optimizer_step
        Path(path).write_text(json.dumps(asdict(self.progress)), encoding="utf-8")

    @mark_as_loader
    def _recover(self, path, end_of_epoch):
        self.progress = Progress(**json.loads(Path(path).read_text(encoding="utf-8")))
        self.optimizer_step = self.progress.optimizer_steps
        self.step = 0

    # --- log ------------------------------------------------------------------------------------------------

    def log_epoch(self, epoch: int, metrics: dict[str, float | None]) -> None:
        """Add the epoch to the machine-readable log and to TensorBoard's curves."""
        metrics = {**self.train_metrics, **metrics}
        self.logger.scalars(self.optimizer_step, **metrics)
        record = EpochRecord(
            epoch=epoch,
            steps=self.optimizer_step,
            seconds=round(self.clock.seconds(), 1),
            lr=self.optimizer.param_groups[0]["lr"],
            time=round(time.time(), 1),
            metrics=metrics,
        )
        self.logger.log_epoch(record)

    def on_evaluate_start(self, max_key=None, min_key=None):
        """The weights are those in the model: the stock method would load a checkpoint's."""


def accumulation(recipe: Recipe, factor: int) -> int:
    """Batches of a step on each process. Raises RecipeError where `global_batch` cannot be shared out equally."""
    together = recipe.hparams.get("global_batch")
    if together is None:
        return factor
    if together % ranks():
        raise RecipeError(f"global_batch {together} cannot be shared out among {ranks()} processes: give a multiple")
    return together // ranks()


def groups(batches: Iterable, size: int) -> Iterator[list]:
    """Lists of ``size`` batches; the last one may be shorter."""
    rest = iter(batches)
    while group := list(islice(rest, size)):
        yield group


def is_compile_error(error: RuntimeError) -> bool:
    """Whether torch.compile raised it. Its module takes a second to import, and is loaded once anything is compiled."""
    module = sys.modules.get("torch._dynamo.exc")
    return module is not None and isinstance(error, module.TorchDynamoException)
