"""The Brain of language models: next-token training, and perplexity."""

import math
from operator import add
from typing import NamedTuple

from speechbrain.core import Stage
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from data_prep.tokenizer import IGNORED, UNKNOWN
from recipes.config import Recipe
from recipes.lm.data import TextBatch, TextBatches
from recipes.scoring import TextResult
from recipes.training.logger import loss_text
from recipes.training.processes import all_sum
from recipes.training.trainer import Trainer


class Perplexity(NamedTuple):
    """What a model makes of a text, as sums: negative log likelihood in nats, and the counts to divide it by.

    tokens: with one sentence end for each sentence; unknown: those that the tokenizer has no piece for.
    """

    nats: float = 0.0
    tokens: int = 0
    unknown: int = 0
    words: int = 0
    sentences: int = 0

    def plus(self, more: "Perplexity") -> "Perplexity":
        """The sums of both texts together."""
        return Perplexity(*map(add, self, more))

    @property
    def loss(self) -> float:
        """Nats per token."""
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


class LanguageModelBrain(Trainer):
    """Trains and evaluates the recipe's `language_model`, a `recipes.models.TransformerLM`.

    train_text: the batches to train on, which are told each epoch; None for measuring alone. parts: see `Trainer`.
    """

    def __init__(self, recipe: Recipe, run_options: RunOptions, *, train_text: TextBatches | None = None, **parts):
        super().__init__(recipe, recipe.hparams["language_model"], run_options, **parts)
        self.batches = train_text

    def perplexity(self, text: DataLoader) -> Perplexity:
        self.evaluate(text, progressbar=False)
        return self.measured

    def compute_forward(self, batch: TextBatch, stage: Stage) -> Tensor:
        return self.model_of(stage)(batch.to(self.device).inputs)

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
            self.measured = self.measured.plus(Perplexity(float(nats), tokens, unknown, batch.words, len(targets)))
        return nats / tokens

    def on_stage_start(self, stage, epoch=None):
        self.measured = Perplexity()

    def weigh(self, batch: TextBatch) -> int:
        """Tokens, with one sentence end for each sentence."""
        return int((batch.targets != IGNORED).sum())

    def name(self, batch: TextBatch) -> list[str]:
        return [f"a batch of {len(batch.inputs)} sentences"]

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage != Stage.TRAIN:
            nats, *counts = all_sum(self.measured)
            self.measured = Perplexity(nats, *map(int, counts))
        super().on_stage_end(stage, stage_loss, epoch)

    def end_epoch(self, epoch: int) -> None:
        valid, train_loss = self.measured, self.train_metrics["train_loss"]
        metrics = {
            "valid_loss": valid.loss,
            "valid_perplexity_token": valid.per_token,
            "valid_perplexity_word": valid.per_word,
        }
        self.log_epoch(epoch, metrics)
        self.logger.info(
            f"epoch {epoch}/{self.epochs}: train loss {loss_text(train_loss)}, valid loss {valid.loss:.3f}, "
            f"valid perplexity {valid.per_token:.2f} per token, {valid.per_word:.2f} per word"
        )
        self.checkpointer.save_epoch(self.hparams.average_checkpoints, loss=valid.loss)
