"""A stream as it is seen from outside: samples in as they come, partial and final text out. Imports no torch."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sentencepiece import SentencePieceProcessor

from data_prep.errors import DataError
from data_prep.tokenizer import detokenize
from recipes.inference.audio.samples import SAMPLE_RATE, stream_samples
from recipes.inference.streams.chunks import Chunks
from recipes.inference.streams.endpoint import Endpoint
from recipes.inference.streams.frame_tokens import FrameTokens
from recipes.inference.streams.utterance import StreamUtterance
from recipes.inference.transcripts.transcript import Word
from recipes.inference.transcripts.words import TokenSpan, word_groups, words_of

RECENT = 10_000  # chunks whose times are kept


@dataclass(frozen=True)
class StreamedText:
    """The text of the current utterance. final: it will not change any more. Times: seconds from the stream's start."""

    text: str
    final: bool
    start: float
    end: float
    words: list[Word] = field(default_factory=list)


class TextStream:
    """One stream, from samples to text with endpoints. A subclass computes the chunks, in ``compute``.

    latency_ms: how long the first sample of a chunk waits until the chunk is complete. Memory grows with time only if
    the model's state does. Raises RecipeError for values out of range.
    """

    def __init__(self, tokenizer: SentencePieceProcessor, chunks: Chunks, latency_ms: float, endpoint: Endpoint):
        endpoint.check()
        self.tokenizer, self.chunks, self.latency_ms, self.endpoint = tokenizer, chunks, latency_ms, endpoint
        self.utterance, self.finished, self.samples = StreamUtterance(0), False, 0
        self.waiting: list[np.ndarray] = []
        self.used = 0  # of the samples; the others wait
        self.needed = chunks.samples + chunks.first_samples
        # Seconds that the last chunks took, and all of them together.
        self.computing: deque[float] = deque(maxlen=RECENT)
        self.computing_seconds = 0.0

    def compute(self, audio: np.ndarray, last: bool) -> list[StreamedText]:
        """The texts after the next samples ``[n]``: a chunk of ``needed``, or with ``last`` all that are left."""
        raise NotImplementedError

    def feed(self, samples: Any, rate: int = SAMPLE_RATE) -> list[StreamedText]:
        """Take the next samples ``[n]``, however many, and return new texts in order; none if no chunk is complete.

        Each chunk gives the text so far, and a final text where an utterance ended. Raises DataError for samples that
        cannot be used, and after `finish`.
        """
        self.push(samples, rate)
        texts = []
        while self.is_ready():
            texts += self.compute(self.next_chunk(), last=False)
        return texts

    def finish(self) -> list[StreamedText]:
        """End the stream, even in the middle of a word. Returns its last final text, if anything was said."""
        self.check_open()
        self.finished = True
        if not self.samples:  # the model would make a frame of the edges alone
            return []
        texts = self.compute(self.taken(self.samples_waiting()), last=True)
        return [text for text in texts if text.final] + self.end_utterance(self.utterance.end)

    # --- samples --------------------------------------------------------------------------------------------

    def push(self, samples: Any, rate: int = SAMPLE_RATE) -> None:
        """Take samples without computing anything, for streams that are advanced together."""
        self.check_open()
        self.waiting.append(stream_samples(samples, rate))
        self.samples += len(self.waiting[-1])

    @property
    def seconds(self) -> float:
        """Seconds of audio so far."""
        return self.samples / SAMPLE_RATE

    def check_open(self) -> None:
        if self.finished:
            raise DataError("the stream is finished: open another one")

    def is_ready(self) -> bool:
        """Whether a chunk is complete."""
        return self.samples_waiting() >= self.needed

    def samples_waiting(self) -> int:
        return self.samples - self.used

    def next_chunk(self) -> np.ndarray:
        """Take the samples of the next chunk out of those that wait."""
        samples, self.needed = self.taken(self.needed), self.chunks.samples
        return samples

    def taken(self, count: int) -> np.ndarray:
        """Take the next ``count`` samples out of those that wait; what waits behind them is not copied."""
        pieces = [np.zeros(0, np.float32)]
        while count and self.waiting:
            piece = self.waiting[0]
            pieces.append(piece[:count])
            self.waiting[:1] = [piece[count:]] if len(piece) > count else []
            count -= len(pieces[-1])
        samples = np.concatenate(pieces)
        self.used += len(samples)
        return samples

    # --- text -----------------------------------------------------------------------------------------------

    def hear(self, heard: Sequence[FrameTokens]) -> list[StreamedText]:
        """What was heard in each frame of a chunk → the text so far, after final texts where utterances ended."""
        texts = []
        for in_frame in heard:
            self.utterance.add(in_frame)
            utterance, silence = self.utterance, self.utterance.silence
            if self.endpoint.is_met(utterance.length, silence, self.chunks.frame_seconds):
                texts += self.end_utterance(self.cut() if silence < utterance.length else utterance.end)
        return texts + streamed(*self.text_of(self.utterance.spans), final=False)

    def cut(self) -> float:
        """Where to end an utterance: after it if an endpoint's silence follows, else before its last word.

        That word may go on: most frames within a word have no token.
        """
        utterance = self.utterance
        starts = [group[0].start for group in word_groups(utterance.spans, self.tokenizer)]
        is_over = utterance.silence * self.chunks.frame_seconds >= self.endpoint.after_speech
        return utterance.end if is_over or len(starts) < 2 else starts[-1]

    def end_utterance(self, place: float) -> list[StreamedText]:
        """End the utterance at this place in the stream; what comes after it begins the next one."""
        head, self.utterance = self.utterance.split(place)
        return streamed(*self.final_text(head), final=True)

    def final_text(self, utterance: StreamUtterance) -> tuple[str, list[Word]]:
        """The text of an utterance that is over, and its words."""
        return self.text_of(utterance.spans)

    def text_of(self, spans: Sequence[TokenSpan]) -> tuple[str, list[Word]]:
        text = detokenize(self.tokenizer, [span.token for span in spans])
        return text, words_of(spans, self.tokenizer, self.chunks.frame_seconds, self.seconds)


def streamed(text: str, words: list[Word], final: bool) -> list[StreamedText]:
    """The text with its times; nothing where there are no words."""
    return [StreamedText(text, final, words[0].start, words[-1].end, words)] if words else []


def note_time(streams: Sequence[TextStream], begun: float) -> None:
    """Note the time since ``begun``, in which the chunks of these streams were computed together."""
    seconds = time.perf_counter() - begun
    for stream in streams:
        stream.computing.append(seconds)
        stream.computing_seconds += seconds / len(streams)
