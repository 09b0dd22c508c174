"""CTC prefix scores against all alignments and against torch's ctc_loss; the greedy path."""

import itertools
import math

import pytest
import torch
from torch.nn.functional import ctc_loss

from data_prep.tokenizer import BLANK, START
from recipes.decoding.ctc import LOG_ZERO, CTCPrefixScorer, greedy_ctc
from tests.support.decoding import VOCABULARY, WORDS, prefix_and_end, random_log_probs, sentence_probabilities


@pytest.mark.parametrize("padded", [0, 3], ids=["alone", "padded"])
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_ctc_scores_equal_all_alignments(frames, padded):
    vocabulary = 4
    log_probs = random_log_probs(1, frames + padded, vocabulary)  # padded frames must have no effect
    scorer, possible = (
        CTCPrefixScorer(log_probs, torch.tensor([frames])),
        sentence_probabilities(log_probs[0, :frames]),
    )
    assert sum(possible.values()) == pytest.approx(1)
    for length in range(frames + 1):
        for sentence in itertools.product(range(1, vocabulary), repeat=length):
            prefix, end = prefix_and_end(scorer, sentence)
            total = sum(p for longer, p in possible.items() if longer[:length] == sentence)
            assert math.exp(prefix) == pytest.approx(total, abs=1e-12), f"prefix {sentence}"
            assert math.exp(end) == pytest.approx(possible.get(sentence, 0), abs=1e-12), sentence


@pytest.mark.parametrize("scale", [1.0, 40.0], ids=["flat", "peaked"])
@pytest.mark.parametrize("frames", [30, 400, 3000])
def test_ctc_end_equals_ctc_loss(frames, scale):
    """On whole utterances, with repeated tokens, near-certain frames and padding."""
    log_probs = random_log_probs(2, frames + 50, 30, scale, seed=frames)
    lengths, sentence = torch.tensor([frames, frames // 2]), [7, 7, 29, 3, 12, 3, 3, 8, 21, 7]
    for row, length in enumerate(lengths.tolist()):
        real, tokens = log_probs[row, :length, None], torch.tensor([sentence])
        loss = ctc_loss(real, tokens, torch.tensor([length]), torch.tensor([10]), blank=BLANK, reduction="sum")
        scorer = CTCPrefixScorer(log_probs[row : row + 1], lengths[row : row + 1])
        assert prefix_and_end(scorer, sentence)[1] == pytest.approx(-loss.item(), rel=1e-9)


def test_ctc_of_more_tokens_than_frames_is_impossible():
    scorer = CTCPrefixScorer(random_log_probs(1, 5), torch.tensor([2]))
    assert max(prefix_and_end(scorer, [3, 4, 5])) < -1e3
    assert max(prefix_and_end(scorer, [3, 3])) < -1e3, "a repeated token needs a blank between"


def test_ctc_scores_many_hypotheses_of_many_utterances_at_once():
    log_probs, lengths, beam = random_log_probs(3, 6), torch.tensor([6, 4, 1]), 2
    scorer, start = CTCPrefixScorer(log_probs, lengths), torch.full((6,), START)
    first_tokens = torch.tensor([3, 4, 5, 3, 4, 4])
    prefixes = scorer.extend(scorer.start(beam), torch.arange(6), start, first_tokens)
    scores = scorer.scores(prefixes, first_tokens)
    for hypothesis, first in enumerate(first_tokens.tolist()):
        alone = CTCPrefixScorer(log_probs[hypothesis // beam, None], lengths[hypothesis // beam, None])
        for token in WORDS:
            expected = prefix_and_end(alone, [first, token])[0]
            assert max(expected, LOG_ZERO) == pytest.approx(scores[hypothesis, token].item(), rel=1e-9)


def test_ctc_goes_on_with_some_of_the_utterances():
    log_probs, lengths = random_log_probs(3, 6), torch.tensor([6, 4, 5])
    whole, part = CTCPrefixScorer(log_probs, lengths), CTCPrefixScorer(log_probs, lengths)
    last = torch.tensor([3, 4, 5])
    prefixes = whole.extend(whole.start(1), torch.arange(3), torch.full((3,), START), last)
    remaining = torch.tensor([2, 0])
    part.select(remaining)
    expected = whole.scores(prefixes, last)[remaining]
    assert torch.equal(part.scores(prefixes.select(remaining), last[remaining]), expected)


def test_greedy_ctc_drops_repeats_blanks_and_padding():
    tokens = torch.tensor([[3, 3, 0, 3, 4, 4, 0, 0], [0, 0, 5, 5, 3, 3, 3, 3], [0, 0, 0, 0, 4, 4, 4, 4]])
    log_probs = torch.nn.functional.one_hot(tokens, VOCABULARY).double().log()
    assert greedy_ctc(log_probs, torch.tensor([8, 4, 3])) == [[3, 3, 4], [5], []]
