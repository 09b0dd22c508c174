"""The tokens that a stream hears in one frame. Imports no torch."""

from collections.abc import Sequence
from typing import NamedTuple

from data_prep.tokenizer import BLANK


class FrameTokens(NamedTuple):
    """What is heard in one frame.

    tokens: those that begin in it, with their probabilities. goes_on: the probability of the last token, if that
    continues in this frame; otherwise None.
    """

    tokens: tuple[tuple[int, float], ...] = ()
    goes_on: float | None = None


def tokens_of_path(path: Sequence[int], probabilities: Sequence[float]) -> list[FrameTokens]:
    """The tokens of each frame on CTC's best path: a token begins where it differs from the output before it.

    path: the output before the first of these frames, then the output of each frame. probabilities: of each frame's
    output.
    """
    heard = []
    for last, output, probability in zip(path, path[1:], probabilities, strict=False):
        if output == BLANK:
            heard.append(FrameTokens())
        elif output == last:
            heard.append(FrameTokens(goes_on=probability))
        else:
            heard.append(FrameTokens(((output, probability),)))
    return heard
