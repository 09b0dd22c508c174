"""A stream: samples in as they come, partial and final text out."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from data_prep.errors import DataError
from mixers import Context
from recipes.errors import RecipeError
from recipes.inference.audio import SAMPLE_RATE, check_scale, shares
from recipes.inference.endpoint import Endpoint
from recipes.inference.listening import Heard
from recipes.inference.recognition import Encoding, Recognition
from recipes.inference.recordings import Recording
from recipes.inference.transcript import Word
from recipes.inference.utterance import Utterance
from recipes.inference.words import TokenSpan, word_groups, words_of
from recipes.models.recogniser import StreamState as ModelState
from recipes.models.streaming import join, select, state_shape

RECENT = 10_000  # chunks whose times are kept


@dataclass(frozen=True)
class StreamedText:
    """The utterance at hand. final: nothing of it will change. Times are seconds from the beginning of the stream."""

    text: str
    final: bool
    start: float
    end: float
    words: list[Word] = field(default_factory=list)


class StreamState(NamedTuple):
    """Of the model up to its frames, and of what listens to them; batch first."""

    model: ModelState
    listener: Any


class Stream:
    """One stream of a recogniser; `Transcriber.stream` opens it.

    Text is greedy, of each chunk as soon as it is complete: of the transducer where the recipe searches with it, else
    of CTC. The tokens of all utterances together are those of `forward(…, context)` over the whole. Memory grows with
    time only where the model's state does.
    rescore: final texts are those of the recogniser's search over the frames of the utterance. Raises RecipeError
    where the model cannot stream, and for values that cannot be.
    """

    def __init__(self, recognise: Recognition, context: Context, endpoint: Endpoint, rescore: bool = False):
        check_context(context)
        endpoint.check()
        if rescore and recognise.search is None:
            raise RecipeError("rescore: the recogniser has no search (test_search is null): leave it out")
        self.recognise, self.context, self.endpoint, self.rescore = recognise, context, endpoint, rescore
        model = recognise.model
        try:
            with torch.inference_mode():
                self.state = StreamState(model.init_state(1, context), recognise.listener.start(1))
        except ValueError as error:
            raise RecipeError(str(error)) from None
        self.utterance, self.finished, self.samples = Utterance(0), False, 0
        self.waiting: list[np.ndarray] = []
        # The first chunk needs more: half a window beyond its end.
        self.needed = context.chunk * model.frame_samples + model.features.latency_samples
        self.latency_ms = model.algorithmic_latency_ms(context)
        # Seconds that the last chunks took, and all of them together.
        self.computing: deque[float] = deque(maxlen=RECENT)
        self.computing_seconds = 0.0

    def feed(self, samples: Any, rate: int = SAMPLE_RATE) -> list[StreamedText]:
        """The next samples ``[n]``, however many: what they made known, in order; nothing where no chunk is complete.

        After each chunk the text so far, and a final text where an utterance ended. Raises DataError for samples that
        cannot be used and after `finish`.
        """
        self.push(samples, rate)
        texts = []
        while self.is_ready():
            texts += advance([self])[0]
        return texts

    def finish(self) -> list[StreamedText]:
        """The stream ends here, also in the middle of a word: its last final text, if anything was said."""
        self.check_open()
        self.finished = True
        with torch.inference_mode():
            audio = torch.from_numpy(self.taken(self.samples_waiting()))[None].to(self.recognise.device)
            texts = step([self], audio, last=True)[0]
            return [text for text in texts if text.final] + self.end_utterance(self.utterance.end)

    # --- samples --------------------------------------------------------------------------------------------

    def push(self, samples: Any, rate: int = SAMPLE_RATE) -> None:
        """Take samples without computing anything, for streams that are advanced together."""
        self.check_open()
        self.waiting.append(checked(samples, rate))
        self.samples += len(self.waiting[-1])

    @property
    def seconds(self) -> float:
        """Of audio so far."""
        return self.samples / SAMPLE_RATE

    def check_open(self) -> None:
        if self.finished:
            raise DataError("the stream is finished: open another one")

    def is_ready(self) -> bool:
        """Whether a chunk is complete."""
        return self.samples_waiting() >= self.needed

    def samples_waiting(self) -> int:
        return sum(map(len, self.waiting))

    def taken(self, count: int) -> np.ndarray:
        """The next ``count`` samples, which wait no more."""
        samples = np.concatenate([*self.waiting, np.zeros(0, np.float32)])
        self.waiting = [samples[count:]] if len(samples) > count else []
        return samples[:count]

    # --- text -----------------------------------------------------------------------------------------------

    def hear(self, heard: Sequence[Heard], frames: torch.Tensor, log_probs: torch.Tensor) -> list[StreamedText]:
        """A chunk: what was heard in each frame, the frames ``[T, d_model]``, CTC's log probabilities, on the CPU."""
        texts = []
        for number, in_frame in enumerate(heard):
            utterance = self.utterance
            utterance.add(in_frame)
            if self.rescore:
                utterance.frames.append(frames[number])
                utterance.log_probs.append(log_probs[number])
            silence = utterance.silence
            if self.endpoint.is_met(utterance.length, silence, self.recognise.frame_seconds):
                texts += self.end_utterance(self.cut() if silence < utterance.length else utterance.end)
        words = self.words(self.utterance.spans)
        if words:
            texts.append(self.text_of(words, final=False))
        return texts

    def cut(self) -> float:
        """Where an utterance ends that is over: before its last word, which may go on, unless silence follows it."""
        utterance = self.utterance
        starts = [group[0].start for group in word_groups(utterance.spans, self.recognise.tokenizer)]
        return starts[-1] if len(starts) > 1 and not utterance.silence else utterance.end

    def end_utterance(self, place: float) -> list[StreamedText]:
        """What lies before this place in the stream is over; what comes after it begins the next utterance."""
        head, self.utterance = self.utterance.split(place)
        words = self.rescored(head) if self.rescore and head.length else self.words(head.spans)
        return [self.text_of(words, final=True)] if words else []

    def words(self, spans: Sequence[TokenSpan]) -> list[Word]:
        return words_of(spans, self.recognise.tokenizer, self.recognise.frame_seconds, self.seconds)

    def rescored(self, utterance: Utterance) -> list[Word]:
        """By the search, over the frames of the utterance."""
        recognise, seconds = self.recognise, self.recognise.frame_seconds
        device, first = recognise.device, utterance.first * seconds
        encoding = Encoding(torch.stack(utterance.frames).to(device), torch.stack(utterance.log_probs).to(device))
        (parts,) = recognise.search_all([encoding])
        transcript = recognise.transcript(Recording("stream"), utterance.length * seconds, encoding, parts, 1)
        return [replace(word, start=word.start + first, end=word.end + first) for word in transcript.words]

    def text_of(self, words: Sequence[Word], final: bool) -> StreamedText:
        text = " ".join(word.text for word in words)
        return StreamedText(text, final, words[0].start, words[-1].end, list(words))


