"""One joint CTC/attention/LM beam search for whole batches."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from data_prep.tokenizer import BLANK, END, START
from recipes.decoding.ctc import LOG_ZERO, CTCPrefixes, CTCPrefixScorer
from recipes.decoding.search import Decoder, Hypothesis, LanguageModel, Search
from recipes.errors import RecipeError
from recipes.models.encoder import Encoded
from recipes.models.options import AT_LEAST_ZERO, NUMBER, POSITIVE, SHARE, SIZE, check_options
from recipes.models.transducer import Transducer

IMPOSSIBLE = 1e-10 * LOG_ZERO  # a score below it holds a log 0, whatever its weight


class OpenHypotheses(NamedTuple):
    """Hypotheses that may still grow, ``beam`` for each utterance, which stand together: N in all."""

    tokens: Tensor  # [N, 1 + U], START first
    score: Tensor  # [N] without CTC: decoder, language model and length bonus, weighted; LOG_ZERO: an empty place
    prefixes: CTCPrefixes
    caches: list[Any]  # of the decoder and the language model

    def select(self, index: Tensor) -> "OpenHypotheses":
        """The hypotheses ``index``, in that order."""
        caches = [cache.select(index) for cache in self.caches]
        return OpenHypotheses(self.tokens[index], self.score[index], self.prefixes.select(index), caches)


class EndedHypotheses(NamedTuple):
    """The best finished sentences so far of each utterance, best first."""

    scores: Tensor  # [B, beam], LOG_ZERO for a place without a sentence
    tokens: Tensor  # [B, beam, 1 + U], START first, padded with BLANK

    def add(self, scores: Tensor, tokens: Tensor) -> "EndedHypotheses":
        """The best of these and of new ones."""
        beam = self.scores.shape[1]
        tokens = torch.cat([pad(self.tokens, (0, tokens.shape[2] - self.tokens.shape[2])), tokens], 1)
        best, index = torch.cat([self.scores, scores], 1).topk(beam, dim=1)
        return EndedHypotheses(best, tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2])))

    def of_utterance(self, utterance: int) -> list[Hypothesis]:
        """The sentences of one utterance; an empty one of LOG_ZERO where there is none."""
        rows = zip(self.tokens[utterance].tolist(), self.scores[utterance].tolist(), strict=True)
        hypotheses = [
            Hypothesis([token for token in tokens[1:] if token != BLANK], score)
            for tokens, score in rows
            if score > IMPOSSIBLE
        ]
        return hypotheses or [Hypothesis([], LOG_ZERO)]


class BeamSearch(Search):
    """Joint CTC/attention beam search (https://arxiv.org/abs/1609.06773), batched, with cached decoder and LM.

    A sentence scores (1 - ctc_weight) log p_decoder + ctc_weight log p_CTC + lm_weight log p_LM + length_bonus
    times its tokens. An utterance is finished when no open hypothesis can still beat its best ended one.
    Results do not depend on the batch. Without a decoder it is a CTC prefix beam search, with ctc_weight 1.

    beam: hypotheses kept at each step. ctc_weight: 0 to 1. temperature, lm_temperature: of the distributions of
    the decoder and of the language model. lm_weight has no effect without a language model.
    Raises ValueError for values outside these limits.
    """

    def __init__(
        self,
        *,
        beam: int = 10,
        ctc_weight: float = 0.4,
        temperature: float = 1.0,
        lm_weight: float = 0.0,
        lm_temperature: float = 1.0,
        length_bonus: float = 0.0,
    ):
        check_options(
            "BeamSearch",
            beam=(beam, SIZE),
            ctc_weight=(ctc_weight, SHARE),
            temperature=(temperature, POSITIVE),
            lm_weight=(lm_weight, AT_LEAST_ZERO),
            lm_temperature=(lm_temperature, POSITIVE),
            length_bonus=(length_bonus, NUMBER),
        )
        self.beam, self.ctc_weight, self.length_bonus = beam, ctc_weight, length_bonus
        self.temperature, self.lm_weight, self.lm_temperature = temperature, lm_weight, lm_temperature

    def tunable(self, lm: LanguageModel | None) -> dict[str, tuple[float, ...]]:
        weights = {"lm_weight": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)} if lm is not None else {}
        return weights | {"length_bonus": (0.0, 0.2, 0.5, 1.0)}

    def check(self, decoder: object) -> None:
        if isinstance(decoder, Transducer):
            raise RecipeError(
                "BeamSearch reads an attention decoder, and this model has a transducer: take "
                "recipes.decoding.TransducerSearch, or null for greedy CTC"
            )

    @torch.inference_mode()
    def __call__(
        self, decoder: Decoder | None, encoded: Encoded, ctc_log_probs: Tensor, lm: LanguageModel | None = None
    ) -> list[list[Hypothesis]]:
        """The ended hypotheses of every utterance, best first; at least one each, ``beam`` at most.

        The first is the best that the beam can reach; the others are those that had ended by then.
        """
        models = TokenModels(decoder, encoded, lm, self, ctc_log_probs.shape[2])
        reward = max(self.length_bonus, 0.0) / models.ctc_weight if models.ctc_bounds_length else 0.0
        ctc = CTCPrefixScorer(ctc_log_probs, encoded.lengths, reward)
        results: list[list[Hypothesis]] = [[] for _ in encoded.lengths]
        utterances, lengths = torch.arange(len(results)), encoded.lengths
        hypotheses = self.start(ctc, models)
        ended = EndedHypotheses(
            hypotheses.score.view(-1, self.beam) + LOG_ZERO, hypotheses.tokens.view(-1, self.beam, 1)
        )
        shortest = int(lengths.min())
        for step in range(int(lengths.max()) + 1):
            scores, caches = models.next_scores(hypotheses)
            ended = self.end(hypotheses, ended, scores, ctc, models)
            done = ended.scores[:, 0] >= self.bound(hypotheses, lengths, step, models)
            if step >= shortest:
                done |= lengths <= step
            if done.any():
                for row in done.nonzero().flatten().tolist():
                    results[utterances[row]] = ended.of_utterance(row)
                if done.all():
                    break
                remaining = (~done).nonzero().flatten()
                rows = remaining[:, None] * self.beam + torch.arange(self.beam, device=remaining.device)
                rows = rows.flatten()
                hypotheses, scores = hypotheses.select(rows), scores[rows]
                caches = [cache.select(rows) for cache in caches]
                utterances, lengths = utterances[remaining.cpu()], lengths[remaining]
                ended = EndedHypotheses(ended.scores[remaining], ended.tokens[remaining])
                ctc.select(remaining)
                models.select(remaining)
            hypotheses = self.extend(hypotheses._replace(caches=caches), scores, ctc, models)
        return results

    def start(self, ctc: CTCPrefixScorer, models: "TokenModels") -> OpenHypotheses:
        """Empty hypotheses. Those of an utterance are all the same, so only the first one counts."""
        prefixes = ctc.start(self.beam)
        places = torch.arange(len(prefixes.score), device=prefixes.score.device) % self.beam
        score = torch.zeros_like(prefixes.score).masked_fill_(places > 0, LOG_ZERO)
        tokens = torch.full((len(score), 1), START, device=score.device)
        return OpenHypotheses(tokens, score, prefixes, models.init_caches(len(score)))

    def end(
        self,
        hypotheses: OpenHypotheses,
        ended: EndedHypotheses,
        scores: Tensor,
        ctc: CTCPrefixScorer,
        models: "TokenModels",
    ) -> EndedHypotheses:
        """Add every open hypothesis as a sentence that ends here, where CTC has seen all frames."""
        finals = torch.add(scores[:, END], ctc.end(hypotheses.prefixes), alpha=models.ctc_weight).view(-1, self.beam)
        return ended.add(finals, hypotheses.tokens.view(*finals.shape, -1))

    def bound(self, hypotheses: OpenHypotheses, lengths: Tensor, step: int, models: "TokenModels") -> Tensor:
        """``[B]``: no sentence that continues an open hypothesis can score higher."""
        bounds = torch.add(hypotheses.score, hypotheses.prefixes.bound, alpha=models.ctc_weight)
        highest = bounds.view(-1, self.beam).amax(1)
        if models.ctc_bounds_length or self.length_bonus <= 0:
            return highest
        return highest + self.length_bonus * (lengths - step)

    def extend(
        self, hypotheses: OpenHypotheses, scores: Tensor, ctc: CTCPrefixScorer, models: "TokenModels"
    ) -> OpenHypotheses:
        """The best hypotheses that are one token longer."""
        last = hypotheses.tokens[:, -1]
        joint = ctc.scores(hypotheses.prefixes, last).mul_(models.ctc_weight).add_(scores)
        joint[:, : max(BLANK, START, END) + 1] = LOG_ZERO
        vocab_size, of_utterance = joint.shape[1], self.beam * joint.shape[1]
        best, index = joint.view(-1, of_utterance).topk(self.beam, dim=1)
        if len(index) > 1:
            index += torch.arange(0, len(joint) * vocab_size, of_utterance, device=index.device)[:, None]
        index = index.flatten()
        parents, tokens = index // vocab_size, index % vocab_size
        # With a small vocabulary the first step has fewer continuations than the beam has places.
        score = scores.flatten().index_select(0, index) + self.length_bonus
        return OpenHypotheses(
            torch.cat([hypotheses.tokens.index_select(0, parents), tokens[:, None]], 1),
            torch.where(best.flatten() > IMPOSSIBLE, score, LOG_ZERO),
            ctc.extend(hypotheses.prefixes, parents, last.index_select(0, parents), tokens),
            [cache.select(parents) for cache in hypotheses.caches],
        )


class TokenModels:
    """The decoder and the language model of one search (either may be missing) as one score of the next token."""

    def __init__(
        self,
        decoder: Decoder | None,
        encoded: Encoded,
        lm: LanguageModel | None,
        search: BeamSearch,
        vocab_size: int,
    ):
        self.decoder, self.lm, self.search = decoder, lm if search.lm_weight else None, search
        self.vocab_size = vocab_size
        self.cross = decoder.prepare(encoded) if decoder is not None else None
        self.ctc_weight = search.ctc_weight if decoder is not None else 1.0
        # Whether CTC's weight suffices to bound how many tokens, each with its length bonus, can follow; otherwise
        # the bound is the number of frames.
        self.ctc_bounds_length = self.ctc_weight > max(search.length_bonus / 50, 0.0)

    def init_caches(self, hypotheses: int) -> list[Any]:
        """The caches before the first token."""
        return [model.init_cache(hypotheses) for model in (self.decoder, self.lm) if model is not None]

    def select(self, index: Tensor) -> None:
        """Go on with the utterances ``index`` only, in that order."""
        self.cross = self.cross.select(index) if self.cross is not None else None

    def next_scores(self, hypotheses: OpenHypotheses) -> tuple[Tensor, list[Any]]:
        """Scores of the hypotheses with one token more ``[N, vocab_size]``, without CTC, and the new caches."""
        last, caches, new_caches = hypotheses.tokens[:, -1], list(hypotheses.caches), []
        scores = hypotheses.score[:, None].expand(-1, self.vocab_size)
        if self.decoder is not None:
            logits, cache = self.decoder.step(last, self.cross, caches.pop(0))
            new_caches.append(cache)
            scores = scores + log_softmax(logits, self.search.temperature).mul_(1 - self.ctc_weight)
        if self.lm is not None:
            logits, cache = self.lm.step(last, caches.pop(0))
            new_caches.append(cache)
            scores = scores + log_softmax(logits, self.search.lm_temperature).mul_(self.search.lm_weight)
        return scores, new_caches


def log_softmax(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """In float32 at least, whatever the model computes in."""
    logits = logits if temperature == 1 else logits / temperature
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
