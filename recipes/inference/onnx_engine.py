"""Transcribing with an exported model, by onnxruntime and numpy: imports neither torch nor SpeechBrain."""

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from sentencepiece import SentencePieceProcessor

from data_prep.errors import DataError
from data_prep.tokenizer import detokenize
from recipes.errors import RecipeError
from recipes.inference.engine import Outcome, read_batches
from recipes.inference.onnx_file import CTC, INSTALL, OnnxInfo
from recipes.inference.recordings import Recording
from recipes.inference.transcript import Transcript
from recipes.inference.windows import WINDOW, Windows
from recipes.inference.words import greedy_path, spans_of_path, words_of

WINDOWS_AT_ONCE = 2
# Options of transcribe.py that a run has and an exported model has not.
OF_A_RUN = ("ngram", "average", "piece", "batch_seconds", "device", "eval_precision", "trust")


class OnnxModel:
    """A file of `recipes.inference.export`. threads: of the CPU, None: one a core.

    Raises RecipeError, one line, for a file that is missing, of no use, or of the encoder alone.
    """

    def __init__(self, file: Path, threads: int | None = None):
        try:
            import onnxruntime
        except ImportError:
            raise RecipeError(f"onnxruntime is not installed: {INSTALL}") from None
        if not file.is_file():
            raise RecipeError(f"no file {file}: make one with python -m recipes.inference.export RUN {file}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own, which derive from nothing more special
            reason = str(error).splitlines()[0]
            raise RecipeError(f"{file} is no ONNX file that can be used: {reason}") from None
        self.info = OnnxInfo.from_metadata(self.session.get_modelmeta().custom_metadata_map, str(file))
        if self.info.part != CTC:
            raise RecipeError(f"{file} holds the {self.info.part} alone: export the run without --part to transcribe")
        self.file = file
        self.tokenizer = SentencePieceProcessor(model_proto=self.info.tokenizer_proto)
        self.frame_seconds = self.info.samples_per_frame / self.info.sample_rate

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Samples ``[samples]`` of each → its log probabilities ``[T, vocab_size]``."""
        lengths = np.array([len(audio) for audio in audios])
        padded = np.zeros((len(audios), lengths.max()), np.float32)
        for row, audio in zip(padded, audios, strict=True):
            row[: len(audio)] = audio
        log_probs, frames = self.session.run(None, {"audio": padded, "lengths": lengths})
        return [row[:count] for row, count in zip(log_probs, frames, strict=True)]


class OnnxEngine:
    """An `Engine`: greedy CTC, one recording at a time.

    window: seconds; longer recordings go in windows that overlap; None: in one pass where all mixers are linear, else
    in windows of 40 s.
    """

    def __init__(self, model: OnnxModel, window: float | None = None):
        self.model = model
        longest = window if window is not None or model.info.linear else WINDOW
        self.windows = Windows(longest, model.frame_seconds) if longest is not None else None

    def describe(self, longest: float) -> list[str]:
        info = self.model.info
        lines = [f"{self.model.file}: {info.recipe}, {info.mixer}, {info.precision}", "greedy CTC"]
        if self.windows is not None and longest > self.windows.seconds:
            margin = self.windows.margin * self.model.frame_seconds
            lines.append(f"long recordings: in windows of {self.windows.seconds:g} s that overlap by {2 * margin:g} s")
        return lines

    def transcribe_each(
        self, recordings: Sequence[Recording], *, nbest: int = 1, on_progress: Callable[[float], object] | None = None
    ) -> Iterator[Outcome]:
        """See `recipes.inference.engine.Engine`."""
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
            log_probs = self.log_probs(audio)
        except Exception as error:  # onnxruntime's own: in practice, memory that does not suffice
            reason = str(error).splitlines()[0]
            return Outcome(recording, None, DataError(f"{recording.name}: {reason}; a --window takes less memory"))
        duration = len(audio) / self.model.info.sample_rate
        spans, tokenizer = spans_of_path(*greedy_path(log_probs)), self.model.tokenizer
        transcript = Transcript(
            id=recording.id,
            text=detokenize(tokenizer, [span.token for span in spans]),
            duration=duration,
            words=words_of(spans, tokenizer, self.model.frame_seconds, duration),
            audio=recording.path,
        )
        return Outcome(recording, transcript)

    def log_probs(self, audio: np.ndarray) -> np.ndarray:
        """``[samples]`` → ``[T, vocab_size]``."""
        hop = self.model.info.samples_per_frame
        if self.windows is None or len(audio) <= self.windows.frames * hop:
            return self.model.log_probs([audio])[0]
        cut, parts = self.windows.cut(audio, hop), list[np.ndarray]()
        for first in range(0, len(cut), WINDOWS_AT_ONCE):
            parts += self.model.log_probs(cut[first : first + WINDOWS_AT_ONCE])
        return np.concatenate(self.windows.kept(parts))


def load_onnx_engine(own: Namespace, rest: Sequence[str]) -> OnnxEngine:
    """own: the options of transcribe.py itself; rest: those of a recipe. Raises RecipeError for what cannot be had."""
    given = [f"--{name}" for name in OF_A_RUN if getattr(own, name) is not None]
    if own.nbest > 1:
        given.append("--nbest")
    if given or rest:
        raise RecipeError(f"{(given or rest)[0]} needs a run: an exported model gives greedy CTC on the CPU alone")
    return OnnxEngine(OnnxModel(own.onnx, own.threads), own.window)
