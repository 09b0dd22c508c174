"""The joint loss of a recogniser, CTC's and its decoder's, and how often an attention decoder is right."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, ctc_loss, kl_div, pad
from torchaudio.functional import rnnt_loss

from data_prep.tokenizer import BLANK, END, IGNORED
from mixers.base import lengths_to_mask
from recipes.asr.data import Batch
from recipes.errors import RecipeError
from recipes.models.recogniser import Output


class JointLoss(NamedTuple):
    """Sums over the tokens of an utterance, averaged over the batch; None for a decoder that the model lacks."""

    joint: Tensor
    ctc: Tensor
    attention: Tensor | None = None
    transducer: Tensor | None = None
    consistency: Tensor | None = None  # of several views

    def parts(self) -> dict[str, Tensor]:
        """The parts by name, for the log."""
        parts = {"ctc_loss": self.ctc, "attention_loss": self.attention, "transducer_loss": self.transducer}
        parts["consistency_loss"] = self.consistency
        return {name: loss for name, loss in parts.items() if loss is not None}


def check_consistency(path: Path, hparams: Mapping) -> None:
    """Raises RecipeError, one line, where `consistency_weight` asks for what the recipe cannot do."""
    if hparams.get("consistency_weight") is None:
        return
    if hparams["ctc_weight"] == 0 and hparams["model"].decoder is not None:
        raise RecipeError(
            f"{path}: consistency_weight compares CTC outputs, which ctc_weight 0 does not train: give --ctc_weight a "
            "value above 0, or --consistency_weight null"
        )


def joint_loss(
    output: Output, batch: Batch, *, ctc_weight: float, label_smoothing: float, consistency_weight: float | None = None
) -> JointLoss:
    """``ctc_weight * CTC + (1 - ctc_weight) * decoder``: sums over the tokens, averaged over the batch's utterances.

    CTC alone for a model without a decoder. An utterance with more tokens than frames adds nothing to the CTC loss.
    Kim, Hori and Watanabe 2017, "Joint CTC-Attention based End-to-End Speech Recognition using Multi-task Learning"
    (arXiv 1609.06773). label_smoothing: of an attention decoder; a transducer's loss has none.

    consistency_weight: of batches that hold two views of each utterance, first all of one, then all of the other.
    The CTC loss is then ``CTC + consistency_weight * consistency``, everything averaged over the views (Yao et al.
    2024, "CR-CTC: Consistency regularization on CTC for improved speech recognition", arXiv 2410.05101).
    """
    utterances = len(batch.lengths)
    ctc = sum_of_ctc(output, batch) / utterances
    consistency, regularised = None, ctc
    if consistency_weight is not None:
        consistency = sum_of_consistency(output) / utterances
        regularised = ctc + consistency_weight * consistency
    if output.decoder_logits is None:
        return JointLoss(regularised, ctc, consistency=consistency)
    if is_transducer(output):
        transducer = sum_of_transducer(output, batch) / utterances
        joint = ctc_weight * regularised + (1 - ctc_weight) * transducer
        return JointLoss(joint, ctc, transducer=transducer, consistency=consistency)
    attention = sum_of_attention(output.decoder_logits, batch, label_smoothing) / utterances
    joint = ctc_weight * regularised + (1 - ctc_weight) * attention
    return JointLoss(joint, ctc, attention=attention, consistency=consistency)


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


def sum_of_consistency(output: Output) -> Tensor:
    """How far the CTC distributions of two views are from each other: Kullback-Leibler, summed over real frames.

    Each view is drawn towards what the other gives, which itself gets no gradient from it. Rows: as ``joint_loss``.
    """
    log_probs = output.ctc_logits.float().log_softmax(-1)
    of_other_view = log_probs.roll(len(log_probs) // 2, dims=0).detach()
    divergence = kl_div(log_probs, of_other_view, log_target=True, reduction="none").sum(-1)
    return divergence[lengths_to_mask(output.encoded.lengths, divergence.shape[1])].sum()


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
    """How many tokens an attention decoder predicts right, given the true ones before, and of how many; else (0, 0)."""
    if output.decoder_logits is None or is_transducer(output):
        return 0, 0
    targets = next_tokens(batch.tokens, batch.token_lengths)
    real = targets != IGNORED
    return int(((output.decoder_logits.argmax(-1) == targets) & real).sum()), int(real.sum())
