"""What every training has in common: seeds, learning rate, loss on the screen, and safe moments to save."""

import time

import torch
from speechbrain.core import Brain
from speechbrain.utils.distributed import get_rank

from recipes.errors import RecipeError
from recipes.scoring import EpochRecord

CURVE_INTERVAL = 50  # optimizer steps between two points of a curve


class Trainer(Brain):
    """A Brain whose every random draw of a step follows from (seed, epoch, step, rank).

    So a resumed run draws what the unbroken one would. The learning rate is a function of the step too.
    A subclass sets ``epoch_counter``, ``epochs``, ``clock`` and ``journal`` before ``fit``, and ``epoch``,
    ``train_batches`` and ``bar`` before the first batch.
    """

    @property
    def model(self):
        """The model itself, whether or not distributed training has wrapped it."""
        return getattr(self.modules.model, "module", self.modules.model)

    def on_fit_start(self):
        super().on_fit_start()
        if self._optimizer_step_limit_exceeded:  # a run that was finished: no epoch of no steps
            self.epoch_counter.current = self.epoch_counter.limit

    def on_fit_batch_start(self, batch, should_step):
        torch.manual_seed(hash((int(self.hparams.seed), self.epoch, self.step, get_rank() or 0)) % 2**63)
        if should_step:
            total = -(-self.train_batches * self.epochs // self.grad_accumulation_factor)
            total = min(total, self.optimizer_step_limit or total)
            self.lr = self.hparams.lr * self.hparams.lr_schedule(self.optimizer_step + 1, total)
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        lr = self.optimizer.param_groups[0]["lr"]
        self.bar.update(self.avg_train_loss if self.step > 1 else float(loss.detach()), lr)
        if should_step and self.optimizer_step % CURVE_INTERVAL == 0:
            self.journal.draw(self.optimizer_step, loss=float(loss.detach()), lr=lr)

    def record_epoch(self, epoch: int, measured: dict[str, float | None]) -> None:
        """Into the logs; the subclass says it in words."""
        self.journal.draw(self.optimizer_step, **measured)
        record = EpochRecord(
            epoch=epoch,
            steps=self.optimizer_step,
            seconds=round(self.clock.seconds(), 1),
            lr=self.optimizer.param_groups[0]["lr"],
            time=round(time.time(), 1),
            metrics=measured,
        )
        self.journal.log_epoch(record)

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

    def on_evaluate_start(self, max_key=None, min_key=None):
        """The weights are those in the model: the caller has loaded the average."""
