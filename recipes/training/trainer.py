"""What every training shares: seeds, learning rate, loss on the screen, and safe moments to save."""

import time

import torch
from speechbrain.core import Brain, Stage
from speechbrain.utils.distributed import get_rank
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from torch import nn

from recipes.config import Recipe
from recipes.errors import RecipeError
from recipes.scoring import EpochRecord
from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.logger import EpochBar, RunLogger

CURVE_INTERVAL = 50  # optimizer steps between two points of a curve


class Trainer(Brain):
    """A Brain whose every random draw of a step follows from (seed, epoch, step, rank).

    So a resumed run draws what the unbroken run would. The learning rate is a function of the step too.
    checkpointer, clock, epoch_counter: for `fit` alone. A subclass sets `train_batches`, the batches of an epoch,
    before the first epoch, and calls `start_epoch` at the start of each.
    """

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
        self.logger, self.clock, self.epoch_counter = logger, clock, epoch_counter
        self.epochs = epoch_counter.limit if epoch_counter else 0

    @property
    def model(self):
        """The model itself, whether or not distributed training has wrapped it."""
        return getattr(self.modules.model, "module", self.modules.model)

    @property
    def shows_progress(self) -> bool:
        return self.logger.active and not self.noprogressbar

    # --- steps ----------------------------------------------------------------------------------------------

    def on_fit_start(self):
        super().on_fit_start()
        if self._optimizer_step_limit_exceeded:  # a finished run: no epoch of no steps
            self.epoch_counter.current = self.epoch_counter.limit

    def start_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.bar = EpochBar(epoch, self.epochs, self.train_batches, self.step, self.shows_progress)

    def on_fit_batch_start(self, batch, should_step):
        torch.manual_seed(hash((int(self.hparams.seed), self.epoch, self.step, get_rank() or 0)) % 2**63)
        if should_step:
            total = -(-self.train_batches * self.epochs // self.grad_accumulation_factor)
            total = min(total, self.optimizer_step_limit or total)
            lr = self.hparams.lr * self.hparams.lr_schedule(self.optimizer_step + 1, total)
            for group in self.optimizer.param_groups:
                group["lr"] = lr

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        lr = self.optimizer.param_groups[0]["lr"]
        self.bar.update(self.avg_train_loss if self.step > 1 else float(loss.detach()), lr)
        if should_step and self.optimizer_step % CURVE_INTERVAL == 0:
            self.logger.scalars(self.optimizer_step, loss=float(loss.detach()), lr=lr)

    def check_loss_isfinite(self, loss):
        try:
            super().check_loss_isfinite(loss)
        except ValueError:
            raise RecipeError(
                f"training has diverged: in epoch {self.epoch} the loss of {self.nonfinite_count} batches "
                f"was not finite, the last at batch {self.step}; start anew with a lower lr or more warmup_steps"
            ) from None

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        # Between two optimizer steps the accumulated gradients would be lost.
        between = self.step % self.grad_accumulation_factor
        return not between and super()._should_save_intra_epoch_ckpt(last_ckpt_time, steps_since_ckpt)

    # --- epochs ---------------------------------------------------------------------------------------------

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == Stage.TRAIN:
            self.bar.close()
            self.train_loss = stage_loss
        elif stage == Stage.VALID:
            self.end_epoch(float(stage_loss), epoch)

    def end_epoch(self, valid_loss: float, epoch: int) -> None:
        """Called after validation: log the epoch, and save a checkpoint."""
        raise NotImplementedError

    def log_epoch(self, epoch: int, metrics: dict[str, float | None]) -> None:
        """Add the epoch to the machine-readable log and to TensorBoard's curves."""
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
