"""A stream of an exported model, by onnxruntime and numpy: imports neither torch nor SpeechBrain."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sentencepiece import SentencePieceProcessor

from data_prep.tokenizer import BLANK
from recipes.errors import RecipeError
from recipes.inference.onnx.info import ENCODER_FILE, STREAM, TRANSDUCER, OnnxInfo, OnnxStreamInfo
from recipes.inference.onnx.model import Session
from recipes.inference.onnx.steps import OnnxState, Steps
from recipes.inference.onnx.transducer import TransducerNetworks
from recipes.inference.streams.chunks import Chunks
from recipes.inference.streams.endpoint import Endpoint
from recipes.inference.streams.frame_tokens import FrameTokens, tokens_of_path
from recipes.inference.streams.text_stream import StreamedText, TextStream, note_time
from recipes.inference.transcripts.words import greedy_path


class OnnxListener(Protocol):
    """Finds tokens in the frames of one stream; as `recipes.inference.streams.listening.Listener`, without torch."""

    def start(self) -> Any:
        """The state before the first frame."""

    def hear(self, values: np.ndarray, state: Any) -> tuple[list[FrameTokens], Any]:
        """The tokens of each of the next frames ``[T, …]``, and the state after them."""


class OnnxCtcListener:
    """CTC's best output of every frame. Its state is the output of the last one."""

    def start(self) -> int:
        return BLANK

    def hear(self, values: np.ndarray, state: int) -> tuple[list[FrameTokens], int]:
        path, probabilities = greedy_path(values)
        return tokens_of_path([state, *path], probabilities), [state, *path][-1]


class OnnxStreamModel:
    """A file of `recipes.inference.export --part stream`, or the folder of a transducer.

    threads: of the CPU, None: one a core. Raises RecipeError, one line, for what is missing, of no use, or of another
    part.
    """

    def __init__(self, path: Path, threads: int | None = None):
        made_by, file = f"{path} --part {STREAM}", path / ENCODER_FILE if path.is_dir() else path
        session = Session(file, threads, made_by)
        part = OnnxInfo.from_metadata(session.metadata, str(file)).part
        if part != STREAM:
            raise RecipeError(f"{path} takes whole recordings: export the run with --part {STREAM} to stream")
        self.info = OnnxStreamInfo.from_metadata(session.metadata, str(file))
        if path.is_dir() != (self.info.head == TRANSDUCER):
            raise RecipeError(f"{path} is the encoder of a transducer: give its folder, {path.parent}")
        self.path, info = path, self.info
        self.tokenizer = SentencePieceProcessor(model_proto=info.tokenizer_proto)
        self.chunks = Chunks(info.chunk, info.samples_per_frame, info.first_samples)
        self.steps = Steps(session, self.chunks, info.state)
        self.listener: OnnxListener = (
            TransducerNetworks(path, info, threads, made_by) if path.is_dir() else OnnxCtcListener()
        )

    def stream(self, endpoint: Endpoint | None = None) -> "OnnxStream":
        """endpoint: when an utterance is over; None: the rules of `Endpoint`."""
        return OnnxStream(self, endpoint or Endpoint())


class OnnxStream(TextStream):
    """One stream of an exported model: what `recipes.inference.streams.stream.Stream` says of the same."""

    def __init__(self, model: OnnxStreamModel, endpoint: Endpoint):
        super().__init__(model.tokenizer, model.chunks, model.info.latency_ms, endpoint)
        self.model, self.listening = model, model.listener.start()
        self.state: OnnxState | None = None  # before the first samples

    def compute(self, audio: np.ndarray, last: bool) -> list[StreamedText]:
        if not last:
            return advance_by([self], [audio])[0]
        begun, (state, rest) = time.perf_counter(), self.begin(audio)
        texts = self.listen(self.model.steps.finish(rest[None], state)[0])
        note_time([self], begun)
        return texts

    def begin(self, samples: np.ndarray) -> tuple[OnnxState, np.ndarray]:
        """The state, and what is left of the next samples ``[n]`` after the first ones went into it."""
        if self.state is not None:
            return self.state, samples
        state, rest = self.model.steps.first_state(samples[None])
        return state, rest[0]

    def listen(self, values: np.ndarray) -> list[StreamedText]:
        """The texts after the next frames ``[T, …]``."""
        heard, self.listening = self.model.listener.hear(values, self.listening)
        return self.hear(heard)


def advance(streams: Sequence[OnnxStream]) -> list[list[StreamedText]]:
    """The next chunk of every stream of a model, which all have one complete, as one batch."""
    return advance_by(streams, [stream.next_chunk() for stream in streams])


def advance_by(streams: Sequence[OnnxStream], audios: Sequence[np.ndarray]) -> list[list[StreamedText]]:
    begun, steps = time.perf_counter(), streams[0].model.steps
    states, samples = zip(*(stream.begin(audio) for stream, audio in zip(streams, audios, strict=True)), strict=True)
    together = {name: np.concatenate([state[name] for state in states]) for name in steps.shapes}
    values, state = steps.step(np.stack(samples), together)
    texts = []
    for row, stream in enumerate(streams):
        stream.state = {name: value[row : row + 1] for name, value in state.items()}
        texts.append(stream.listen(values[row]))
    note_time(streams, begun)
    return texts
