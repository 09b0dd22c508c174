"""What a training person looks at, of either side, by one yardstick."""

from collections.abc import Callable

import jiwer
from sentencepiece import SentencePieceProcessor

from data_prep.tokenizer import BLANK, detokenize
from mixers.base import lengths_to_mask
from recipes.asr.data import Batch
from recipes.asr.loss import joint_loss
from recipes.decoding import greedy_ctc
from recipes.models.recogniser import Output
from recipes.scoring import align_words

DIGITS = 4
Record = Callable[[int, float, dict, dict], None]  # of an epoch: steps, learning rate, figures of train and dev


class TrainFigures:
    """Sums over the training batches of an epoch."""

    def __init__(self):
        self.utterances, self.steps = 0, 0
        self.sums = dict.fromkeys(("ctc_loss", "attention_loss", "gradient_norm", "clipped_steps"), 0.0)

    def add_losses(self, ctc: float, attention: float, utterances: int) -> None:
        """ctc, attention: means over the utterances of the batch."""
        self.utterances += utterances
        self.sums["ctc_loss"] += ctc * utterances
        self.sums["attention_loss"] += attention * utterances

    def add_step(self, norm: float, max_norm: float) -> None:
        """norm: of the gradient before clipping."""
        self.steps += 1
        self.sums["gradient_norm"] += norm
        self.sums["clipped_steps"] += norm > max_norm

    def means(self) -> dict[str, float]:
        """Losses by utterance, the norm's mean and the share of clipped steps."""
        counts = {"ctc_loss": self.utterances, "attention_loss": self.utterances}
        return {name: total / counts.get(name, self.steps) for name, total in self.sums.items()}


class DevFigures:
    """Sums over the development set after an epoch; no label smoothing, no dropout."""

    def __init__(self, tokenizer: SentencePieceProcessor):
        self.tokenizer = tokenizer
        self.ctc = self.attention = 0.0
        self.tokens = self.blanks = self.frames = 0
        self.references: list[str] = []
        self.hypotheses: list[str] = []

    def add(self, output: Output, batch: Batch) -> None:
        loss = joint_loss(output, batch, ctc_weight=0.5, label_smoothing=0.0)
        self.ctc += float(loss.ctc) * len(batch.ids)
        self.attention += float(loss.attention) * len(batch.ids)
        self.tokens += int(batch.token_lengths.sum())
        logits, lengths = output.ctc_logits, output.encoded.lengths
        real = lengths_to_mask(lengths, logits.shape[1])
        self.blanks += int(((logits.argmax(-1) == BLANK) & real).sum())
        self.frames += int(real.sum())
        self.references += batch.words
        self.hypotheses += [
            detokenize(self.tokenizer, tokens) for tokens in greedy_ctc(logits.float().log_softmax(-1), lengths)
        ]

    def means(self) -> dict[str, float]:
        """Losses by utterance and by token (sentence ends count in attention), share of blanks, errors in percent."""
        utterances = len(self.references)
        return {
            "ctc_loss": self.ctc / utterances,
            "ctc_loss_per_token": self.ctc / self.tokens,
            "attention_loss": self.attention / utterances,
            "attention_loss_per_token": self.attention / (self.tokens + utterances),
            "blanks": self.blanks / self.frames,
            "wer": 100 * align_words(self.references, self.hypotheses).wer,
            "cer": 100 * jiwer.cer(self.references, self.hypotheses),
        }


def rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in figures.items()}