def advance(streams: Sequence[Stream]) -> list[list[StreamedText]]:
    """The next chunk of every stream, which all have one complete: what each has to say of it.

    Streams under one context are computed as one batch, at whatever time each began, as far as their states are alike:
    always for mixers that keep sums, and for attention where the streams are equally old.
    """
    texts: list[list[StreamedText]] = [[] for _ in streams]
    groups: dict[tuple, list[int]] = {}
    for number, stream in enumerate(streams):
        key = (id(stream.recognise), stream.context, stream.needed, state_shape(stream.state))
        groups.setdefault(key, []).append(number)
    for numbers in groups.values():
        group = [streams[number] for number in numbers]
        audio = torch.stack([torch.from_numpy(stream.taken(stream.needed)) for stream in group])
        with torch.inference_mode():
            for number, spoken in zip(numbers, step(group, audio.to(group[0].recognise.device)), strict=True):
                texts[number] = spoken
        for stream in group:
            stream.needed = stream.context.chunk * stream.recognise.model.frame_samples
    return texts


def step(streams: Sequence[Stream], audio: torch.Tensor, last: bool = False) -> list[list[StreamedText]]:
    """The next samples ``[streams, n]`` of streams whose states are alike."""
    recognise, begun = streams[0].recognise, time.perf_counter()
    state = join([stream.state for stream in streams])
    with recognise.autocast():
        output, model = recognise.model.step(audio, state.model, last)
        log_probs = output.ctc_logits.float().log_softmax(-1)
        heard, listener = recognise.listener.hear(output.encoded.frames, log_probs, state.listener)
    state, frames, log_probs = StreamState(model, listener), output.encoded.frames.cpu(), log_probs.cpu()
    texts = []
    for row, stream in enumerate(streams):
        stream.state = select(state, [row])
        texts.append(stream.hear(heard[row], frames[row], log_probs[row]))
    seconds = time.perf_counter() - begun
    for stream in streams:
        stream.computing.append(seconds)
        stream.computing_seconds += seconds / len(streams)
    return texts


def check_context(context: Context) -> None:
    """Raises RecipeError for a chunk without a frame."""
    for name, least, value in (("chunk", 1, context.chunk), ("left_chunks", 0, context.left_chunks)):
        if value is not None and not (isinstance(value, int) and value >= least):
            raise RecipeError(f"{name} must be a whole number from {least} up, not {value}")


def checked(samples: Any, rate: int) -> np.ndarray:
    """``[n]`` in float32. Raises DataError for another rate, shape or type, and for values that are no shares."""
    if rate != SAMPLE_RATE:
        raise DataError(f"a stream takes samples at {SAMPLE_RATE} Hz, not {rate}: resample them first")
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise DataError(f"samples of shape {list(samples.shape)}; a stream takes [samples], one channel")
    check_scale(samples, "a stream")
    samples = shares(samples, "a stream")
    if not np.isfinite(samples).all():
        raise DataError("samples that are no numbers (NaN or infinity)")
    return samples.astype(np.float32)
