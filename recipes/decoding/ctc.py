"""CTC: the greedy path, and prefix probabilities for a whole beam at once, with no loop over frames."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from data_prep.tokenizer import BLANK, START
from mixers.base import lengths_to_mask

LOG_ZERO = -1e30  # finite, so that the difference of two of them is finite


class CTCPrefixes(NamedTuple):
    """CTC state of N prefixes: log probabilities, at each frame, of all alignments of the prefix up to it.

    states: float64 ``[N, 2, T + 1]``, of the alignments that end in a blank, and of all. Frame 0 is before the audio.
    token: ``[N, T]``, log probabilities of the last token.
    score: ``[N]``, log probability that the sentence starts with the prefix.
    bound: ``[N]``, an upper bound of the score of longer sentences, in which every further token earns the reward.
    """

    states: Tensor
    token: Tensor
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
        self.log_probs, self.probs = padded.transpose(1, 2).contiguous(), padded.exp()
        self.blanks = cumulative(self.log_probs[:, BLANK])
        self.gain_after: Tensor | None = None
        if reward > 0:
            # A further token at frame t turns at most its share of the frame's probability into reward times it.
            likeliest = self.probs[..., BLANK + 1 :].amax(-1)
            gain = torch.log1p(torch.expm1(torch.tensor(reward, dtype=torch.float64)) * likeliest)
            self.gain_after = pad(gain.flip(1).cumsum(1).flip(1), (0, 1))  # [B, T + 1]: of frames t and later
        self.first_rows = self.rows()

    def select(self, index: Tensor) -> None:
        """Go on with the utterances ``index`` only, in that order."""
        self.log_probs, self.probs, self.blanks = self.log_probs[index], self.probs[index], self.blanks[index]
        self.gain_after = self.gain_after[index] if self.gain_after is not None else None
        self.first_rows = self.rows()

    def rows(self) -> Tensor:
        """``[B, 1]``: where each utterance's tokens begin among all rows of ``log_probs``."""
        utterances, vocab_size, _ = self.log_probs.shape
        return torch.arange(0, utterances * vocab_size, vocab_size, device=self.log_probs.device)[:, None]

    def start(self, beam: int) -> CTCPrefixes:
        """The states of ``beam`` empty prefixes for each utterance, whose last token is the sentence start."""
        blank = pad(self.log_probs[:, BLANK].cumsum(1), (1, 0)).repeat_interleave(beam, 0)
        score = torch.zeros_like(blank[:, 0])
        bound = score if self.gain_after is None else self.gain_after[:, 0].repeat_interleave(beam, 0)
        token = self.log_probs[:, START].repeat_interleave(beam, 0)
        return CTCPrefixes(blank[:, None].expand(-1, 2, -1).contiguous(), token, score, bound)

    def end(self, prefixes: CTCPrefixes) -> Tensor:
        """``[N]``: log probability that the sentence is exactly the prefix."""
        return prefixes.states[:, 1, -1]

    def scores(self, prefixes: CTCPrefixes, last: Tensor) -> Tensor:
        """``[N, vocab_size]``: scores of the prefixes with one token more. last: their last tokens ``[N]``.

        Exact within 700 of the best alignment of the prefix; LOG_ZERO for what is less likely.
        """
        blank, total = prefixes.states[..., :-1].unbind(1)
        highest = total.amax(1, keepdim=True)
        sums = (total - highest).exp_().view(len(self.probs), -1, total.shape[1]) @ self.probs
        scores = sums.flatten(0, 1).log_().clamp_(min=LOG_ZERO).add_(highest)
        # A token can only repeat after a blank.
        return scores.scatter_(1, last[:, None], logsumexp(blank + prefixes.token)).clamp_(min=LOG_ZERO)

    def extend(self, prefixes: CTCPrefixes, parents: Tensor, last: Tensor, tokens: Tensor) -> CTCPrefixes:
        """The prefixes ``parents`` with ``tokens`` appended.

        parents: ``[N]``, of ``prefixes``, those of an utterance again together; last: their last tokens ``[N]``.
        """
        utterances, _, frames = self.log_probs.shape
        # A token that repeats comes after a blank, another one after anything.
        before = prefixes.states.flatten(0, 1).index_select(0, 2 * parents + (tokens != last))[:, :-1]
        rows = tokens.view(utterances, -1) + self.first_rows
        token = self.log_probs.flatten(0, 1).index_select(0, rows.flatten())
        appears = before + token
        score = bound = logsumexp(appears)[:, 0]
        if self.gain_after is not None:
            gained = appears.view(utterances, -1, frames) + self.gain_after[:, None, 1:]
            bound = logsumexp(gained.flatten(0, 1))[:, 0]
        nonblank = token.new_full((len(tokens), frames + 1), LOG_ZERO)
        torch.add(*recursion(before, cumulative(token)), out=nonblank[:, 1:])
        states = token.new_full((len(tokens), 2, frames + 1), LOG_ZERO)
        by_utterance = (utterances, -1, frames)
        torch.add(
            *recursion(nonblank[:, :-1].view(by_utterance), self.blanks[:, None]),
            out=states[:, 0, 1:].view(by_utterance),
        )
        torch.logaddexp(nonblank, states[:, 0], out=states[:, 1])
        return CTCPrefixes(states, token, score, bound)


def cumulative(log_probs: Tensor) -> Tensor:
    """log P_0 … log P_T of ``[N, T]``, for ``recursion``; P_0 is 1."""
    return pad(log_probs.clamp(min=-1e4), (1, 0)).cumsum_(1)


def recursion(entering: Tensor, log_products: Tensor) -> tuple[Tensor, Tensor]:
    """The summands of log a_t of a_t = (a_{t-1} + b_{t-1}) p_t, a_0 = 0.

    entering: log b_0 … log b_{T-1}, ``[…, T]``; log_products: log P_0 … log P_T.
    """
    return log_products[..., 1:], (entering - log_products[..., :-1]).logcumsumexp(-1)


def logsumexp(x: Tensor) -> Tensor:
    """``[N, T]``, all finite, → ``[N, 1]``: torch's own looks for infinities, which takes as long as the sum."""
    highest = x.amax(1, keepdim=True)
    return (x - highest).exp_().sum(1, keepdim=True).log_().add_(highest)


def greedy_ctc(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """The best token of every frame, without repeats and blanks. log_probs: ``[B, T, vocab_size]``."""
    best = log_probs.argmax(-1)
    sentences = []
    for row, length in zip(best.tolist(), lengths.tolist(), strict=True):
        changes = [token for frame, token in enumerate(row[:length]) if frame == 0 or token != row[frame - 1]]
        sentences.append([token for token in changes if token != BLANK])
    return sentences
