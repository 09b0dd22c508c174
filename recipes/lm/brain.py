"""The Brain of language models: next-token training, and perplexity."""

import math
from typing import NamedTuple

from speechbrain.core import Stage
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from data_prep.tokenizer import IGNORED, UNKNOWN
from recipes.lm.data import TextBatch
from recipes.scoring import TextResult
from recipes.training.logger import EpochBar, Journal
from recipes.training.trainer import Trainer


class Perplexity(NamedTuple):
    """What a model makes of a text, as sums: negative log likelihood in nats, and what it was shared among.

    tokens: with one sentence end for each sentence; unknown: those that the tokenizer has no piece for.
    """

    nats: float = 0.0
    tokens: int = 0
    unknown: int = 0
    words: int = 0
    sentences: int = 0

    def plus(self, *more) -> "Perplexity":
        return Perplexity(*(one + other for one, other in zip(self, more, strict=True)))

    @property
    def loss(self) -> float:
        """Nats for each token."""
        return self.nats / self.tokens

    @property
    def per_token(self) -> float:
        return exponential(self.loss)

    @property
    def per_word(self) -> float:
        """The sentence end counts as a word, as is the custom with n-grams."""
        return exponential(self.nats / (self.words + self.sentences))

    def result(self) -> TextResult:
        return TextResult(
            perplexity_token=round(self.per_token, 3),
            perplexity_word=round(self.per_word, 3),
            tokens=self.tokens,
            unknown_tokens=self.unknown,
            words=self.words,
            sentences=self.sentences,
        )


def exponential(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf  # a diverged model: no float64 is so large


class LanguageModelTrainer(Trainer):
    """Trains and evaluates ``modules["model"]``, a ``recipes.models.language_model.TransformerLM``."""

    def prepare(self, *, journal: Journal, epoch_counter, clock, end_of_epoch) -> None:
        """end_of_epoch: called with the Perplexity on the validation text, to keep the epoch's weights."""
        self.journal, self.clock, self.end_of_epoch = journal, clock, end_of_epoch
        self.epoch_counter, self.epochs = epoch_counter, epoch_counter.limit

    def train(self, text: DataLoader, valid: DataLoader) -> None:
        self.text, self.train_batches = text.dataset, len(text.dataset)
        # The Brain's own bar knows neither learning rate nor the end of the run.
        self.fit(epoch_counter=self.epoch_counter, train_set=text, valid_set=valid, progressbar=False)

    def perplexity(self, text: DataLoader) -> Perplexity:
        self.evaluate(text, progressbar=False)
        return self.measured

    def compute_forward(self, batch: TextBatch, stage: Stage) -> Tensor:
        return self.modules.model(batch.to(self.device).inputs)

    def compute_objectives(self, logits: Tensor, batch: TextBatch, stage: Stage) -> Tensor:
        """Mean over the tokens of the batch, in nats."""
        targets = batch.to(self.device).targets
        nats = cross_entropy(
            logits.float().transpose(1, 2),
            targets,
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self.hparams.label_smoothing if stage == Stage.TRAIN else 0.0,
        )
        tokens = int((targets != IGNORED).sum())
        if stage != Stage.TRAIN:
            unknown = int((targets == UNKNOWN).sum())
            self.measured = self.measured.plus(float(nats), tokens, unknown, batch.words, len(targets))
        return nats / tokens

    def on_stage_start(self, stage, epoch=None):
        self.measured = Perplexity()
        if stage == Stage.TRAIN:
            # A pass that was broken off goes on behind its last step.
            self.text.epoch, self.text.skip, self.epoch = epoch, self.step, epoch
            show = self.journal.active and not self.noprogressbar
            self.bar = EpochBar(epoch, self.epochs, self.train_batches, self.step, show)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == Stage.TRAIN:
            self.bar.close()
            self.train_loss = stage_loss
        elif stage == Stage.VALID:
            self.note_epoch(self.measured, epoch)
            self.end_of_epoch(self.measured)

    def note_epoch(self, valid: Perplexity, epoch: int) -> None:
        measured = {
            "train_loss": self.train_loss,
            "valid_loss": valid.loss,
            "valid_perplexity_token": valid.per_token,
            "valid_perplexity_word": valid.per_word,
        }
        self.record_epoch(epoch, measured)
        self.journal.say(
            f"epoch {epoch}/{self.epochs}: train loss {self.train_loss:.3f}, valid loss {valid.loss:.3f}, "
            f"valid perplexity {valid.per_token:.2f} per token, {valid.per_word:.2f} per word"
        )
