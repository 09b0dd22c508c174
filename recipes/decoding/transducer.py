"""Searches of a transducer: greedy, whose state goes on from chunk to chunk, and with a beam."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from data_prep.tokenizer import BLANK, END, START
from recipes.decoding.beam_search import EndedHypotheses, log_softmax
from recipes.decoding.ctc import LOG_ZERO
from recipes.decoding.search import Hypothesis, LanguageModel, Search
from recipes.errors import RecipeError
from recipes.models.encoder import Encoded
from recipes.models.options import AT_LEAST_ZERO, NUMBER, POSITIVE, SIZE, check_options
from recipes.models.streaming import select
from recipes.models.transducer import Cache, Transducer, chosen

MAX_SYMBOLS = 5  # of a frame of 40 ms: more than anyone says, so that no decoder runs on for ever
HASH = 1_000_003


class GreedyState(NamedTuple):
    """What greedy decoding of N streams keeps from one frame to the next; batch first.

    predicted: ``[N, joint_size]``, after the newest token of each.
    """

    predicted: Tensor
    cache: Cache


class Emitted(NamedTuple):
    """A token, the number of the frame in which it was emitted, and its probability there."""

    token: int
    frame: int
    probability: float


def greedy_start(decoder: Transducer, batch: int) -> GreedyState:
    """The state before the first frame."""
    start = torch.full((batch,), START, device=decoder.out.weight.device)
    return GreedyState(*decoder.predict(start, decoder.init_cache(batch)))


@torch.inference_mode()
def greedy_transducer(
    decoder: Transducer, encoded: Encoded, state: GreedyState, max_symbols: int = MAX_SYMBOLS
) -> tuple[list[list[Emitted]], GreedyState]:
    """Decode the next frames of each stream: take the likeliest output repeatedly, and go to the next frame at a blank.

    The tokens do not depend on how the frames are divided into calls. max_symbols: the most tokens of a frame. Returns
    the tokens that each stream emitted, and the state after its last frame.
    """
    frames, lengths = decoder.prepare(encoded), encoded.lengths
    emitted: list[list[Emitted]] = [[] for _ in lengths]
    rows = torch.arange(len(lengths), device=frames.device)
    frame, symbols = torch.zeros_like(lengths), torch.zeros_like(lengths)
    while (going := frame < lengths).any():
        now = frame.clamp(max=frames.shape[1] - 1)
        log_probs = log_softmax(decoder.joint(frames[rows, now], state.predicted))
        log_probs[:, [START, END]] = LOG_ZERO
        best, output = log_probs.max(-1)
        is_token = going & (output != BLANK) & (symbols < max_symbols)
        for row in is_token.nonzero().flatten().tolist():
            emitted[row].append(Emitted(int(output[row]), int(now[row]), float(best[row].exp())))
        if is_token.any():
            state = chosen(is_token, GreedyState(*decoder.predict(output, state.cache)), state)
        frame = frame + (going & ~is_token)
        symbols = torch.where(is_token, symbols + 1, 0)
    return emitted, state


def greedy_hypothesis(emitted: list[Emitted]) -> Hypothesis:
    """The hypothesis of the emitted tokens. Its score is the sum over its tokens; blanks do not count."""
    return Hypothesis([item.token for item in emitted], sum(math.log(max(item.probability, 1e-30)) for item in emitted))


class OpenTransducerHypotheses(NamedTuple):
    """Hypotheses that may still grow, ``beam`` for each utterance, which stand together: N in all.

    tokens: ``[N, L]``, START first, BLANK after the ``token_count`` tokens. frame: that each reads; symbols: tokens
    that it has said there. key: a hash of the tokens. lm: log probabilities of the next token ``[N, vocab_size]``, or
    nothing.
    """

    tokens: Tensor
    token_count: Tensor
    frame: Tensor
    symbols: Tensor
    score: Tensor
    key: Tensor
    greedy: GreedyState
    lm: Tensor


class TransducerSearch(Search):
    """Beam search of a transducer, batched: alignment-length synchronous decoding (Saon et al. 2020).

    At every step each hypothesis grows by one output, a token or the blank that ends its frame, so that all of an
    utterance have seen as many outputs; alignments of the same tokens are added up. A sentence scores log p_transducer
    + lm_weight log p_LM + length_bonus times its tokens. An utterance is finished when no open hypothesis can still
    beat its best ended one. Results do not depend on the batch. A beam of 1 is greedy, as a stream
    is, where there is neither LM nor bonus.

    beam: hypotheses kept at each step. max_symbols: tokens of a frame at most; where alignments are added up, the count
    goes on from the one that has just ended its frame, so with a limit of 1 or 2 a score can hold alignments beyond it.
    lm_temperature: of the language model, which reads each prefix anew, for hypotheses of a step are of unlike length.
    lm_weight has no effect without one.
    Raises ValueError for values outside these limits.
    """

    def __init__(
        self,
        *,
        beam: int = 4,
        max_symbols: int = MAX_SYMBOLS,
        lm_weight: float = 0.0,
        lm_temperature: float = 1.0,
        length_bonus: float = 0.0,
    ):
        check_options(
            "TransducerSearch",
            beam=(beam, SIZE),
            max_symbols=(max_symbols, SIZE),
            lm_weight=(lm_weight, AT_LEAST_ZERO),
            lm_temperature=(lm_temperature, POSITIVE),
            length_bonus=(length_bonus, NUMBER),
        )
        self.beam, self.max_symbols, self.length_bonus = beam, max_symbols, length_bonus
        self.lm_weight, self.lm_temperature = lm_weight, lm_temperature

    def check(self, decoder: object) -> None:
        if not isinstance(decoder, Transducer):
            raise RecipeError("TransducerSearch reads a transducer, and this model has none: take BeamSearch, or null")

    def tunable(self, lm: LanguageModel | None) -> dict[str, tuple[float, ...]]:
        weights = {"lm_weight": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)} if lm is not None else {}
        return weights | {"length_bonus": (0.0, 0.2, 0.5, 1.0)}

    @torch.inference_mode()
    def __call__(
        self, decoder: object, encoded: Encoded, ctc_log_probs: Tensor, lm: LanguageModel | None = None
    ) -> list[list[Hypothesis]]:
        """The ended hypotheses of every utterance, best first; at least one each, ``beam`` at most.

        ctc_log_probs: not used. Raises RecipeError for a decoder that is no transducer.
        """
        self.check(decoder)
        assert isinstance(decoder, Transducer)
        lm = lm if self.lm_weight else None
        if self.beam == 1 and lm is None and not self.length_bonus:
            greedy = greedy_start(decoder, len(encoded.lengths))
            emitted, _ = greedy_transducer(decoder, encoded, greedy, self.max_symbols)
            return [[greedy_hypothesis(tokens)] for tokens in emitted]
        results: list[list[Hypothesis]] = [[] for _ in encoded.lengths]
        utterances, lengths, frames = torch.arange(len(results)), encoded.lengths, decoder.prepare(encoded)
        hypotheses = self.start(decoder, len(results), lm)
        ended = EndedHypotheses(
            hypotheses.score.view(-1, self.beam) + LOG_ZERO, hypotheses.tokens.view(-1, self.beam, 1)
        )
        while True:
            hypotheses, ended = self.step(hypotheses, ended, frames, lengths, decoder, lm)
            bound = self.bound(hypotheses, lengths)
            done = (ended.scores[:, 0] >= bound) | bound.isnan()  # of NaN nothing better will come
            if not done.any():
                continue
            for row in done.nonzero().flatten().tolist():
                results[utterances[row]] = ended.of_utterance(row)
            if done.all():
                return results
            remaining = (~done).nonzero().flatten()
            rows = (remaining[:, None] * self.beam + torch.arange(self.beam, device=remaining.device)).flatten()
            hypotheses = select(hypotheses, rows)
            frames, lengths, utterances = frames[remaining], lengths[remaining], utterances[remaining.cpu()]
            ended = EndedHypotheses(ended.scores[remaining], ended.tokens[remaining])

    def start(self, decoder: Transducer, batch: int, lm: LanguageModel | None) -> OpenTransducerHypotheses:
        """Empty hypotheses. All of an utterance are the same, so only the first is alive."""
        count = batch * self.beam
        greedy = greedy_start(decoder, count)
        zeros = torch.zeros(count, dtype=torch.long, device=greedy.predicted.device)
        is_first = torch.arange(count, device=zeros.device) % self.beam == 0
        score = torch.where(is_first, 0.0, LOG_ZERO).double()
        tokens = torch.full((count, 1), START, device=zeros.device)
        return OpenTransducerHypotheses(
            tokens, zeros, zeros, zeros, score, zeros, greedy, self.lm_log_probs(lm, tokens, zeros)
        )

    def step(
        self,
        hypotheses: OpenTransducerHypotheses,
        ended: EndedHypotheses,
        frames: Tensor,
        lengths: Tensor,
        decoder: Transducer,
        lm: LanguageModel | None,
    ) -> tuple[OpenTransducerHypotheses, EndedHypotheses]:
        """Extend every hypothesis by one output and keep the best; those that end are added to ``ended``."""
        beam, greedy = self.beam, hypotheses.greedy
        last = lengths.repeat_interleave(beam) - 1
        utterance = torch.arange(len(last), device=frames.device) // beam
        now = frames[utterance, hypotheses.frame.minimum(last)]  # places without a hypothesis go on for ever
        log_probs = log_softmax(decoder.joint(now, greedy.predicted)).double()
        scores = hypotheses.score[:, None] + log_probs
        blank = scores[:, BLANK]
        scores = scores + self.length_bonus
        if lm is not None:
            scores = scores + hypotheses.lm
        scores[:, : max(BLANK, START, END) + 1] = LOG_ZERO
        scores.masked_fill_((hypotheses.symbols >= self.max_symbols)[:, None], LOG_ZERO)
        vocab_size = scores.shape[1]
        by_utterance = scores.view(-1, beam, vocab_size)
        ends = hypotheses.frame >= last
        finals = torch.where(ends, blank + (hypotheses.lm[:, END] if lm is not None else 0.0), LOG_ZERO)
        ended = ended.add(finals.view(-1, beam), hypotheses.tokens.view(-1, beam, hypotheses.tokens.shape[1]))
        by_utterance[..., BLANK] = merge(hypotheses, by_utterance, torch.where(ends, LOG_ZERO, blank).view(-1, beam))
        best, index = by_utterance.flatten(1).topk(beam, dim=1)
        first = torch.arange(len(index), device=index.device)[:, None] * beam
        parents, outputs = (first + index // vocab_size).flatten(), (index % vocab_size).flatten()
        return self.extended(select(hypotheses, parents), best.flatten(), outputs, decoder, lm), ended

    def extended(
        self,
        parents: OpenTransducerHypotheses,
        score: Tensor,
        outputs: Tensor,
        decoder: Transducer,
        lm: LanguageModel | None,
    ) -> OpenTransducerHypotheses:
        """The parents, each with its output."""
        is_token = (outputs != BLANK) & (score > LOG_ZERO / 2)
        count = parents.token_count + is_token
        longer = pad(parents.tokens, (0, 1), value=BLANK)
        longer = longer.scatter(
            1, count[:, None], torch.where(is_token, outputs, longer.gather(1, count[:, None])[:, 0])[:, None]
        )
        greedy, lm_log_probs = parents.greedy, parents.lm
        if is_token.any():
            greedy = chosen(is_token, GreedyState(*decoder.predict(outputs, greedy.cache)), greedy)
            if lm is not None:
                rows = is_token.nonzero().flatten()
                lm_log_probs = lm_log_probs.index_copy(0, rows, self.lm_log_probs(lm, longer[rows], count[rows]))
        return OpenTransducerHypotheses(
            longer[:, : int(count.max()) + 1],
            count,
            parents.frame + ~is_token,
            torch.where(is_token, parents.symbols + 1, 0),
            score.clamp(min=LOG_ZERO),
            torch.where(is_token, longer_key(parents.key, outputs), parents.key),
            greedy,
            lm_log_probs,
        )

    def lm_log_probs(self, lm: LanguageModel | None, tokens: Tensor, count: Tensor) -> Tensor:
        """Weighted log probabilities of the token after ``[n, L]``, in float64; nothing without a language model."""
        if lm is None:
            return count.new_zeros(len(count), 0)
        logits = lm(tokens[:, : int(count.max()) + 1])[torch.arange(len(count), device=count.device), count]
        return self.lm_weight * log_softmax(logits / self.lm_temperature).double()

    def bound(self, hypotheses: OpenTransducerHypotheses, lengths: Tensor) -> Tensor:
        """``[B]``: no sentence that continues an open hypothesis can score higher."""
        score = hypotheses.score.view(-1, self.beam)
        if self.length_bonus > 0:
            frames_left = lengths[:, None] - hypotheses.frame.view(-1, self.beam)
            score = score + self.length_bonus * self.max_symbols * frames_left
        return score.amax(1)


def longer_key(key: Tensor, tokens: Tensor) -> Tensor:
    """The hash of a hypothesis with one token more; it wraps around."""
    return key * HASH + tokens + 1


def merge(hypotheses: OpenTransducerHypotheses, scores: Tensor, blank: Tensor) -> Tensor:
    """Add up alignments of the same tokens. Returns the scores ``[B, beam]`` of the hypotheses after a blank.

    A hypothesis that takes a blank keeps its tokens. Another one may arrive at the same tokens by taking a token: its
    score is added to the first, and set to LOG_ZERO in ``scores`` ``[B, beam, vocab_size]``, those of taking a token.
    Both then stand at the same frame, because they have equally many outputs. As all hypotheses of a beam differ, only
    hypothesis j with the last token of hypothesis i can arrive at the tokens of i.
    """
    batch, beam = blank.shape
    last = hypotheses.tokens.gather(1, hypotheses.token_count[:, None])[:, 0].view(batch, beam)
    count, key = hypotheses.token_count.view(batch, beam), hypotheses.key.view(batch, beam)
    joined = longer_key(key[:, None, :], last[:, :, None])  # [B, i, j]
    same = (
        (joined == key[:, :, None]) & (count[:, None, :] + 1 == count[:, :, None]) & (blank > LOG_ZERO / 2)[:, :, None]
    )
    others = scores.gather(2, last[:, None, :].expand(-1, beam, -1)).transpose(1, 2)  # [B, i, j]: j with i's last token
    total = torch.cat([blank[:, :, None], torch.where(same, others, LOG_ZERO)], 2).logsumexp(2)
    row, i, j = same.nonzero().unbind(1)
    scores[row, j, last[row, i]] = LOG_ZERO
    return total
