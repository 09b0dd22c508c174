"""What transcribing gives: text, words with their times, other readings. Imports neither torch nor SpeechBrain."""

from dataclasses import dataclass, field

from recipes.scoring import ScoredText


@dataclass(frozen=True)
class Word:
    """A word and where it was said. start, end: seconds from the beginning; confidence: 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Transcript:
    """One recording as text.

    id: names the recording, and with --out its file; audio: the path that was given, None for an array or a stream;
    duration: seconds; words: those of `text`, in order; score: of the search (a log probability), None for greedy CTC;
    nbest: the best readings with their scores, best first; none where one reading was asked for.
    """

    id: str
    text: str
    duration: float
    words: list[Word] = field(default_factory=list)
    score: float | None = None
    nbest: list[ScoredText] = field(default_factory=list)
    audio: str | None = None
