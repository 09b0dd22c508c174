"""The joint CTC and attention loss of a recogniser, and how often its decoder is right."""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import cross_entropy, ctc_loss, pad

from data_prep.tokenizer import BLANK, END, IGNORED
from mixers.base import lengths_to_mask
from recipes.asr.data import Batch
from recipes.models.recogniser import Output


class JointLoss(NamedTuple):
    """Means over the utterances of a batch of sums over their tokens; attention: None without a decoder."""

    joint: Tensor
    ctc: Tensor
    attention: Tensor | None

    def parts(self) -> dict[str, Tensor]:
        """By name, for the log."""
        return {"ctc_loss": self.ctc} | ({} if self.attention is None else {"attention_loss": self.attention})


def joint_loss(output: Output, batch: Batch, *, ctc_weight: float, label_smoothing: float) -> JointLoss:
    """``ctc_weight * CTC + (1 - ctc_weight) * attention``: sums over the tokens, averaged over the batch's utterances.

    CTC alone for a model without a decoder. An utterance with more tokens than frames adds nothing to the CTC loss.
    Kim, Hori and Watanabe 2017, "Joint CTC-Attention based End-to-End Speech Recognition using Multi-task Learning"
    (arXiv 1609.06773).
    """
    ctc = ctc_loss(
        output.ctc_logits.float().log_softmax(-1).transpose(0, 1),
        batch.tokens,
        output.encoded.lengths,
        batch.token_lengths,
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )
    utterances = len(batch.lengths)
    if output.attention_logits is None:
        return JointLoss(ctc / utterances, ctc / utterances, None)
    attention = cross_entropy(
        output.attention_logits.float().transpose(1, 2),
        next_tokens(batch.tokens, batch.token_lengths),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    joint = (ctc_weight * ctc + (1 - ctc_weight) * attention) / utterances
    return JointLoss(joint, ctc / utterances, attention / utterances)


def next_tokens(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Decoder targets `[B, U + 1]`: the tokens, then the sentence end; IGNORED after it."""
    targets = pad(tokens, (0, 1)).masked_fill(~lengths_to_mask(lengths, tokens.shape[1] + 1), IGNORED)
    return targets.scatter(1, lengths[:, None], END)


def count_right_tokens(output: Output, batch: Batch) -> tuple[int, int]:
    """How many next tokens the decoder finds from the right ones before, and of how many; (0, 0) without a decoder."""
    if output.attention_logits is None:
        return 0, 0
    targets = next_tokens(batch.tokens, batch.token_lengths)
    real = targets != IGNORED
    return int(((output.attention_logits.argmax(-1) == targets) & real).sum()), int(real.sum())
