"""Tokens with frames become words with times."""

import math

import numpy as np
import pytest

from recipes.inference.transcripts.transcript import Word
from recipes.inference.transcripts.words import TokenSpan, greedy_path, spans_of_path, words_of


class Pieces:
    """A tokenizer of these pieces."""

    def __init__(self, *pieces: str):
        self.pieces = pieces

    def vocab_size(self) -> int:
        return len(self.pieces)

    def id_to_piece(self, token: int) -> str:
        return self.pieces[token]

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.pieces[token] for token in tokens).replace("▁", " ").strip()


PIECES = Pieces("<unk>", "▁", "A", "B", "▁THE")


def test_words_begin_at_their_marks():
    spans = [
        TokenSpan(1, 0, 1, 1.0),  # a mark alone: silence may follow it
        TokenSpan(2, 10, 12, 0.5),
        TokenSpan(3, 13, 14, 0.125),
        TokenSpan(4, 20, 22, 1.0),
        TokenSpan(9, 23, 24, 1.0),  # an output that the tokenizer does not have
        TokenSpan(1, 24, 25, 1.0),
        TokenSpan(1, 25, 26, 1.0),
    ]
    assert words_of(spans, PIECES, 0.04, 10.0) == [
        Word("AB", pytest.approx(0.38), pytest.approx(0.54), pytest.approx(0.25)),
        Word("THE", pytest.approx(0.78), pytest.approx(0.86), pytest.approx(1.0)),
    ]


def test_writing_without_blanks_has_a_word_for_each_token():
    """Punctuation and combining marks stay with the character before; letters of another writing are a word."""
    pieces = Pieces("<unk>", "▁", "我", "▁你", "们", "。", "A", "B", "ก", "ิ")
    spans = [TokenSpan(token, 5 * place, 5 * place + 1, 1.0) for place, token in enumerate([3, 4, 6, 7, 2, 5, 8, 9])]
    words = words_of(spans, pieces, 0.04, 10.0)
    assert [word.text for word in words] == ["你", "们", "AB", "我。", "กิ"]
    assert [round(word.start, 2) for word in words] == [0.0, 0.18, 0.38, 0.78, 1.18]


def test_times_stay_inside_the_recording():
    (word,) = words_of([TokenSpan(4, 0, 9, 0.0)], PIECES, 0.04, 0.33)
    assert (word.start, word.end) == (0.0, 0.33) and 0 <= word.confidence < 1e-20


def test_nothing_spoken():
    assert words_of([], PIECES, 0.04, 1.0) == words_of([TokenSpan(1, 0, 1, 1.0)], PIECES, 0.04, 1.0) == []


def test_the_greedy_path_gives_tokens_with_their_highest_probability():
    best = [0, 4, 4, 0, 4, 2, 0]
    peaks = [0.9, 0.6, 0.8, 0.7, 0.5, 0.4, 0.99]
    log_probs = np.full((len(best), 5), math.log(0.01))
    log_probs[range(len(best)), best] = np.log(peaks)
    path, probabilities = greedy_path(log_probs)
    assert path == best and probabilities == pytest.approx(peaks)
    assert [tuple(span) for span in spans_of_path(path, probabilities)] == [
        (4, 1, 3, pytest.approx(0.8)),
        (4, 4, 5, pytest.approx(0.5)),
        (2, 5, 6, pytest.approx(0.4)),
    ]
