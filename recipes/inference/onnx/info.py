"""What an exported model says of itself, in the metadata of its file. Imports no torch."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from recipes.errors import RecipeError

FORMAT = 1  # goes up when files are written that older versions would misread
CTC, ENCODER, TRANSDUCER, STREAM = "ctc", "encoder", "transducer", "stream"  # parts that can be exported
# A transducer is a folder of three, named as sherpa-onnx names them, and the pieces with their numbers.
ENCODER_FILE, PREDICTION_FILE, JOINT_FILE, TOKENS_FILE = "encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt"
FROM_START, BEFORE_START = 0, -1  # tokens before a text, for its prediction network: sherpa-onnx's convention
INSTALL = "pip install -r requirements-onnx.txt"


@dataclass(frozen=True)
class OnnxInfo:
    """Every value is kept as text: text as it is, others as JSON.

    part: `ctc`, from samples to log probabilities; `encoder`, from log mel features to frames; `transducer`, the
    encoder of one, from samples to what its joint network takes; or `stream`, see `OnnxStreamInfo`. samples_per_frame:
    frame t stands for the audio around sample t times this. linear: whether time and memory grow in proportion to the
    audio. recipe_hash: of the recipe. precision: float32 or int8. vocabulary: the pieces, by output; 0 is the blank.
    tokenizer: the SentencePiece model, in base64.
    """

    format: int
    part: str
    sample_rate: int
    samples_per_frame: int
    linear: bool
    precision: str
    recipe: str
    recipe_hash: str
    mixer: str
    vocabulary: list[str]
    tokenizer: str

    def to_metadata(self) -> dict[str, str]:
        return {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], file: str) -> Self:
        """Raises RecipeError for a file that is not of this project, and for one of a newer format."""
        missing = [field.name for field in fields(cls) if field.name not in metadata]
        if missing:
            raise RecipeError(
                f"{file} has no metadata of this project ({missing[0]} is missing): export a run with python -m "
                "recipes.inference.export"
            )
        try:
            values: dict[str, Any] = {
                field.name: metadata[field.name] if field.type is str else json.loads(metadata[field.name])
                for field in fields(cls)
            }
        except ValueError:
            raise RecipeError(f"{file}: its metadata are damaged: export the run again") from None
        if values["format"] > FORMAT:
            raise RecipeError(f"{file} is of format {values['format']}, and this version reads {FORMAT}: update it")
        return cls(**values)

    @property
    def tokenizer_proto(self) -> bytes:
        return base64.b64decode(self.tokenizer)


@dataclass(frozen=True)
class OnnxStreamInfo(OnnxInfo):
    """The metadata of a file that takes the next chunk of streams and their state, and returns outputs and new state.

    head: which outputs: log probabilities of `ctc`, or the input of a `transducer`'s joint network. chunk: frames in a
    chunk. left_chunks: chunks that it sees before it; None: all the past. latency_ms: how long the first sample of a
    chunk waits until the chunk is complete. first_samples: how many samples of a new stream go into its first state, at
    the end of `features.samples`; the rest of this state is zero. state: for each name the type, then the sizes for one
    stream. The new state has `next_` before the name.
    """

    head: str
    chunk: int
    left_chunks: int | None
    latency_ms: float
    first_samples: int
    state: dict[str, list[Any]]
