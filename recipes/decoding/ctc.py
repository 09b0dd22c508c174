"""CTC: the greedy path, and prefix probabilities for a whole beam at once, with no loop over frames."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from data_prep.tokenizer import BLANK
from mixers.base import lengths_to_mask

LOG_ZERO = -1e30  # finite, so that the difference of two of them is finite


class CTCPrefixes(NamedTuple):
    """CTC state of N prefixes: log probabilities, at each frame, of all alignments of the prefix up to it.

    blank: float64 ``[N, T + 1]``, of the alignments that end in a blank; total: of all. Frame 0 is before the audio.
    score: ``[N]``, log probability that the sentence starts with the prefix.
    bound: ``[N]``, what no longer sentence can exceed when every further token earns the scorer's reward.
    """

    blank: Tensor
    total: Tensor
    score: Tensor
    bound: Tensor

    def select(self, index: Tensor) -> "CTCPrefixes":
        """The states of the prefixes ``index``, in that order."""
        return CTCPrefixes(*(part[index] for part in self))


class CTCPrefixScorer:
    """Prefix probabilities of Watanabe et al. 2017 (Hybrid CTC/Attention Architecture, algorithm 2), in float64.

    The score of "prefix, then token c" sums over the frame at which c first appears: for all prefixes and the
    whole vocabulary that is one product of matrices, which costs less than choosing candidates first.
    Only the tokens that are kept get a state. Its two recursions are first-order and linear, so each is a
    cumulative sum: a_t = (a_{t-1} + b_{t-1}) p_t has a_t = P_t * sum_{s <= t} b_{s-1} / P_{s-1}, P_t = p_1 … p_t.
    In logarithms that is one logcumsumexp, in float64 because log P_t grows with the utterance.
    """

    def __init__(self, log_probs: Tensor, lengths: Tensor, reward: float = 0.0):
        """log_probs: ``[B, T, vocab_size]``; lengths in frames; reward: of each token, for ``CTCPrefixes.bound``."""
        valid = lengths_to_mask(lengths, log_probs.shape[1])[..., None]
        # After its end an utterance has only blanks, of probability one, so that every state stays as it is.
        padded = log_probs.double().masked_fill(~valid, LOG_ZERO)
        padded[..., BLANK] = padded[..., BLANK].masked_fill(~valid[..., 0], 0.0)
        self.log_probs, self.probs = padded, padded.exp()
        self.blank_cumulative = cumulative(padded[..., BLANK])
        self.gain_after: Tensor | None = None
        if reward > 0:
            # A further token at frame t turns at most its share of the frame's probability into reward times it.
            likeliest = self.probs[..., BLANK + 1 :].amax(-1)
            gain = torch.log1p(torch.expm1(torch.tensor(reward, dtype=torch.float64)) * likeliest)
            self.gain_after = pad(gain.flip(1).cumsum(1).flip(1), (0, 1))  # [B, T + 1]: of frames t and later

    def select(self, index: Tensor) -> None:
        """Go on with the utterances ``index`` only, in that order."""
        self.log_probs, self.probs = self.log_probs[index], self.probs[index]
        self.blank_cumulative = self.blank_cumulative[index]
        self.gain_after = self.gain_after[index] if self.gain_after is not None else None

    def start(self, beam: int) -> CTCPrefixes:
        """The states of ``beam`` empty prefixes for each utterance."""
        blank = pad(self.log_probs[..., BLANK].cumsum(1), (1, 0)).repeat_interleave(beam, 0)
        score = torch.zeros_like(blank[:, 0])
        bound = score if self.gain_after is None else self.per_prefix(self.gain_after, len(score))[:, 0]
        return CTCPrefixes(blank, blank, score, bound)

    def per_prefix(self, values: Tensor, prefixes: int) -> Tensor:
        """Values of the utterances, repeated for each of their prefixes."""
        return values.repeat_interleave(prefixes // len(values), 0)

    def end(self, prefixes: CTCPrefixes) -> Tensor:
        """``[N]``: log probability that the sentence is exactly the prefix."""
        return prefixes.total[:, -1]

    def scores(self, prefixes: CTCPrefixes, last: Tensor) -> Tensor:
        """``[N, vocab_size]``: scores of the prefixes with one token more. last: their last tokens ``[N]``.

        Exact within 700 of the best alignment of the prefix; LOG_ZERO for what is less likely.
        """
        before = prefixes.total[:, :-1]
        highest = before.amax(1, keepdim=True)
        sums = (before - highest).exp_().view(len(self.probs), -1, before.shape[1]) @ self.probs
        scores = sums.flatten(0, 1).log_().clamp_(min=LOG_ZERO).add_(highest)
        # A token can only repeat after a blank.
        repeated = (prefixes.blank[:, :-1] + self.token_log_probs(last)).logsumexp(1)
        return scores.scatter_(1, last[:, None], repeated[:, None]).clamp_(min=LOG_ZERO)

    def extend(self, prefixes: CTCPrefixes, last: Tensor, tokens: Tensor) -> CTCPrefixes:
        """The states of the prefixes with ``tokens`` ``[N]`` appended. last: their last tokens ``[N]``."""
        before = torch.where((tokens == last)[:, None], prefixes.blank, prefixes.total)[:, :-1]
        log_probs = self.token_log_probs(tokens)
        appears = before + log_probs
        score = bound = appears.logsumexp(1)
        if self.gain_after is not None:
            bound = (appears + self.per_prefix(self.gain_after[:, 1:], len(last))).logsumexp(1)
        nonblank = pad(recursion(before, cumulative(log_probs)), (1, 0), value=LOG_ZERO)
        blanks = self.per_prefix(self.blank_cumulative, len(last))
        blank = pad(recursion(nonblank[:, :-1], blanks), (1, 0), value=LOG_ZERO)
        return CTCPrefixes(blank, torch.logaddexp(nonblank, blank), score, bound)

    def token_log_probs(self, tokens: Tensor) -> Tensor:
        """Log probabilities ``[N, T]`` of one token for each prefix. tokens: ``[N]``."""
        by_utterance = tokens.view(len(self.log_probs), 1, -1).expand(-1, self.log_probs.shape[1], -1)
        return self.log_probs.gather(2, by_utterance).transpose(1, 2).flatten(0, 1)


def cumulative(log_probs: Tensor) -> Tensor:
    """log P_1 … log P_T of ``[N, T]``, for ``recursion``."""
    return log_probs.clamp(min=-1e4).cumsum(1)


def recursion(entering: Tensor, log_products: Tensor) -> Tensor:
    """log a_t of a_t = (a_{t-1} + b_{t-1}) p_t, a_0 = 0.

    entering: log b_0 … log b_{T-1}; log_products: log P_1 … log P_T, both ``[N, T]``.
    """
    return log_products + (entering - pad(log_products[:, :-1], (1, 0))).logcumsumexp(1)


def greedy_ctc(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """The best token of every frame, without repeats and blanks. log_probs: ``[B, T, vocab_size]``."""
    best = log_probs.argmax(-1)
    sentences = []
    for row, length in zip(best.tolist(), lengths.tolist(), strict=True):
        changes = [token for frame, token in enumerate(row[:length]) if frame == 0 or token != row[frame - 1]]
        sentences.append([token for token in changes if token != BLANK])
    return sentences
