"""From tokens with their frames to words with their times. Imports no torch."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from sentencepiece import SentencePieceProcessor

from data_prep.tokenizer import BLANK, detokenize
from recipes.inference.transcripts.transcript import Word
from recipes.inference.transcripts.unspaced import begins_word

WORD_MARK = "▁"  # begins the first piece of a word


class TokenSpan(NamedTuple):
    """A token, its frames (the last one excluded), and the highest probability that it has in them.

    Whole frames for CTC; the tokens that a transducer says in one frame share it.
    """

    token: int
    start: float
    end: float
    probability: float


def spans_of_path(path: Sequence[int], probabilities: Sequence[float]) -> list[TokenSpan]:
    """The tokens of a CTC alignment. path: the output of each frame; probabilities: of these outputs."""
    spans, frame = [], 0
    for token, group in itertools.groupby(path):
        end = frame + len(list(group))
        if token != BLANK:
            spans.append(TokenSpan(token, frame, end, max(probabilities[frame:end])))
        frame = end
    return spans


def greedy_path(log_probs: np.ndarray) -> tuple[list[int], list[float]]:
    """CTC's best output of every frame and its probability, of ``[T, vocab_size]``."""
    path = log_probs.argmax(-1)
    return path.tolist(), np.exp(np.take_along_axis(log_probs, path[:, None], -1)[:, 0]).tolist()


def shared_frame(frame: int, tokens: Sequence[tuple[int, float]]) -> list[TokenSpan]:
    """Tokens with their probabilities that a transducer says in one frame, which they share."""
    count = len(tokens)
    return [
        TokenSpan(token, frame + number / count, frame + (number + 1) / count, probability)
        for number, (token, probability) in enumerate(tokens)
    ]


def words_of(
    spans: Iterable[TokenSpan], tokenizer: SentencePieceProcessor, frame_seconds: float, duration: float
) -> list[Word]:
    """The words that tokens make.

    A frame stands for the time around its centre, which lies at a whole multiple of frame_seconds. A word's confidence
    is the geometric mean of its tokens' probabilities.
    """
    words = []
    for group in word_groups(spans, tokenizer):
        text = detokenize(tokenizer, [span.token for span in group]).strip()
        if text:
            start, end = (max((frame - 0.5) * frame_seconds, 0.0) for frame in (group[0].start, group[-1].end))
            confidence = math.exp(sum(math.log(max(span.probability, 1e-30)) for span in group) / len(group))
            words.append(Word(text, min(start, duration), min(end, duration), min(confidence, 1.0)))
    return words


def word_groups(spans: Iterable[TokenSpan], tokenizer: SentencePieceProcessor) -> Iterator[list[TokenSpan]]:
    """The tokens of each word; a mark alone begins the word after it, and is no part of it.

    In writing without blanks, each token is one (`recipes.inference.transcripts.unspaced`).
    """
    group, before = list[TokenSpan](), ""
    for span in spans:
        if span.token >= tokenizer.vocab_size():
            continue  # outputs that models have beyond a small tokenizer
        piece = tokenizer.id_to_piece(span.token)
        if group and (piece.startswith(WORD_MARK) or begins_word(piece, before)):
            yield group
            group = []
        if piece != WORD_MARK:
            group.append(span)
        before = piece
    if group:
        yield group
