"""Exported models, run by onnxruntime and numpy: imports neither torch nor SpeechBrain."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sentencepiece import SentencePieceProcessor

from data_prep.tokenizer import BLANK, END, START
from recipes.errors import RecipeError
from recipes.inference.onnx_file import (
    BEFORE_START,
    CTC,
    ENCODER_FILE,
    FROM_START,
    INSTALL,
    JOINT_FILE,
    PREDICTION_FILE,
    TRANSDUCER,
    OnnxInfo,
)
from recipes.inference.words import TokenSpan, greedy_path, shared_frame, spans_of_path


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


class Predicted(NamedTuple):
    """After the newest token: what the joint network takes ``[1, joint_size]``, and what the next one needs."""

    values: np.ndarray
    newest: np.ndarray
    state: Mapping[str, np.ndarray]


class OnnxTransducer(OnnxModel):
    """A folder of `recipes.inference.export --part transducer`, decoded greedily.

    The same tokens as `recipes.decoding.transducer.greedy_transducer`, which computes with torch. Raises RecipeError as
    `OnnxModel`, and for files of two models.
    """

    part, search = TRANSDUCER, "greedy transducer"

    def __init__(self, folder: Path, threads: int | None = None):
        made_by = f"{folder} --part {TRANSDUCER}"
        super().__init__(folder / ENCODER_FILE, threads, made_by)
        self.file = folder
        self.prediction = Session(folder / PREDICTION_FILE, threads, made_by)
        self.joint = Session(folder / JOINT_FILE, threads, made_by)
        for file, session in ((PREDICTION_FILE, self.prediction), (JOINT_FILE, self.joint)):
            if session.metadata.get("recipe_hash") != self.info.recipe_hash:
                raise RecipeError(f"{folder / file} is not of the model of {ENCODER_FILE}: export the run again")
        self.history = int(self.prediction.metadata["context_size"])
        self.max_symbols = int(self.joint.metadata["max_symbols"])

    def spans(self, encoded: np.ndarray) -> list[TokenSpan]:
        spans, predicted = list[TokenSpan](), self.begun()
        for frame in range(len(encoded)):
            tokens: list[tuple[int, float]] = []
            while len(tokens) < self.max_symbols:
                token, probability = self.next_output(encoded[frame : frame + 1], predicted)
                if token == BLANK:
                    break
                tokens.append((token, probability))
                predicted = self.predict(token, predicted)
            spans += shared_frame(frame, tokens)
        return spans

    def next_output(self, frame: np.ndarray, predicted: Predicted) -> tuple[int, float]:
        """The likeliest output and its probability. frame: ``[1, joint_size]``."""
        (logits,) = self.joint(encoder_out=frame, decoder_out=predicted.values)
        largest = logits[0].max()
        probabilities = np.exp(logits[0] - largest)
        probabilities /= probabilities.sum()
        probabilities[[START, END]] = -1.0
        token = int(probabilities.argmax())
        return token, float(probabilities[token])

    def begun(self) -> Predicted:
        """Before the first token of a text."""
        shapes = {name: shape for name, shape in self.prediction.inputs.items() if name != "y"}
        state = {name: np.zeros((1, *shape[1:]), np.float32) for name, shape in shapes.items()}
        newest = np.full((1, self.history), BEFORE_START)
        return self.predict(FROM_START, Predicted(np.zeros(0), newest, state))

    def predict(self, token: int, before: Predicted) -> Predicted:
        newest = np.append(before.newest[:, 1:], [[token]], 1)
        values, *state = self.prediction(y=newest, **before.state)
        return Predicted(values, newest, dict(zip(before.state, state, strict=True)))


def open_model(path: Path, threads: int | None = None) -> OnnxModel:
    """A file, or the folder of a transducer. Raises RecipeError as the classes do."""
    return OnnxTransducer(path, threads) if path.is_dir() else OnnxModel(path, threads)
