"""Long recordings: encoding in overlapping windows, and places where a search may be cut."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data_prep.tokenizer import BLANK
from mixers.base import Mixer
from recipes.inference.windows import Windows
from recipes.models import ConvFrontend, LogMel, Recogniser

# An attention decoder ends too early on audio much longer than its training utterances. So recordings are searched
# whole up to WHOLE times the mean training utterance (12.3 s in LibriSpeech, whose tests go up to 35 s), and longer
# ones in pieces of at most PIECE times this mean.
WHOLE, PIECE = 3.0, 4 / 3
UTTERANCE = 12.0  # seconds, where the mean is not known
SHORTEST = 3 / 8  # of the longest piece


def is_linear(model: Recogniser) -> bool:
    """Whether time and memory of its encoder grow in proportion to the length of the audio."""
    return all(mixer.linear for mixer in model.encoder.modules() if isinstance(mixer, Mixer))


def samples_per_frame(model: Recogniser) -> int:
    """The hop of encoder frames; frame t stands for the audio around sample t times this."""
    features, frontend = cast(LogMel, model.features), cast(ConvFrontend, model.frontend)
    return features.hop * 2 ** len(frontend.convs)


def encode_in_windows(
    windows: Windows, encode: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], audio: Tensor, hop: int, at_once: int
) -> Tensor:
    """``[samples]`` → ``[T, d_model]``. This equals one pass if no frame sees farther than a window's margin.

    hop: samples of a frame. at_once: how many windows are a batch.
    """
    cut, parts = windows.cut(audio, hop), list[Tensor]()
    for first in range(0, len(cut), at_once):
        batch = cut[first : first + at_once]
        lengths = torch.tensor([len(part) for part in batch], device=audio.device)
        frames, lengths = encode(pad_sequence(batch, batch_first=True), lengths)
        parts += [part[:length] for part, length in zip(frames, lengths.tolist(), strict=True)]
    return torch.cat(windows.kept(parts))


class Cuts(NamedTuple):
    """How long recordings are cut for a search: not up to `whole` seconds, above it into pieces of at most `piece`."""

    whole: float
    piece: float


def choose_cuts(piece: float | None, utterance_seconds: float | None) -> Cuts:
    """piece: the user's choice, or None. utterance_seconds: the mean training utterance; None if it is not known."""
    mean = utterance_seconds or UTTERANCE
    return Cuts(WHOLE * mean, PIECE * mean) if piece is None else Cuts(piece, piece)


def pieces(log_probs: Tensor, frame_seconds: float, cuts: Cuts) -> list[tuple[int, int]]:
    """Where to cut ``[T, vocab_size]`` of CTC for a search: [first frame, frame after the last] of each piece.

    A cut lies in the middle of the longest stretch of frames in which CTC's best output is the blank, among those in
    which a piece may end.
    """
    total, bounds = len(log_probs), [0]
    if total * frame_seconds > cuts.whole:
        longest = max(round(cuts.piece / frame_seconds), 2)
        shortest = max(round(SHORTEST * longest), 1)
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
