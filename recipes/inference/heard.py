"""What a stream hears in a frame. Imports no torch."""

from collections.abc import Sequence
from typing import NamedTuple

from data_prep.tokenizer import BLANK


class Heard(NamedTuple):
    """In one frame: tokens that begin there with their probabilities; that of the last token, where it goes on."""

    tokens: tuple[tuple[int, float], ...] = ()
    goes_on: float | None = None


def heard_of_path(path: Sequence[int], probabilities: Sequence[float]) -> list[Heard]:
    """CTC's best outputs: a token begins where it differs from the output before.

    path: begins with the output before the first of these frames. probabilities: of the others.
    """
    heard = []
    for last, output, probability in zip(path, path[1:], probabilities, strict=False):
        if output == BLANK:
            heard.append(Heard())
        elif output == last:
            heard.append(Heard(goes_on=probability))
        else:
            heard.append(Heard(((output, probability),)))
    return heard
