"""CTC forced alignment against all alignments, and what there is to say where CTC has none."""

import itertools

import pytest

from data_prep.tokenizer import BLANK
from recipes.inference.transcripts.alignment import align
from recipes.inference.transcripts.words import TokenSpan, greedy_path, spans_of_path
from tests.support.decoding import collapse, random_log_probs


@pytest.mark.parametrize("tokens", [(3,), (3, 4), (4, 4), (3, 4, 3), (5, 5, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_the_likeliest_of_all_alignments(tokens, seed):
    log_probs = random_log_probs(1, 6, scale=2.0, seed=seed)[0].float()
    paths = [path for path in itertools.product((BLANK, *set(tokens)), repeat=6) if collapse(path) == tokens]
    best = max(paths, key=lambda path: float(log_probs[range(6), path].sum()))
    spans = align(log_probs, tokens)
    assert [span.token for span in spans] == list(tokens)
    assert spans == [
        (span.token, span.start, span.end, pytest.approx(span.probability, rel=1e-5))
        for span in spans_of_path(best, log_probs[range(6), best].exp().tolist())
    ]


def test_greedy_text_is_on_the_greedy_path():
    log_probs = random_log_probs(1, 40, scale=3.0)[0].float()
    spans = spans_of_path(*greedy_path(log_probs.numpy()))
    aligned = align(log_probs, [span.token for span in spans])
    assert [span[:3] for span in aligned] == [span[:3] for span in spans]


def test_a_text_too_long_for_its_frames_is_spread():
    log_probs = random_log_probs(1, 3)[0].float()
    assert align(log_probs, [3, 3, 4]) == [TokenSpan(3, 0, 1, 0.0), TokenSpan(3, 1, 2, 0.0), TokenSpan(4, 2, 3, 0.0)]
    assert [span.start for span in align(log_probs, [3, 4, 5, 3, 4, 5])] == [0, 0, 1, 1, 2, 2]


def test_no_text():
    assert align(random_log_probs(1, 3)[0].float(), []) == []
