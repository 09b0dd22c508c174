"""The one Brain of all recipes: joint CTC/attention training, validation and decoding."""

import torch
from speechbrain.core import Brain, Stage
from speechbrain.utils.distributed import get_rank
from torch import Tensor
from torch.nn.functional import cross_entropy, ctc_loss, pad
from tqdm import tqdm

from mixers.base import lengths_to_mask
from recipes.data import Batch, detokenize
from recipes.errors import RecipeError
from recipes.model import Output
from recipes.progress import EpochBar, Journal
from recipes.report import Transcribed, score
from recipes.search import BLANK, END, START, greedy_ctc

IGNORED = -100
CURVE_INTERVAL = 50  # optimizer steps between two points of a curve


class ASR(Brain):
    """Trains and evaluates ``modules["model"]``, a ``recipes.model.Recogniser``.

    After ``prepare`` (tokenizer, readers and journal), use ``fit`` and ``transcribe``. Every random draw
    of a step follows from (seed, epoch, step, rank), so a resumed run draws what the unbroken one would.
    """

    def prepare(self, *, tokenizer, train_reader, journal: Journal, epochs: int, clock) -> None:
        self.tokenizer, self.train_reader, self.journal = tokenizer, train_reader, journal
        self.epochs, self.clock = epochs, clock

    @property
    def model(self):
        """The model itself, whether or not distributed training has wrapped it."""
        return getattr(self.modules.model, "module", self.modules.model)

    # --- one batch ------------------------------------------------------------------------------------------

    def compute_forward(self, batch: Batch, stage: Stage) -> Output:
        batch = batch.to(self.device)
        return self.modules.model(batch.audio, batch.lengths, pad(batch.tokens, (1, 0), value=START))

    def compute_objectives(self, output: Output, batch: Batch, stage: Stage) -> Tensor:
        """Joint loss: sums over the tokens, averaged over the utterances of the batch."""
        batch = batch.to(self.device)
        log_probs = output.ctc_logits.float().log_softmax(-1)
        ctc = ctc_loss(
            log_probs.transpose(0, 1), batch.tokens, output.encoded.lengths, batch.token_lengths,
            blank=BLANK, reduction="sum", zero_infinity=True,
        )  # fmt: skip
        loss = ctc
        if output.attention_logits is not None:
            targets = next_tokens(batch.tokens, batch.token_lengths)
            attention = cross_entropy(
                output.attention_logits.float().transpose(1, 2), targets, ignore_index=IGNORED, reduction="sum",
                label_smoothing=self.hparams.label_smoothing if stage == Stage.TRAIN else 0.0,
            )  # fmt: skip
            loss = self.hparams.ctc_weight * ctc + (1 - self.hparams.ctc_weight) * attention
            self.note_accuracy(output.attention_logits, targets, stage)
        if stage != Stage.TRAIN:
            self.note_text(output, log_probs, batch, stage)
        return loss / len(batch.ids)

    def note_accuracy(self, logits: Tensor, targets: Tensor, stage: Stage) -> None:
        if stage == Stage.VALID:
            counted = targets != IGNORED
            self.tokens_right += int(((logits.argmax(-1) == targets) & counted).sum())
            self.tokens_seen += int(counted.sum())

    def note_text(self, output: Output, log_probs: Tensor, batch: Batch, stage: Stage) -> None:
        greedy = [detokenize(self.tokenizer, one) for one in greedy_ctc(log_probs, output.encoded.lengths)]
        texts = greedy
        if self.search is not None:
            found = self.search(self.model.decoder, output.encoded, log_probs)
            texts = [detokenize(self.tokenizer, best.tokens) for best, *_ in found]
        self.transcribed += map(Transcribed, batch.ids, batch.words, texts, greedy)

    # --- training -------------------------------------------------------------------------------------------

    def make_dataloader(self, dataset, stage, ckpt_prefix="dataloader-", **kwargs):
        loader = super().make_dataloader(dataset, stage, ckpt_prefix, **kwargs)
        if stage == Stage.TRAIN:
            self.train_batches = len(loader)
            # Stock Brain tells a sampler the epoch only if it made it itself; without, every resumed run
            # would start with the first epoch's batches.
            self.train_sampler = self.train_sampler or kwargs["batch_sampler"]
        return loader

    def on_stage_start(self, stage, epoch=None):
        self.transcribed, self.tokens_right, self.tokens_seen = [], 0, 0
        self.search = self.search_of(stage, epoch)
        if stage == Stage.TRAIN:
            self.train_reader.epoch = self.epoch = epoch
            show = self.journal.active and not self.noprogressbar
            self.bar = EpochBar(epoch, self.epochs, self.train_batches, self.step, show)

    def search_of(self, stage: Stage, epoch: int | None):
        """The search beside greedy CTC in this stage; None where the recipe wants none, or not in this epoch."""
        if self.model.decoder is None:
            return None
        if stage == Stage.TEST:
            return self.hparams.test_search
        due = stage == Stage.VALID and epoch % self.hparams.valid_search_interval == 0
        return self.hparams.valid_search if due else None

    def on_fit_batch_start(self, batch, should_step):
        torch.manual_seed(hash((int(self.hparams.seed), self.epoch, self.step, get_rank() or 0)) % 2**63)
        if should_step:
            total = -(-self.train_batches * self.epochs // self.grad_accumulation_factor)
            self.lr = self.hparams.lr * self.hparams.lr_schedule(self.optimizer_step + 1, total)
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        lr = self.optimizer.param_groups[0]["lr"]
        self.bar.update(self.avg_train_loss if self.step > 1 else float(loss.detach()), lr)
        if should_step and self.optimizer_step % CURVE_INTERVAL == 0:
            self.journal.draw(self.optimizer_step, loss=float(loss.detach()), lr=lr)

    def check_loss_isfinite(self, loss):
        try:
            super().check_loss_isfinite(loss)
        except ValueError:
            raise RecipeError(
                f"training has diverged: in epoch {self.epoch} the loss of {self.nonfinite_count} batches was not "
                f"finite, the last at batch {self.step}; start anew with a lower lr or more warmup_steps"
            ) from None

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        # Between two optimizer steps the accumulated gradients would be lost.
        between = self.step % self.grad_accumulation_factor
        return not between and super()._should_save_intra_epoch_ckpt(last_ckpt_time, steps_since_ckpt)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == Stage.TRAIN:
            self.bar.close()
            self.train_loss = stage_loss
        elif stage == Stage.VALID:
            self.end_epoch(stage_loss, epoch)

    def end_epoch(self, valid_loss: float, epoch: int) -> None:
        words = [one.words for one in self.transcribed]
        wer = 100 * score(words, [one.greedy for one in self.transcribed]).wer
        searched = 100 * score(words, [one.hypothesis for one in self.transcribed]).wer if self.search else None
        accuracy = 100 * self.tokens_right / self.tokens_seen if self.tokens_seen else None
        measured = {
            "train_loss": self.train_loss, "valid_loss": float(valid_loss),
            "valid_wer": searched, "valid_wer_greedy_ctc": wer, "valid_token_accuracy": accuracy,
        }  # fmt: skip
        self.journal.draw(self.optimizer_step, **measured)
        self.journal.record(
            epoch=epoch, steps=self.optimizer_step, seconds=round(self.clock.seconds(), 1),
            lr=self.optimizer.param_groups[0]["lr"], **measured,
        )  # fmt: skip
        self.journal.say(
            f"epoch {epoch}/{self.epochs}: train loss {self.train_loss:.3f}, valid loss {valid_loss:.3f}, "
            f"valid WER {wer:.2f} % (greedy CTC)" + (f", {searched:.2f} % (search)" if self.search else "")
        )
        self.checkpointer.save_epoch(wer, self.hparams.average_checkpoints)

    # --- testing --------------------------------------------------------------------------------------------

    def on_evaluate_start(self, max_key=None, min_key=None):
        """The weights are those in the model: the caller has loaded the average."""

    def evaluate_batch(self, batch, stage):
        loss = super().evaluate_batch(batch, stage)
        if stage == Stage.TEST:
            self.bar.update()
        return loss

    def transcribe(self, dataset, name: str, **loader_kwargs) -> list[Transcribed]:
        """Decode a whole set with the recipe's search; in the order of the manifest's IDs."""
        loader = self.make_dataloader(dataset, Stage.TEST, ckpt_prefix=None, **loader_kwargs)
        show = self.journal.active and not self.noprogressbar
        with tqdm(total=len(loader), desc=name, unit="batch", leave=False, disable=not show) as self.bar:
            self.evaluate(loader, progressbar=False)
        return sorted(self.transcribed)


def next_tokens(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Decoder targets ``[B, U + 1]``: the tokens, then the sentence end; IGNORED after it."""
    targets = pad(tokens, (0, 1)).masked_fill(~lengths_to_mask(lengths, tokens.shape[1] + 1), IGNORED)
    return targets.scatter(1, lengths[:, None], END)
