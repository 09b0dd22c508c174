"""CTC prefix probabilities for a whole beam at once, with no loop over frames."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from data_prep.tokenizer import BLANK
from mixers.base import lengths_to_mask

NEVER = -1e30  # stands for log 0, so that differences of two of them are finite


class CTCPrefixes(NamedTuple):
    """CTC state of N hypotheses: log probability of all alignments of the prefix that end at each frame.

    blank: ``[N, T + 1]``, of those that end in a blank; either: of all. Frame 0 is before the audio.
    score: ``[N]`` log probability that the sentence starts with the prefix.
    ceiling: ``[N]``, what no longer sentence can exceed when every further token earns the scorer's reward.
    """

    blank: Tensor
    either: Tensor
    score: Tensor
    ceiling: Tensor

    def select(self, hypotheses: Tensor) -> "CTCPrefixes":
        return CTCPrefixes(*(part[hypotheses] for part in self))


class CTCPrefixScorer:
    """Prefix probabilities of Watanabe et al. 2017 (algorithm 2), in float64.

    The score of "prefix, then c" sums over the frame at which c first appears: for all hypotheses and the
    whole vocabulary that is one product of matrices, which costs less than picking out candidates first.
    Only the tokens that stay get a state. Its two recursions are first-order and linear, so each is a
    running sum: a_t = (a_{t-1} + b_{t-1}) p_t has a_t = P_t * sum_{s <= t} b_{s-1} / P_{s-1}, P_t = p_1 … p_t.
    In logarithms that is one logcumsumexp, in float64 since log P_t grows with the utterance.
    """

    def __init__(self, log_probs: Tensor, lengths: Tensor, reward: float = 0.0):
        """log_probs: ``[B, T, vocab]`` of the utterances; lengths in frames; reward: see CTCPrefixes.ceiling."""
        valid = lengths_to_mask(lengths, log_probs.shape[1])[..., None]
        # After its end an utterance only repeats what it has: every path stays where it is, at no cost.
        padded = log_probs.double().masked_fill(~valid, NEVER)
        padded[..., BLANK] = padded[..., BLANK].masked_fill(~valid[..., 0], 0.0)
        self.log_probs, self.probs = padded, padded.exp()
        self.blank_running = running_sum(padded[..., BLANK])
        self.gain_after = None
        if reward > 0:
            # A further token at frame t turns at most its share of the frame's probability into reward times it.
            likeliest = self.probs[..., BLANK + 1 :].amax(-1)
            gain = torch.log1p(torch.expm1(torch.tensor(reward, dtype=torch.float64)) * likeliest)
            self.gain_after = pad(gain.flip(1).cumsum(1).flip(1), (0, 1))  # [B, T + 1]: of frames t and later

    def select(self, utterances: Tensor) -> None:
        """Go on with these utterances only, in this order."""
        self.log_probs, self.probs = self.log_probs[utterances], self.probs[utterances]
        self.blank_running = self.blank_running[utterances]
        self.gain_after = self.gain_after[utterances] if self.gain_after is not None else None

    def start(self, beam: int) -> CTCPrefixes:
        blank = pad(self.log_probs[..., BLANK].cumsum(1), (1, 0)).repeat_interleave(beam, 0)
        score = torch.zeros_like(blank[:, 0])
        ceiling = score if self.gain_after is None else self.of_hypotheses(self.gain_after, score)[:, 0]
        return CTCPrefixes(blank, blank, score, ceiling)

    def of_hypotheses(self, of_utterances: Tensor, like: Tensor) -> Tensor:
        return of_utterances.repeat_interleave(len(like) // len(of_utterances), 0)

    def end(self, prefixes: CTCPrefixes) -> Tensor:
        """``[N]``: log probability that the sentence is exactly the prefix."""
        return prefixes.either[:, -1]

    def scores(self, prefixes: CTCPrefixes, last: Tensor) -> Tensor:
        """``[N, vocab]``: prefix scores of each hypothesis, whose last token is ``last`` ``[N]``, and one token more.

        Right for all that is less than 700 below the best alignment of its hypothesis; what is further off is NEVER.
        """
        before = prefixes.either[:, :-1]
        most = before.amax(1, keepdim=True)
        sums = (before - most).exp_().view(len(self.probs), -1, before.shape[1]) @ self.probs
        scores = sums.flatten(0, 1).log_().clamp_(min=NEVER).add_(most)
        # A token can only repeat after a blank.
        repeated = (prefixes.blank[:, :-1] + self.frames_of(last)).logsumexp(1)
        return scores.scatter_(1, last[:, None], repeated[:, None]).clamp_(min=NEVER)

    def extend(self, prefixes: CTCPrefixes, last: Tensor, tokens: Tensor) -> CTCPrefixes:
        """The states after each hypothesis, whose last token is ``last`` ``[N]``, gets its one of ``tokens``."""
        before = torch.where((tokens == last)[:, None], prefixes.blank, prefixes.either)[:, :-1]
        log_probs = self.frames_of(tokens)
        appears = before + log_probs
        score = ceiling = appears.logsumexp(1)
        if self.gain_after is not None:
            ceiling = (appears + self.of_hypotheses(self.gain_after[:, 1:], last)).logsumexp(1)
        nonblank = pad(recursion(before, running_sum(log_probs)), (1, 0), value=NEVER)
        blanks = self.of_hypotheses(self.blank_running, last)
        blank = pad(recursion(nonblank[:, :-1], blanks), (1, 0), value=NEVER)
        return CTCPrefixes(blank, torch.logaddexp(nonblank, blank), score, ceiling)

    def frames_of(self, tokens: Tensor) -> Tensor:
        """Log probabilities ``[N, T]`` of one token of each hypothesis."""
        by_utterance = tokens.view(len(self.log_probs), 1, -1).expand(-1, self.log_probs.shape[1], -1)
        return self.log_probs.gather(2, by_utterance).transpose(1, 2).flatten(0, 1)


def running_sum(log_probs: Tensor) -> Tensor:
    """log P_1 … P_T of ``[N, T]``, for ``recursion``."""
    return log_probs.clamp(min=-1e4).cumsum(1)


def recursion(entering: Tensor, running: Tensor) -> Tensor:
    """log a_t of a_t = (a_{t-1} + b_{t-1}) p_t, a_0 = 0. entering: log b_0 … b_{T-1}; running: log P_1 … P_T."""
    return running + (entering - pad(running[:, :-1], (1, 0))).logcumsumexp(1)


def greedy_ctc(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """Best token of every frame, repeats and blanks removed. log_probs: ``[B, T, vocab]``."""
    best = log_probs.argmax(-1)
    sentences = []
    for row, length in zip(best.tolist(), lengths.tolist(), strict=True):
        changes = [token for at, token in enumerate(row[:length]) if at == 0 or token != row[at - 1]]
        sentences.append([token for token in changes if token != BLANK])
    return sentences
