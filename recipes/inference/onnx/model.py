"""Exported models, run by onnxruntime and numpy: imports neither torch nor SpeechBrain."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sentencepiece import SentencePieceProcessor

from recipes.errors import RecipeError
from recipes.inference.onnx.info import CTC, INSTALL, STREAM, TRANSDUCER, OnnxInfo
from recipes.inference.transcripts.words import TokenSpan, greedy_path, spans_of_path


class Session:
    """An ONNX file, open. metadata: what it says of itself.

    threads: of the CPU, None: one a core. made_by: options of the command that writes it. Raises RecipeError, one
    line, for a file that is missing or of no use.
    """

    def __init__(self, file: Path, threads: int | None, made_by: str):
        try:
            import onnxruntime
        except ImportError:
            raise RecipeError(f"onnxruntime is not installed: {INSTALL}") from None
        if not file.is_file():
            raise RecipeError(f"no file {file}: make one with python -m recipes.inference.export RUN {made_by}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own, which derive from nothing more special
            reason = str(error).splitlines()[0]
            raise RecipeError(f"{file} is no ONNX file that can be used: {reason}") from None
        self.metadata: Mapping[str, str] = self.session.get_modelmeta().custom_metadata_map
        self.inputs: Mapping[str, Sequence[Any]] = {value.name: value.shape for value in self.session.get_inputs()}

    def __call__(self, **inputs: np.ndarray) -> list[np.ndarray]:
        return self.session.run(None, inputs)


class OnnxModel:
    """A file of `recipes.inference.export` with a CTC head, decoded greedily. threads: of the CPU, None: one a core.

    Raises RecipeError, one line, for a file that is missing, of no use, or of another part.
    """

    part, search = CTC, "greedy CTC"

    def __init__(self, file: Path, threads: int | None = None, made_by: str | None = None):
        self.session = Session(file, threads, made_by or str(file))
        self.info = OnnxInfo.from_metadata(self.session.metadata, str(file))
        if self.info.part == TRANSDUCER != self.part:
            raise RecipeError(f"{file} is the encoder of a transducer: give its folder, {file.parent}")
        if self.info.part == STREAM:
            raise RecipeError(f"{file} goes chunk by chunk: give --stream, or export the run without --part")
        if self.info.part != self.part:
            raise RecipeError(f"{file} holds the {self.info.part} alone: export the run without --part to transcribe")
        self.file = file
        self.tokenizer = SentencePieceProcessor(model_proto=self.info.tokenizer_proto)
        self.frame_seconds = self.info.samples_per_frame / self.info.sample_rate

    def encode(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Samples ``[samples]`` of each → its log probabilities ``[T, vocab_size]``; of a transducer, its frames."""
        lengths = np.array([len(audio) for audio in audios])
        padded = np.zeros((len(audios), lengths.max()), np.float32)
        for row, audio in zip(padded, audios, strict=True):
            row[: len(audio)] = audio
        values, frames = self.session(audio=padded, lengths=lengths)
        return [row[:count] for row, count in zip(values, frames, strict=True)]

    def spans(self, encoded: np.ndarray) -> list[TokenSpan]:
        """The tokens of a recording, of what ``encode`` gives for it."""
        return spans_of_path(*greedy_path(encoded))
