"""From encoder frames to text: greedy CTC, and one joint CTC/attention/LM beam search for whole batches."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from data_prep.tokenizer import BLANK, END, START
from recipes.decoding.ctc import NEVER, CTCPrefixes, CTCPrefixScorer
from recipes.decoding.search import Hypothesis, Search
from recipes.models.encoder import Encoded

HOPELESS = 1e-10 * NEVER  # below it a score holds a log 0, whatever its weight


class Open(NamedTuple):
    """Hypotheses that may still grow, ``beam`` for each utterance, side by side."""

    tokens: Tensor  # [N, 1 + U], START first
    score: Tensor  # [N] without CTC: decoder, language model and length bonus, weighted
    alive: Tensor  # bool [N]: False where there are fewer hypotheses than places
    prefixes: CTCPrefixes
    caches: list  # of the decoder and the language model

    def select(self, index: Tensor) -> "Open":
        caches = [cache.select(index) for cache in self.caches]
        return Open(self.tokens[index], self.score[index], self.alive[index], self.prefixes.select(index), caches)


class Ended(NamedTuple):
    """The best finished sentences so far of each utterance, best first."""

    scores: Tensor  # [B, beam], NEVER where there is none
    tokens: Tensor  # [B, beam, 1 + U], START first, padded with BLANK

    def add(self, scores: Tensor, tokens: Tensor) -> "Ended":
        """Of these and the new ones the best."""
        most = self.scores.shape[1]
        tokens = torch.cat([pad(self.tokens, (0, tokens.shape[2] - self.tokens.shape[2])), tokens], 1)
        best, index = torch.cat([self.scores, scores], 1).topk(most, dim=1)
        return Ended(best, tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2])))

    def hypotheses(self, utterance: int) -> list[Hypothesis]:
        rows = zip(self.tokens[utterance].tolist(), self.scores[utterance].tolist(), strict=True)
        found = [Hypothesis([one for one in row[1:] if one != BLANK], score) for row, score in rows if score > HOPELESS]
        return found or [Hypothesis([], NEVER)]


class BeamSearch(Search):
    """Joint CTC/attention beam search (https://arxiv.org/abs/1609.06773), batched, with cached decoder and LM.

    A sentence scores (1 - ctc_weight) log p_decoder + ctc_weight log p_CTC + lm_weight log p_LM + length_bonus
    times its tokens. An utterance is finished when no open hypothesis can still beat its best ended one.
    Results do not depend on the batch. Without a decoder it is a CTC prefix beam search, CTC counting in full.

    beam: hypotheses kept a step. ctc_weight: 0 to 1. temperature, lm_temperature: of the distributions of the
    decoder and of the language model. lm_weight counts only where a language model is given.
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
        numbers = {
            "beam": beam,
            "ctc_weight": ctc_weight,
            "temperature": temperature,
            "lm_weight": lm_weight,
            "lm_temperature": lm_temperature,
            "length_bonus": length_bonus,
        }
        for name, value in numbers.items():
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise ValueError(f"BeamSearch: {name} must be a number, not {value!r}")
        if beam < 1 or beam != int(beam):
            raise ValueError(f"BeamSearch: beam must be a whole number from 1 up, not {beam}")
        if not 0 <= ctc_weight <= 1:
            raise ValueError(f"BeamSearch: ctc_weight must lie between 0 and 1, not {ctc_weight}")
        if min(temperature, lm_temperature) <= 0:
            raise ValueError("BeamSearch: temperature and lm_temperature must be greater than 0")
        self.beam, self.ctc_weight, self.length_bonus = beam, ctc_weight, length_bonus
        self.temperature, self.lm_weight, self.lm_temperature = temperature, lm_weight, lm_temperature

    def tunable(self, lm) -> dict[str, tuple[float, ...]]:
        weights = {"lm_weight": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)} if lm is not None else {}
        return weights | {"length_bonus": (0.0, 0.2, 0.5, 1.0)}

    @torch.inference_mode()
    def __call__(self, decoder, encoded: Encoded, ctc_log_probs: Tensor, lm=None) -> list[list[Hypothesis]]:
        """The ended hypotheses of every utterance, best first; at least one each, ``beam`` at most.

        decoder: a ``recipes.models.decoder.TransformerDecoder`` or None. ctc_log_probs: ``[B, T, vocab]``. lm: a
        ``recipes.models.language_model.TransformerLM`` over the same tokens, or None.
        The first is the best that the beam can reach; the others are what had ended by then.
        """
        models = Models(decoder, encoded, lm, self, ctc_log_probs.shape[2])
        reward = max(self.length_bonus, 0.0) / models.ctc_weight if models.ctc_bounds_length else 0.0
        scorer = CTCPrefixScorer(ctc_log_probs, encoded.lengths, reward)
        found: list[list[Hypothesis]] = [[] for _ in encoded.lengths]
        utterances, lengths = torch.arange(len(found)), encoded.lengths
        opened = self.start(scorer, models)
        ended = Ended(opened.score.view(-1, self.beam) + NEVER, opened.tokens.view(-1, self.beam, 1))
        for step in range(int(lengths.max()) + 1):
            grown, caches = models.step(opened)
            ended = self.end(opened, ended, grown, scorer, models)
            done = (ended.scores[:, 0] >= self.ceiling(opened, lengths - step, models)) | (lengths <= step)
            if done.any():
                for row in done.nonzero().flatten().tolist():
                    found[utterances[row]] = ended.hypotheses(row)
                if done.all():
                    break
                left = (~done).nonzero().flatten()
                rows = (left[:, None] * self.beam + torch.arange(self.beam, device=left.device)).flatten()
                opened, grown = opened.select(rows), grown[rows]
                caches = [cache.select(rows) for cache in caches]
                utterances, lengths = utterances[left.cpu()], lengths[left]
                ended = Ended(ended.scores[left], ended.tokens[left])
                scorer.select(left), models.select(left)
            opened = self.extend(opened._replace(caches=caches), grown, scorer, models)
        return found

    def start(self, scorer: CTCPrefixScorer, models: "Models") -> Open:
        prefixes = scorer.start(self.beam)
        score = torch.zeros_like(prefixes.score)
        # All hypotheses are the same at first: one stands for them.
        alive = torch.arange(len(score), device=score.device) % self.beam == 0
        tokens = torch.full((len(score), 1), START, device=score.device)
        return Open(tokens, score, alive, prefixes, models.start(len(score)))

    def end(self, opened: Open, ended: Ended, grown: Tensor, scorer: CTCPrefixScorer, models: "Models") -> Ended:
        """Take in the ended form of every open hypothesis: CTC has seen all frames."""
        scores = opened.score + grown[:, END] + models.ctc_weight * scorer.end(opened.prefixes)
        scores = scores.masked_fill(~opened.alive, NEVER).view(-1, self.beam)
        return ended.add(scores, opened.tokens.view(*scores.shape, -1))

    def ceiling(self, opened: Open, steps_left: Tensor, models: "Models") -> Tensor:
        """``[B]``: no sentence that grows out of an open hypothesis can score higher."""
        ceiling = opened.score + models.ctc_weight * opened.prefixes.ceiling
        best = ceiling.masked_fill(~opened.alive, NEVER).view(-1, self.beam).amax(1)
        return best if models.ctc_bounds_length else best + max(self.length_bonus, 0.0) * steps_left

    def extend(self, opened: Open, grown: Tensor, scorer: CTCPrefixScorer, models: "Models") -> Open:
        """The best hypotheses of one token more."""
        last = opened.tokens[:, -1]
        joint = scorer.scores(opened.prefixes, last).mul_(models.ctc_weight).add_(grown)
        joint += (opened.score + self.length_bonus)[:, None]
        joint[:, : max(BLANK, START, END) + 1] = NEVER
        joint.masked_fill_(~opened.alive[:, None], NEVER)
        vocab = joint.shape[1]
        # With a small vocabulary the first step has fewer continuations than the beam has places.
        best, index = joint.view(-1, self.beam * vocab).topk(self.beam, dim=1)
        first = torch.arange(len(index), device=index.device)[:, None] * self.beam
        kept, tokens = (first + index // vocab).flatten(), (index % vocab).flatten()
        chosen = opened.select(kept)
        return Open(
            torch.cat([chosen.tokens, tokens[:, None]], 1),
            chosen.score + grown[kept, tokens] + self.length_bonus,
            best.flatten() > HOPELESS,
            scorer.extend(chosen.prefixes, last[kept], tokens),
            chosen.caches,
        )


class Models:
    """The decoder and the language model of one search, either of them or none, as one next-token score."""

    def __init__(self, decoder, encoded: Encoded, lm, search: BeamSearch, vocab_size: int):
        self.decoder, self.lm, self.search = decoder, lm if search.lm_weight else None, search
        self.vocab_size = vocab_size
        self.cross = decoder.prepare(encoded) if decoder is not None else None
        self.ctc_weight = search.ctc_weight if decoder is not None else 1.0
        # Whether CTC counts enough to tell how many tokens, each with its length bonus, can follow; if it hardly
        # does, as many as there are frames.
        self.ctc_bounds_length = self.ctc_weight > max(search.length_bonus / 50, 0.0)

    def start(self, hypotheses: int) -> list:
        return [model.start(hypotheses) for model in (self.decoder, self.lm) if model is not None]

    def select(self, utterances: Tensor) -> None:
        self.cross = self.cross.select(utterances) if self.cross is not None else None

    def step(self, opened: Open) -> tuple[Tensor, list]:
        """Weighted log probabilities of the next token ``[N, vocab]``, and the new caches."""
        last, caches, new = opened.tokens[:, -1], list(opened.caches), []
        score = opened.score.new_zeros(len(last), self.vocab_size)
        if self.decoder is not None:
            logits, cache = self.decoder.step(last, self.cross, caches.pop(0))
            new.append(cache)
            score += (1 - self.ctc_weight) * log_softmax(logits / self.search.temperature)
        if self.lm is not None:
            logits, cache = self.lm.step(last, caches.pop(0))
            new.append(cache)
            score += self.search.lm_weight * log_softmax(logits / self.search.lm_temperature)
        return score, new


def log_softmax(logits: Tensor) -> Tensor:
    """In float32 at least, whatever the model computes in."""
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
