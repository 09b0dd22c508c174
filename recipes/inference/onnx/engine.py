"""Transcribing with an exported model, by onnxruntime and numpy: imports neither torch nor SpeechBrain."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from data_prep.errors import DataError
from data_prep.tokenizer import detokenize
from recipes.inference.audio.prefetch import read_batches
from recipes.inference.audio.recordings import Recording
from recipes.inference.long_recordings.windows import WINDOW, Windows
from recipes.inference.onnx.model import OnnxModel
from recipes.inference.recognition.engine import Outcome
from recipes.inference.transcripts.transcript import Transcript
from recipes.inference.transcripts.words import words_of

WINDOWS_AT_ONCE = 2


class OnnxEngine:
    """An `Engine` that decodes greedily, one recording at a time.

    window: seconds; longer recordings are encoded in overlapping windows. None: in one pass if all mixers are linear,
    else in windows of 40 s.
    """

    def __init__(self, model: OnnxModel, window: float | None = None):
        self.model = model
        longest = window if window is not None or model.info.linear else WINDOW
        self.windows = Windows(longest, model.frame_seconds) if longest is not None else None

    def describe(self, longest: float) -> list[str]:
        info = self.model.info
        lines = [f"{self.model.file}: {info.recipe}, {info.mixer}, {info.precision}", self.model.search]
        if self.windows is not None and longest > self.windows.seconds:
            margin = self.windows.margin * self.model.frame_seconds
            lines.append(f"long recordings: in windows of {self.windows.seconds:g} s that overlap by {2 * margin:g} s")
        return lines

    def transcribe_each(
        self, recordings: Sequence[Recording], *, nbest: int = 1, on_progress: Callable[[float], object] | None = None
    ) -> Iterator[Outcome]:
        """See `recipes.inference.recognition.engine.Engine`."""
        for number, batch in enumerate(read_batches(recordings, [[place] for place in range(len(recordings))])):
            recording = recordings[number]
            if number in batch.errors:
                yield Outcome(recording, None, batch.errors[number])
                continue
            yield self.transcribe(recording, batch.audios[number])
            if on_progress:
                on_progress(len(batch.audios[number]) / self.model.info.sample_rate)

    def transcribe(self, recording: Recording, audio: np.ndarray) -> Outcome:
        try:
            encoded = self.encode(audio)
        except Exception as error:  # onnxruntime's own: in practice, memory that does not suffice
            reason = str(error).splitlines()[0]
            return Outcome(recording, None, DataError(f"{recording.name}: {reason}; a --window takes less memory"))
        duration = len(audio) / self.model.info.sample_rate
        spans, tokenizer = self.model.spans(encoded), self.model.tokenizer
        transcript = Transcript(
            id=recording.id,
            text=detokenize(tokenizer, [span.token for span in spans]),
            duration=duration,
            words=words_of(spans, tokenizer, self.model.frame_seconds, duration),
            audio=recording.path and recording.name,
        )
        return Outcome(recording, transcript)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """``[samples]`` → what the model makes of each frame, ``[T, …]``."""
        hop = self.model.info.samples_per_frame
        if self.windows is None or len(audio) <= self.windows.frames * hop:
            return self.model.encode([audio])[0]
        cut, parts = self.windows.cut(audio, hop), list[np.ndarray]()
        for first in range(0, len(cut), WINDOWS_AT_ONCE):
            parts += self.model.encode(cut[first : first + WINDOWS_AT_ONCE])
        return np.concatenate(self.windows.kept(parts))
