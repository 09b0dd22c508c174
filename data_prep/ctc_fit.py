"""Utterances with more tokens than CTC can emit in their frames."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from sentencepiece import SentencePieceProcessor

from data_prep.tokenizer import BLANK

EQUAL_NEIGHBOURS = re.compile(r"(?=(.)\1)")


def frames_needed(tokens: Sequence[int]) -> int:
    """Frames that CTC needs: one per token, and a blank between two equal tokens (Graves et al. 2006, section 3.1)."""
    return len(tokens) + sum(first == second for first, second in pairwise(tokens))


def too_many_tokens(
    durations: Sequence[float],
    texts: Sequence[str],
    tokenizer: SentencePieceProcessor,
    frames: Callable[[float], int],
) -> list[int]:
    """Which utterances' tokens need more frames than there are: their places, in order.

    durations: seconds. frames: encoder frames of so many seconds of audio.
    """
    available = [frames(seconds) for seconds in durations]
    # Tokens take time, and few utterances come near the limit: the rest have frames for every single character.
    pairs = zip(available, texts, strict=True)
    doubtful = [place for place, (count, words) in enumerate(pairs) if count < _most_frames(words)]
    encoded = tokenizer.encode([texts[place] for place in doubtful])
    return [
        place
        for place, tokens in zip(doubtful, encoded, strict=True)
        if available[place] < frames_needed([token for token in tokens if token != BLANK])
    ]


def _most_frames(words: str) -> int:
    """Frames that any tokenizer's tokens of these words can need: no token is shorter than a character."""
    return 1 + len(words) + len(EQUAL_NEIGHBOURS.findall(words))
