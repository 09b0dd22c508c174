"""A stream of a recogniser, by torch."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from mixers import Context
from recipes.errors import RecipeError
from recipes.inference.audio.recordings import Recording
from recipes.inference.recognition.recognition import Encoding, Recognition
from recipes.inference.streams.chunks import Chunks, check_chunks
from recipes.inference.streams.endpoint import Endpoint
from recipes.inference.streams.frame_tokens import FrameTokens
from recipes.inference.streams.listening import listener_of
from recipes.inference.streams.text_stream import StreamedText, TextStream, note_time
from recipes.inference.streams.utterance import StreamUtterance
from recipes.inference.transcripts.transcript import Word
from recipes.models.recogniser import StreamState
from recipes.models.streaming import join, select, state_shape


class LiveState(NamedTuple):
    """The states of the model, up to its frames, and of the listener that finds tokens in them; batch first."""

    model: StreamState
    listener: Any


class Stream(TextStream):
    """One stream of a recogniser; `Transcriber.stream` opens it.

    Each chunk is decoded greedily as soon as it is complete: by the transducer if the recipe searches with one, else by
    CTC. The tokens of all utterances together are those of `forward(…, context)` over the whole recording.
    rescore: final texts come from the recogniser's search over the frames of the utterance. Raises RecipeError if the
    model cannot stream, and for values out of range.
    """

    def __init__(self, recognise: Recognition, context: Context, endpoint: Endpoint, rescore: bool = False):
        check_chunks(*context)
        if rescore and recognise.search is None:
            raise RecipeError("rescore: the recogniser has no search (test_search is null): leave it out")
        model = recognise.model
        chunks = Chunks(context.chunk, model.frame_samples, model.features.latency_samples)
        super().__init__(recognise.tokenizer, chunks, model.algorithmic_latency_ms(context), endpoint)
        self.recognise, self.context, self.rescore = recognise, context, rescore
        self.listener = listener_of(model.decoder, recognise.search)
        try:
            with torch.inference_mode():
                self.state = LiveState(model.init_state(1, context), self.listener.start(1))
        except ValueError as error:
            raise RecipeError(str(error)) from None

    @torch.inference_mode()
    def compute(self, audio: np.ndarray, last: bool) -> list[StreamedText]:
        (outcome,) = step([self], torch.from_numpy(audio)[None].to(self.recognise.device), last)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def hear_chunk(
        self, heard: Sequence[FrameTokens], frames: torch.Tensor, log_probs: torch.Tensor
    ) -> list[StreamedText]:
        """As `hear`. frames ``[T, d_model]`` and CTC's log probabilities, on the CPU, are kept for a later search."""
        if self.rescore:
            self.utterance.frames += frames
            self.utterance.log_probs += log_probs
        return self.hear(heard)

    def final_text(self, utterance: StreamUtterance) -> tuple[str, list[Word]]:
        """With ``rescore``, by the search over the frames of the utterance."""
        if not (self.rescore and utterance.length):
            return super().final_text(utterance)
        recognise, seconds = self.recognise, self.recognise.frame_seconds
        device, first = recognise.device, utterance.first * seconds
        encoding = Encoding(torch.stack(utterance.frames).to(device), torch.stack(utterance.log_probs).to(device))
        (parts,) = recognise.search_all([encoding])
        transcript = recognise.transcript(Recording("stream"), utterance.length * seconds, encoding, parts, 1)
        words = [replace(word, start=word.start + first, end=word.end + first) for word in transcript.words]
        return transcript.text, words


Outcome = list[StreamedText] | Exception


def advance(streams: Sequence[Stream]) -> list[Outcome]:
    """Compute the next chunk of every stream, all of which must have one complete. Returns the texts of each stream.

    In the place of a stream that failed stands its exception: the others have heard their chunk, and go on.

    Streams under the same context are computed as one batch, although they may have begun at different times. Only
    attention with all the past in view needs a batch for each age, because its states have different sizes.
    """
    outcomes: dict[int, Outcome] = {}
    groups: dict[tuple, list[int]] = {}
    for number, stream in enumerate(streams):
        key = (id(stream.recognise), stream.context, stream.needed, state_shape(stream.state))
        groups.setdefault(key, []).append(number)
    for numbers in groups.values():
        group = [streams[number] for number in numbers]
        audio = torch.stack([torch.from_numpy(stream.next_chunk()) for stream in group])
        try:
            with torch.inference_mode():
                outcomes |= zip(numbers, step(group, audio.to(group[0].recognise.device)), strict=True)
        except Exception as error:
            outcomes |= dict.fromkeys(numbers, error)
    return [outcomes[number] for number in range(len(streams))]


def step(streams: Sequence[Stream], audio: torch.Tensor, last: bool = False) -> list[Outcome]:
    """The next samples ``[streams, n]`` of streams whose states are alike. An exception is that of a stream alone."""
    recognise, begun = streams[0].recognise, time.perf_counter()
    state = join([stream.state for stream in streams])
    with recognise.autocast():
        output, model = recognise.model.step(audio, state.model, last)
        log_probs = output.ctc_logits.float().log_softmax(-1)
        heard, listener = streams[0].listener.hear(output.encoded.frames, log_probs, state.listener)
    state, frames, log_probs = LiveState(model, listener), output.encoded.frames.cpu(), log_probs.cpu()
    outcomes: list[Outcome] = []
    for row, stream in enumerate(streams):
        stream.state = select(state, [row])
        try:
            outcomes.append(stream.hear_chunk(heard[row], frames[row], log_probs[row]))
        except Exception as error:  # of a search with --rescore
            outcomes.append(error)
    note_time(streams, begun)
    return outcomes
