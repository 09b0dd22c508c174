"""The joint loss of a recogniser, CTC's and its decoder's, and how often an attention decoder is right."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, ctc_loss, pad
from torchaudio.functional import rnnt_loss

from data_prep.tokenizer import BLANK, END, IGNORED
from mixers.base import lengths_to_mask
from recipes.asr.data import Batch
from recipes.models.recogniser import Output


class JointLoss(NamedTuple):
    """Means over the utterances of a batch of sums over their tokens; attention, transducer: of the decoder, if any."""

    joint: Tensor
    ctc: Tensor
    attention: Tensor | None = None
    transducer: Tensor | None = None

    def parts(self) -> dict[str, Tensor]:
        """By name, for the log."""
        parts = {"ctc_loss": self.ctc, "attention_loss": self.attention, "transducer_loss": self.transducer}
        return {name: loss for name, loss in parts.items() if loss is not None}


def joint_loss(output: Output, batch: Batch, *, ctc_weight: float, label_smoothing: float) -> JointLoss:
    """``ctc_weight * CTC + (1 - ctc_weight) * decoder``: sums over the tokens, averaged over the batch's utterances.

    CTC alone for a model without a decoder. An utterance with more tokens than frames adds nothing to the CTC loss.
    Kim, Hori and Watanabe 2017, "Joint CTC-Attention based End-to-End Speech Recognition using Multi-task Learning"
    (arXiv 1609.06773). label_smoothing: of an attention decoder; a transducer's loss has none.
    """
    utterances = len(batch.lengths)
    ctc = sum_of_ctc(output, batch) / utterances
    if output.decoder_logits is None:
        return JointLoss(ctc, ctc)
    if is_transducer(output):
        transducer = sum_of_transducer(output, batch) / utterances
        return JointLoss(ctc_weight * ctc + (1 - ctc_weight) * transducer, ctc, transducer=transducer)
    attention = sum_of_attention(output.decoder_logits, batch, label_smoothing) / utterances
    return JointLoss(ctc_weight * ctc + (1 - ctc_weight) * attention, ctc, attention=attention)


def is_transducer(output: Output) -> bool:
    """Whether there are logits for every frame and token, ``[B, T, U, vocab_size]``."""
    return output.decoder_logits is not None and output.decoder_logits.dim() == 4


def sum_of_ctc(output: Output, batch: Batch) -> Tensor:
    return ctc_loss(
        output.ctc_logits.float().log_softmax(-1).transpose(0, 1),
        batch.tokens,
        output.encoded.lengths,
        batch.token_lengths,
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )


def sum_of_attention(logits: Tensor, batch: Batch, label_smoothing: float) -> Tensor:
    return cross_entropy(
        logits.float().transpose(1, 2),
        next_tokens(batch.tokens, batch.token_lengths),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )


def sum_of_transducer(output: Output, batch: Batch) -> Tensor:
    """Minus the log probability of the tokens, over all alignments (Graves 2012, arXiv 1211.3711).

    By torchaudio, which this project needs anyway and whose rnnt_loss runs on CPU and GPU; SpeechBrain's needs numba
    and a GPU. It wants whole numbers of 32 bits, and logits as long as the longest of each.
    """
    frames, tokens = output.encoded.lengths, batch.token_lengths
    longest = int(tokens.max())
    return rnnt_loss(
        output.decoder_logits[:, : int(frames.max()), : longest + 1].float().contiguous(),
        batch.tokens[:, :longest].to(torch.int32).contiguous(),
        frames.to(torch.int32),
        tokens.to(torch.int32),
        blank=BLANK,
        reduction="sum",
    )


def next_tokens(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Decoder targets `[B, U + 1]`: the tokens, then the sentence end; IGNORED after it."""
    targets = pad(tokens, (0, 1)).masked_fill(~lengths_to_mask(lengths, tokens.shape[1] + 1), IGNORED)
    return targets.scatter(1, lengths[:, None], END)


def count_right_tokens(output: Output, batch: Batch) -> tuple[int, int]:
    """How many next tokens an attention decoder finds from the right ones before, and of how many; else (0, 0)."""
    if output.decoder_logits is None or is_transducer(output):
        return 0, 0
    targets = next_tokens(batch.tokens, batch.token_lengths)
    real = targets != IGNORED
    return int(((output.decoder_logits.argmax(-1) == targets) & real).sum()), int(real.sum())
