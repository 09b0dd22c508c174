"""Utterances with more tokens than CTC can emit in their frames."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from sentencepiece import SentencePieceProcessor

from data_prep.tokenizer import BLANK

EQUAL_NEIGHBOURS = re.compile(r"(?=(.)\1)")


def frames_needed(tokens: Sequence[int]) -> int:
    """Frames that CTC needs: one per token, and a blank between two equal tokens (Graves et al. 2006, section 3.1)."""
    return len(tokens) + sum(first == second for first, second in pairwise(tokens))


def too_many_tokens(
    utterances: Mapping[str, Mapping], tokenizer: SentencePieceProcessor, frames: Callable[[float], int]
) -> list[str]:
    """IDs of the utterances whose tokens need more frames than there are, in order.

    utterances: of `data_prep.manifest.utterances_by_id`. frames: encoder frames of so many seconds of audio.
    """
    available = {name: frames(utterance["duration"]) for name, utterance in utterances.items()}
    # Tokens take time, and few utterances come near the limit: the rest have frames for every single character.
    doubtful = [name for name, count in available.items() if count < _most_frames(utterances[name]["wrd"])]
    encoded = tokenizer.encode([utterances[name]["wrd"] for name in doubtful])
    return [
        name
        for name, tokens in zip(doubtful, encoded, strict=True)
        if available[name] < frames_needed([token for token in tokens if token != BLANK])
    ]


def _most_frames(words: str) -> int:
    """Frames that any tokenizer's tokens of these words can need: no token is shorter than a character."""
    return 1 + len(words) + len(EQUAL_NEIGHBOURS.findall(words))
