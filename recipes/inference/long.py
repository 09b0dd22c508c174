"""Long recordings: encoding in overlapping windows, and places where a search may be cut."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data_prep.tokenizer import BLANK
from mixers.base import Mixer
from recipes.models import ConvFrontend, Encoded, LogMel, Recogniser

WHOLE = 40.0  # seconds: what is encoded and searched whole by any model. LibriSpeech's longest utterance has 35
MARGIN = 5.0  # seconds of a window on each side that only serve as context
PIECE = (10.0, 25.0)  # seconds of a piece to search: at least, and at most


def is_linear(model: Recogniser) -> bool:
    """Whether time and memory of its encoder grow in proportion to the length of the audio."""
    return all(mixer.linear for mixer in model.encoder.modules() if isinstance(mixer, Mixer))


def samples_per_frame(model: Recogniser) -> int:
    """The hop of encoder frames; frame t stands for the audio around sample t times this."""
    features, frontend = cast(LogMel, model.features), cast(ConvFrontend, model.frontend)
    return features.hop * 2 ** len(frontend.convs)


class Windows:
    """Parts of a long recording, of ``frames`` encoder frames each, that overlap by twice ``margin`` frames."""

    def __init__(self, seconds: float, frame_seconds: float):
        self.frames = max(round(seconds / frame_seconds), 3)
        self.seconds = self.frames * frame_seconds
        self.margin = min(round(MARGIN / frame_seconds), self.frames // 3)

    def starts(self, total: int) -> list[int]:
        """The first frames of the windows over so many frames."""
        step = self.frames - 2 * self.margin
        return list(range(0, max(total - self.frames + step, 1), step))

    def encode(
        self, encode: Callable[[Tensor, Tensor], Encoded], audio: Tensor, hop: int, windows_at_once: int
    ) -> Tensor:
        """``[samples]`` → ``[T, d_model]``, as in one pass where no frame sees farther than a window's margin.

        hop: samples of a frame, at whole multiples of which the windows begin, so that their frames are the whole's.
        """
        starts = self.starts(-(-len(audio) // hop))
        parts: list[Tensor] = []
        for first in range(0, len(starts), windows_at_once):
            batch = [
                audio[start * hop : (start + self.frames) * hop] for start in starts[first : first + windows_at_once]
            ]
            lengths = torch.tensor([len(part) for part in batch], device=audio.device)
            frames, lengths = encode(pad_sequence(batch, batch_first=True), lengths)
            parts += [part[:length] for part, length in zip(frames, lengths.tolist(), strict=True)]
        last = len(parts) - 1
        kept = [
            part[self.margin if number else 0 : None if number == last else self.frames - self.margin]
            for number, part in enumerate(parts)
        ]
        return torch.cat(kept)


def pieces(log_probs: Tensor, frame_seconds: float) -> list[tuple[int, int]]:
    """Where to cut ``[T, vocab_size]`` of CTC for a search: [first frame, frame after the last] of each piece.

    One piece where the whole is short enough. Else a cut lies in the middle of the longest stretch of frames in which
    CTC's best output is the blank, among those in which a piece may end.
    """
    total, cuts = len(log_probs), [0]
    if total * frame_seconds > WHOLE:
        shortest, longest = (round(seconds / frame_seconds) for seconds in PIECE)
        silent = (log_probs.argmax(-1) == BLANK).tolist()
        while total - cuts[-1] > longest:
            earliest, latest = cuts[-1] + shortest, min(cuts[-1] + longest, total - 1)
            cut = middle_of_longest(silent[earliest:latest])
            if cut is None:  # no silence at all
                cut = int(log_probs[earliest:latest, BLANK].argmax())
            cuts.append(earliest + cut)
    return list(pairwise([*cuts, total]))


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
