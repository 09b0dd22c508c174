"""The interface of whatever transcribes recordings: a trained run, a release, an exported model. Imports no torch."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from data_prep.errors import DataError
from recipes.inference.audio.recordings import Recording
from recipes.inference.transcripts.transcript import Transcript


class Outcome(NamedTuple):
    """What became of a recording: its transcript, or the error that names it."""

    recording: Recording
    transcript: Transcript | None
    error: DataError | None = None


class Engine(Protocol):
    def describe(self, longest: float) -> list[str]:
        """Lines for the screen that say what transcribes and how. longest: seconds of the longest recording."""

    def transcribe_each(
        self, recordings: Sequence[Recording], *, nbest: int = 1, on_progress: Callable[[float], object] | None = None
    ) -> Iterator[Outcome]:
        """The outcome of each recording, in this order. nbest: how many readings to keep; with 1 only the text.

        on_progress: called with the seconds of audio that were done since the last call.
        """
