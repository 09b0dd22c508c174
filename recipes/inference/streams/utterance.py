"""What a stream has heard since the last endpoint. Imports no torch."""

from dataclasses import dataclass, field
from typing import Any

from recipes.inference.streams.frame_tokens import FrameTokens
from recipes.inference.transcripts.words import TokenSpan, shared_frame


@dataclass
class StreamUtterance:
    """first: its first frame in the stream. length: in frames. spans: its tokens, in frames of the stream.

    frames, log_probs: a tensor for each frame, kept only if the utterance is to be searched.
    """

    first: int
    length: int = 0
    spans: list[TokenSpan] = field(default_factory=list)
    frames: list[Any] = field(default_factory=list)
    log_probs: list[Any] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.first + self.length

    @property
    def silence(self) -> int:
        """How many frames at its end have no token."""
        return self.end - (int(self.spans[-1].end) if self.spans else self.first)

    def add(self, heard: FrameTokens) -> None:
        """Add a frame. Several tokens in it share its time. A token that began before this utterance is ignored."""
        frame = self.end
        if heard.goes_on is not None and self.spans and self.spans[-1].end == frame:
            last = self.spans[-1]
            self.spans[-1] = last._replace(end=frame + 1, probability=max(last.probability, heard.goes_on))
        self.spans += shared_frame(frame, heard.tokens)
        self.length += 1

    def split(self, place: float) -> tuple["StreamUtterance", "StreamUtterance"]:
        """The utterance before a place in the stream, and what comes after it; no token lies across it."""
        length = int(place) - self.first
        head = [span for span in self.spans if span.start < place]
        tail = self.spans[len(head) :]
        return (
            StreamUtterance(self.first, length, head, self.frames[:length], self.log_probs[:length]),
            StreamUtterance(int(place), self.length - length, tail, self.frames[length:], self.log_probs[length:]),
        )
