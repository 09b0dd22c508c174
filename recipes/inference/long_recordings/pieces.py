"""Where a long recording may be cut for a search."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from data_prep.tokenizer import BLANK

# An attention decoder ends too early on audio much longer than its training utterances. So recordings are searched
# whole up to WHOLE_RATIO times the mean training utterance (12.3 s in LibriSpeech, whose tests go up to 35 s), and
# longer ones in pieces of at most PIECE_RATIO times this mean.
WHOLE_RATIO, PIECE_RATIO = 3.0, 4 / 3
MEAN_UTTERANCE = 12.0  # seconds, where the mean is not known
SHORTEST_SHARE = 3 / 8  # of the longest piece


class Cuts(NamedTuple):
    """How long recordings are cut for a search: not up to `whole` seconds, above it into pieces of at most `piece`."""

    whole: float
    piece: float


def choose_cuts(piece: float | None, utterance_seconds: float | None) -> Cuts:
    """piece: the user's choice, or None. utterance_seconds: the mean training utterance; None if it is not known."""
    mean = utterance_seconds or MEAN_UTTERANCE
    return Cuts(WHOLE_RATIO * mean, PIECE_RATIO * mean) if piece is None else Cuts(piece, piece)


def pieces(log_probs: Tensor, frame_seconds: float, cuts: Cuts) -> list[tuple[int, int]]:
    """Where to cut ``[T, vocab_size]`` of CTC for a search: [first frame, frame after the last] of each piece.

    A cut lies in the middle of the longest stretch of frames in which CTC's best output is the blank, among those in
    which a piece may end.
    """
    total, bounds = len(log_probs), [0]
    if total * frame_seconds > cuts.whole:
        longest = max(round(cuts.piece / frame_seconds), 2)
        shortest = max(round(SHORTEST_SHARE * longest), 1)
        silent = (log_probs.argmax(-1) == BLANK).tolist()
        while total - bounds[-1] > longest:
            earliest, latest = bounds[-1] + shortest, bounds[-1] + longest
            cut = middle_of_longest(silent[earliest:latest])
            if cut is None:  # no silence at all
                cut = int(log_probs[earliest:latest, BLANK].argmax())
            bounds.append(earliest + cut)
    return list(pairwise([*bounds, total]))


def middle_of_longest(flags: Sequence[bool]) -> int | None:
    """The middle of the longest stretch of true flags; None where there is none."""
    best, start = (0, 0), None
    for position, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = position
        elif not flag and start is not None:
            best, start = max(best, (position - start, -start)), None
    length, first = best
    return length // 2 - first if length else None
