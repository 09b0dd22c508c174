"""Long recordings in windows that overlap, each encoded by itself. Imports no torch."""

from collections.abc import Sequence
from typing import Any

WINDOW = 40.0  # seconds, where nothing else is said. LibriSpeech's longest utterance has 35
MARGIN = 1 / 8  # of a window, on each side, only serves as context


class Windows:
    """Parts of a long recording, of ``frames`` encoder frames each, that overlap by twice ``margin`` frames.

    chunk: frames of a model that sees chunks: windows begin where chunks do, so that the chunks are the whole's.
    """

    def __init__(self, seconds: float, frame_seconds: float, chunk: int = 1):
        self.frames = max(round(seconds / (frame_seconds * chunk)), 3) * chunk
        self.seconds = self.frames * frame_seconds
        self.margin = max(round(MARGIN * self.frames / chunk), 1) * chunk

    def starts(self, total: int) -> list[int]:
        """The first frames of the windows over so many frames."""
        step = self.frames - 2 * self.margin
        return list(range(0, max(total - self.frames + step, 1), step))

    def cut(self, audio: Any, hop: int) -> list[Any]:
        """The windows of ``[samples]``, an array or a tensor.

        hop: samples of a frame, at whole multiples of which the windows begin, so that their frames are the whole's.
        """
        starts = self.starts(-(-len(audio) // hop))
        return [audio[start * hop : (start + self.frames) * hop] for start in starts]

    def kept(self, encoded: Sequence[Any]) -> list[Any]:
        """The frames of all windows without their margins: joined, they are the frames of the whole recording."""
        last = len(encoded) - 1
        return [
            part[self.margin if number else 0 : None if number == last else self.frames - self.margin]
            for number, part in enumerate(encoded)
        ]
