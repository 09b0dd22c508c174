"""Trained models as ONNX files, each with what it says of itself in its metadata."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import onnx

from data_prep.files import write_atomically
from mixers import Context
from recipes.asr.contexts import tested_context
from recipes.decoding.transducer import MAX_SYMBOLS
from recipes.errors import RecipeError
from recipes.files import new_folder
from recipes.inference.audio.samples import SAMPLE_RATE
from recipes.inference.export.graph import converted
from recipes.inference.export.parts import (
    PARTS,
    PREDICTIONS,
    JointPart,
    Part,
    TransducerEncoderPart,
    transducer_of,
)
from recipes.inference.export.stream_parts import StreamPart, TransducerStreamPart
from recipes.inference.onnx.info import (
    CTC,
    ENCODER_FILE,
    FORMAT,
    JOINT_FILE,
    PREDICTION_FILE,
    STREAM,
    TOKENS_FILE,
    TRANSDUCER,
    OnnxInfo,
    OnnxStreamInfo,
)
from recipes.inference.recognition.loaded_model import LoadedModel

INT8 = "int8"


class Exported(NamedTuple):
    """info: what the file says of itself; difference: the largest from torch's output, in real frames."""

    info: OnnxInfo
    difference: float


def export_model(loaded: LoadedModel, out: Path, *, part: str = CTC, int8: bool = False) -> Exported:
    """Write the ONNX file `out` of a model. int8: weights of matrix products as 8-bit numbers, one scale a column.

    Raises RecipeError where the model cannot be exported, or its export does not give what torch gives.
    """
    check_context(loaded)
    return write_file(PARTS[part](loaded.model.eval().cpu()), info_of(loaded, part, int8), out)


def export_transducer(loaded: LoadedModel, folder: Path, *, int8: bool = False) -> Exported:
    """Write the folder of a transducer, as `export`: encoder, prediction network, joint network, and their tokens.

    Raises RecipeError as `export`, and for a model that has no transducer.
    """
    transducer_of(loaded.model)
    check_context(loaded)
    encoder = TransducerEncoderPart(loaded.model.eval().cpu())
    return write_transducer(loaded, encoder, info_of(loaded, TRANSDUCER, int8), folder)


def export_stream(
    loaded: LoadedModel, out: Path, context: Context, *, transducer: bool = False, int8: bool = False
) -> Exported:
    """Write the file `out` of a model that streams, from a chunk to CTC's log probabilities, as `export`.

    transducer: the folder `out`, as `export_transducer`, with an encoder that goes chunk by chunk. Raises RecipeError
    as they do, and for a model that cannot stream.
    """
    if transducer:
        transducer_of(loaded.model)
    part = (TransducerStreamPart if transducer else StreamPart)(loaded.model.eval().cpu(), context)
    info = OnnxStreamInfo(
        **vars(info_of(loaded, STREAM, int8)),
        head=part.head_name,
        chunk=context.chunk,
        left_chunks=context.left_chunks,
        latency_ms=loaded.model.algorithmic_latency_ms(context),
        first_samples=part.chunks.first_samples,
        state=part.state_shapes(),
    )
    return write_transducer(loaded, part, info, out) if transducer else write_file(part, info, out)


def check_context(loaded: LoadedModel) -> None:
    """Raises RecipeError for a model whose recipe decodes in chunks: a graph of whole recordings gives other texts."""
    context = tested_context(loaded.recipe.hparams)
    if context is not None:
        left = "" if context.left_chunks is None else f" --left_chunks {context.left_chunks}"
        raise RecipeError(
            f"{loaded.name}: its recipe decodes in chunks (test_chunk {context.chunk}), and this file would see whole "
            f"recordings: give --part stream --chunk {context.chunk}{left}"
        )


def write_file(part: Part, info: OnnxInfo, out: Path) -> Exported:
    content, difference = converted(part, info.mixer, is_int8(info))
    out.parent.mkdir(parents=True, exist_ok=True)
    save(content, out, info.to_metadata())
    return Exported(info, difference)


def write_transducer(loaded: LoadedModel, encoder: Part, info: OnnxInfo, folder: Path) -> Exported:
    decoder = transducer_of(loaded.model)
    prediction = PREDICTIONS[type(decoder.prediction)](decoder)
    sizes = {"context_size": prediction.history, "vocab_size": len(info.vocabulary), "recipe_hash": info.recipe_hash}
    joint = {
        "joiner_dim": decoder.out.in_features,
        "max_symbols": getattr(loaded.search, "max_symbols", MAX_SYMBOLS),
        "recipe_hash": info.recipe_hash,
    }
    parts: dict[str, tuple[Part, str, Mapping[str, object]]] = {
        ENCODER_FILE: (encoder, info.mixer, info.to_metadata()),
        PREDICTION_FILE: (prediction, type(decoder.prediction).__name__, sizes),
        JOINT_FILE: (JointPart(decoder), "the joint network", joint),
    }
    contents = {file: converted(part, name, is_int8(info)) for file, (part, name, _) in parts.items()}
    tokens = "".join(f"{piece} {number}\n" for number, piece in enumerate(info.vocabulary))
    with new_folder(folder) as unfinished:
        for file, (content, _) in contents.items():
            save(content, unfinished / file, {name: str(value) for name, value in parts[file][2].items()})
        write_atomically(unfinished / TOKENS_FILE, tokens)
    return Exported(info, max(difference for _, difference in contents.values()))


def is_int8(info: OnnxInfo) -> bool:
    return info.precision == INT8


def info_of(loaded: LoadedModel, part: str, int8: bool) -> OnnxInfo:
    return OnnxInfo(
        format=FORMAT,
        part=part,
        sample_rate=SAMPLE_RATE,
        samples_per_frame=loaded.model.frame_samples,
        linear=loaded.model.is_linear,
        precision=INT8 if int8 else "float32",
        recipe=loaded.recipe.name,
        recipe_hash=loaded.recipe.hash,
        mixer=str(loaded.recipe.hparams["mixer_name"]),
        vocabulary=[loaded.tokenizer.id_to_piece(number) for number in range(loaded.tokenizer.vocab_size())],
        tokenizer=base64.b64encode(loaded.tokenizer.serialized_model_proto()).decode(),
    )


def save(content: onnx.ModelProto, out: Path, metadata: Mapping[str, str]) -> None:
    onnx.helper.set_model_props(content, dict(metadata))
    write_atomically(out, content.SerializeToString())  # onnx.save leaves a cut file where the disk is full
