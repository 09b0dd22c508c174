"""From encoder frames to text: greedy CTC, and one joint CTC/attention beam search for whole batches."""

from typing import NamedTuple

import torch
from torch import Tensor

from mixers.base import lengths_to_mask
from recipes.conformer import Encoded
from recipes.decoder import TransformerDecoder

BLANK, START, END = 0, 1, 2
NEVER = -1e30  # stands for log 0, so that differences of two of them are finite


class Hypothesis(NamedTuple):
    """A finished sentence: token ids without start and end, and its joint log probability."""

    tokens: list[int]
    score: float


def greedy_ctc(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """Best token of every frame, repeats and blanks removed. log_probs: ``[B, T, vocab]``."""
    best = log_probs.argmax(-1)
    sentences = []
    for row, length in zip(best.tolist(), lengths.tolist()):
        changes = [token for at, token in enumerate(row[:length]) if at == 0 or token != row[at - 1]]
        sentences.append([token for token in changes if token != BLANK])
    return sentences


class CTCPrefixes(NamedTuple):
    """CTC state of N hypotheses: log probability of all alignments of the prefix that end at each frame.

    nonblank, blank: ``[N, T + 1]``, by the last symbol of the alignment; frame 0 is before the audio.
    score: ``[N]`` log probability that the sentence starts with the prefix.
    """

    nonblank: Tensor
    blank: Tensor
    score: Tensor

    def select(self, hypotheses: Tensor, candidates: Tensor) -> "CTCPrefixes":
        return CTCPrefixes(*(part[hypotheses, candidates] for part in self))


class CTCPrefixScorer:
    """CTC prefix probabilities (Watanabe et al. 2017, algorithm 2) of chosen candidates, no loop over frames.

    Both recursions of the algorithm are first-order and linear, so each is a running sum:
    a_t = (a_{t-1} + b_{t-1}) p_t has a_t = P_t * sum_{s <= t} b_{s-1} / P_{s-1} with P_t = p_1 … p_t.
    In logarithms that is one logcumsumexp, in float64 since log P_t grows with the utterance.
    """

    def __init__(self, log_probs: Tensor, lengths: Tensor):
        """log_probs: ``[B, T, vocab]`` of the utterances; lengths in frames."""
        valid = lengths_to_mask(lengths, log_probs.shape[1])[..., None]
        # After its end an utterance only repeats what it has: every path stays where it is, at no cost.
        padded = log_probs.double().masked_fill(~valid, NEVER)
        padded[..., BLANK] = padded[..., BLANK].masked_fill(~valid[..., 0], 0.0)
        self.log_probs = padded
        self.running = padded.clamp(min=-1e4).cumsum(1)  # log P_t for every token

    def start(self, beam: int) -> CTCPrefixes:
        blank = torch.nn.functional.pad(self.running[..., BLANK], (1, 0)).repeat_interleave(beam, 0)
        return CTCPrefixes(torch.full_like(blank, NEVER), blank, torch.zeros_like(blank[:, 0]))

    def end(self, prefixes: CTCPrefixes) -> Tensor:
        """``[N]``: log probability that the sentence is exactly the prefix."""
        return torch.logaddexp(prefixes.nonblank[:, -1], prefixes.blank[:, -1])

    def extend(self, prefixes: CTCPrefixes, last: Tensor, candidates: Tensor) -> CTCPrefixes:
        """Append each of ``candidates`` ``[N, C]`` to its hypothesis, whose last token is ``last`` ``[N]``.

        Returns the state of all ``[N, C]`` longer prefixes.
        """
        beams = len(last) // len(self.log_probs)
        utterance = torch.arange(len(last), device=last.device) // beams
        running = self.running[utterance[:, None], :, candidates]  # [N, C, T]
        log_probs = self.log_probs[utterance[:, None], :, candidates]
        # A repeated token needs a blank in between, any other may follow either ending.
        either = torch.logaddexp(prefixes.nonblank, prefixes.blank)[:, None]
        repeat = (candidates == last[:, None])[..., None]
        before = torch.where(repeat, prefixes.blank[:, None], either)[..., :-1]
        score = (before + log_probs).logsumexp(-1)
        nonblank = convolve(before, running)
        nonblank = torch.nn.functional.pad(nonblank, (1, 0), value=NEVER)
        blank = convolve(nonblank[..., :-1], self.running[utterance, None, :, BLANK])
        return CTCPrefixes(nonblank, torch.nn.functional.pad(blank, (1, 0), value=NEVER), score)


def convolve(entering: Tensor, running: Tensor) -> Tensor:
    """log a_t of a_t = (a_{t-1} + b_{t-1}) p_t, a_0 = 0. entering: log b_0 … b_{T-1}; running: log P_1 … P_T."""
    before = torch.nn.functional.pad(running[..., :-1], (1, 0))
    return running + (entering - before).logcumsumexp(-1)


class BeamSearch:
    """Joint CTC/attention beam search (https://arxiv.org/abs/1609.06773), batched, with a cached decoder.

    The CTC prefix scores are taken for the decoder's best candidates only. An utterance is finished when
    no open hypothesis can beat its best ended one: scores only fall. Results do not depend on the batch.

    beam: hypotheses kept a step. ctc_weight: share of CTC in the joint log probability, 0 to 1.
    candidates: tokens of each hypothesis that CTC scores, as a multiple of the beam.
    temperature: of the decoder's distribution.
    """

    def __init__(self, *, beam: int = 10, ctc_weight: float = 0.4, candidates: float = 1.5, temperature: float = 1.0):
        if beam < 1:
            raise ValueError(f"BeamSearch: beam must be 1 or more, not {beam}")
        if not 0 <= ctc_weight <= 1:
            raise ValueError(f"BeamSearch: ctc_weight must lie between 0 and 1, not {ctc_weight}")
        self.beam, self.ctc_weight, self.temperature = beam, ctc_weight, temperature
        self.candidates = max(1, int(candidates * beam))

    @torch.no_grad()
    def __call__(self, decoder: TransformerDecoder, encoded: Encoded, ctc_log_probs: Tensor) -> list[list[Hypothesis]]:
        """The ended hypotheses of every utterance, best first; at least one each."""
        batch, beam, device = len(encoded.lengths), self.beam, encoded.frames.device
        lengths = encoded.lengths.tolist()
        cross, cache = decoder.prepare(encoded), decoder.start(batch * beam)
        scorer = CTCPrefixScorer(ctc_log_probs, encoded.lengths)
        prefixes = scorer.start(beam)
        attention = torch.zeros(batch, beam, device=device, dtype=torch.float64)
        alive = torch.full((batch, beam), NEVER, device=device, dtype=torch.float64)
        alive[:, 0] = 0.0  # all hypotheses are the same at first: one stands for them
        last = torch.full((batch * beam,), START, device=device)
        tokens = torch.empty(batch * beam, 0, dtype=torch.long, device=device)
        ended: list[list[Hypothesis]] = [[] for _ in range(batch)]
        done = [False] * batch
        for step in range(max(lengths) + 1):
            logits, cache = decoder.step(last, cross, cache)
            log_probs = (logits.double() / self.temperature).log_softmax(-1)
            # Ending: CTC has seen all frames.
            end = self.joint(attention.flatten() + log_probs[:, END], scorer.end(prefixes)).view(batch, beam)
            self.collect(ended, done, tokens, end + self.dead(alive))
            for b, open_best in enumerate(alive.max(1).values.tolist()):
                done[b] |= ended[b][0].score >= open_best or step >= lengths[b]
            if all(done):
                break
            # Going on: the decoder proposes, CTC judges.
            log_probs[:, [BLANK, START, END]] = NEVER
            proposed, candidates = log_probs.topk(min(self.candidates, log_probs.shape[1] - 3), dim=1)
            longer = scorer.extend(prefixes, last, candidates)
            attention_longer = attention.flatten()[:, None] + proposed
            scores = self.joint(attention_longer, longer.score).view(batch, beam, -1) + self.dead(alive)[..., None]
            alive, best = scores.flatten(1).topk(beam, dim=1)
            kept = (torch.arange(batch, device=device)[:, None] * beam + best // candidates.shape[1]).flatten()
            choice = (best % candidates.shape[1]).flatten()
            last = candidates[kept, choice]
            tokens = torch.cat([tokens[kept], last[:, None]], 1)
            attention = attention_longer[kept, choice].view(batch, beam)
            prefixes, cache = longer.select(kept, choice), cache.select(kept)
        return ended

    def joint(self, attention: Tensor, ctc: Tensor) -> Tensor:
        return (1 - self.ctc_weight) * attention + self.ctc_weight * ctc

    @staticmethod
    def dead(alive: Tensor) -> Tensor:
        """NEVER for hypotheses that only fill up the beam, 0 for the others."""
        return torch.where(alive <= NEVER / 2, NEVER, 0.0)

    def collect(self, ended, done: list[bool], tokens: Tensor, scores: Tensor) -> None:
        """Take the ended form of every live hypothesis of the utterances not done, ``beam`` at most for each."""
        rows, all_scores = tokens.view(*scores.shape, -1).tolist(), scores.tolist()
        for b in range(len(ended)):
            if not done[b]:
                new = [Hypothesis(row, score) for row, score in zip(rows[b], all_scores[b]) if score > NEVER / 2]
                best = sorted(ended[b] + new, key=lambda hypothesis: -hypothesis.score)[: self.beam]
                ended[b] = best or [Hypothesis([], NEVER)]
