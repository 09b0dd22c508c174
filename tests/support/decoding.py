"""Reference for searches: scores of sentences by going through all alignments."""

import itertools

import pytest
import torch

from data_prep.tokenizer import BLANK, END, START
from recipes.decoding.ctc import LOG_ZERO, CTCPrefixScorer

VOCABULARY = 6
WORDS = [token for token in range(VOCABULARY) if token not in (BLANK, START, END)]


def random_log_probs(batch: int, frames: int, vocabulary: int = VOCABULARY, scale: float = 1.0, seed: int = 0):
    logits = torch.randn(batch, frames, vocabulary, generator=torch.Generator().manual_seed(seed)).double()
    return (scale * logits).log_softmax(-1)


def collapse(alignment) -> tuple[int, ...]:
    return tuple(token for token, _ in itertools.groupby(alignment) if token != BLANK)


def sentence_probabilities(log_probs: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The probability of every sentence that ``[T, vocabulary]`` can align with, summed over all alignments."""
    probs, sentences = log_probs.exp(), {}
    for alignment in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        probability = torch.stack([probs[frame, token] for frame, token in enumerate(alignment)]).prod().item()
        sentences[collapse(alignment)] = sentences.get(collapse(alignment), 0.0) + probability
    return sentences


def prefix_and_end(scorer: CTCPrefixScorer, sentence) -> tuple[float, float]:
    """Log probabilities that the (only) utterance starts with the sentence, and that it is the sentence."""
    prefixes, last = scorer.start(1), torch.tensor([START])
    for token in sentence:
        proposed = scorer.scores(prefixes, last)[0, token].item()
        prefixes = scorer.extend(prefixes, torch.tensor([0]), last, torch.tensor([token]))
        last = torch.tensor([token])
        assert proposed == pytest.approx(max(prefixes.score.item(), LOG_ZERO), rel=1e-9, abs=1e-12), (
            "scores and extend disagree"
        )
    return prefixes.score.item(), scorer.end(prefixes).item()
