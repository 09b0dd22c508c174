"""A transducer as ONNX files, decoded greedily: imports neither torch nor SpeechBrain."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.tokenizer import BLANK, END, START
from recipes.errors import RecipeError
from recipes.inference.onnx.info import (
    BEFORE_START,
    ENCODER_FILE,
    FROM_START,
    JOINT_FILE,
    PREDICTION_FILE,
    TRANSDUCER,
    OnnxInfo,
)
from recipes.inference.onnx.model import OnnxModel, Session
from recipes.inference.streams.frame_tokens import FrameTokens
from recipes.inference.transcripts.words import TokenSpan, shared_frame


class Predicted(NamedTuple):
    """The prediction after the newest token, ``[1, joint_size]``, and what predicting after the next one needs."""

    values: np.ndarray
    newest: np.ndarray
    state: Mapping[str, np.ndarray]


class TransducerNetworks:
    """The prediction and the joint network of a folder: they hear the frames of a recording, or of a stream.

    The same tokens as `recipes.decoding.transducer.greedy_transducer`, which computes with torch. info: of the encoder.
    made_by: options of the command that writes the folder. Raises RecipeError for files that are missing or of another
    model.
    """

    def __init__(self, folder: Path, info: OnnxInfo, threads: int | None, made_by: str):
        self.prediction = Session(folder / PREDICTION_FILE, threads, made_by)
        self.joint = Session(folder / JOINT_FILE, threads, made_by)
        for file, session in ((PREDICTION_FILE, self.prediction), (JOINT_FILE, self.joint)):
            if session.metadata.get("recipe_hash") != info.recipe_hash:
                raise RecipeError(f"{folder / file} is not of the model of {ENCODER_FILE}: export the run again")
        self.history = int(self.prediction.metadata["context_size"])
        self.max_symbols = int(self.joint.metadata["max_symbols"])

    def start(self) -> Predicted:
        """The prediction before the first token of a text."""
        shapes = {name: shape for name, shape in self.prediction.inputs.items() if name != "y"}
        state = {name: np.zeros((1, *shape[1:]), np.float32) for name, shape in shapes.items()}
        newest = np.full((1, self.history), BEFORE_START)
        return self.predict(FROM_START, Predicted(np.zeros(0), newest, state))

    def hear(self, values: np.ndarray, state: Predicted) -> tuple[list[FrameTokens], Predicted]:
        """The tokens of each of the next frames ``[T, joint_size]``, and the state after them."""
        heard = []
        for frame in range(len(values)):
            tokens: list[tuple[int, float]] = []
            while len(tokens) < self.max_symbols:
                token, probability = self.next_output(values[frame : frame + 1], state)
                if token == BLANK:
                    break
                tokens.append((token, probability))
                state = self.predict(token, state)
            heard.append(FrameTokens(tuple(tokens)))
        return heard, state

    def next_output(self, frame: np.ndarray, predicted: Predicted) -> tuple[int, float]:
        """The likeliest output and its probability. frame: ``[1, joint_size]``."""
        (logits,) = self.joint(encoder_out=frame, decoder_out=predicted.values)
        largest = logits[0].max()
        probabilities = np.exp(logits[0] - largest)
        probabilities /= probabilities.sum()
        probabilities[[START, END]] = -1.0
        token = int(probabilities.argmax())
        return token, float(probabilities[token])

    def predict(self, token: int, before: Predicted) -> Predicted:
        newest = np.append(before.newest[:, 1:], [[token]], 1)
        values, *state = self.prediction(y=newest, **before.state)
        return Predicted(values, newest, dict(zip(before.state, state, strict=True)))


class OnnxTransducer(OnnxModel):
    """A folder of `recipes.inference.export --part transducer`, decoded greedily.

    Raises RecipeError as `OnnxModel`, and for files of two models.
    """

    part, search = TRANSDUCER, "greedy transducer"

    def __init__(self, folder: Path, threads: int | None = None):
        made_by = f"{folder} --part {TRANSDUCER}"
        super().__init__(folder / ENCODER_FILE, threads, made_by)
        self.file, self.networks = folder, TransducerNetworks(folder, self.info, threads, made_by)

    def spans(self, encoded: np.ndarray) -> list[TokenSpan]:
        heard, _ = self.networks.hear(encoded, self.networks.start())
        return [span for frame, in_frame in enumerate(heard) for span in shared_frame(frame, in_frame.tokens)]


def open_model(path: Path, threads: int | None = None) -> OnnxModel:
    """A file, or the folder of a transducer. Raises RecipeError as the classes do."""
    return OnnxTransducer(path, threads) if path.is_dir() else OnnxModel(path, threads)
