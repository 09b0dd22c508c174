"""Parts of a recogniser as ONNX: any batch, any length, exact in padding, and seen to equal torch."""

import base64
import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import onnx
import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException
from onnxruntime.quantization import QuantType, quantize_dynamic

from mixers import Context
from recipes.decoding.transducer import MAX_SYMBOLS
from recipes.errors import RecipeError
from recipes.inference.audio import SAMPLE_RATE
from recipes.inference.long import is_linear, samples_per_frame
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
from recipes.inference.onnx.parts import (
    PARTS,
    PREDICTIONS,
    JointPart,
    Part,
    TransducerEncoderPart,
    transducer_of,
)
from recipes.inference.onnx.stream_parts import StreamPart, TransducerStreamPart
from recipes.inference.recognition import LoadedModel

TOLERANCE = 1e-4  # of log probabilities and of frames
TRACED_SECONDS = 4.0  # over a block of mixers that cut time into blocks: of a shorter one the graph would have just one
INT8 = "int8"
LONGEST_REASON = 200  # characters


class Exported(NamedTuple):
    """info: what the file says of itself; difference: the largest from torch's output, in real frames."""

    info: OnnxInfo
    difference: float


def export(loaded: LoadedModel, out: Path, *, part: str = CTC, int8: bool = False) -> Exported:
    """Write the ONNX file `out` of a model. int8: weights of matrix products as 8-bit numbers, one scale a column.

    Raises RecipeError where the model cannot be exported, or its export does not give what torch gives.
    """
    return write_file(PARTS[part](loaded.model.eval().cpu()), info_of(loaded, part, int8), out)


def export_transducer(loaded: LoadedModel, folder: Path, *, int8: bool = False) -> Exported:
    """Write the folder of a transducer, as `export`: encoder, prediction network, joint network, and their tokens.

    Raises RecipeError as `export`, and for a model that has no transducer.
    """
    transducer_of(loaded.model)
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
    folder.mkdir(parents=True, exist_ok=True)
    for file, (content, _) in contents.items():
        save(content, folder / file, {name: str(value) for name, value in parts[file][2].items()})
    tokens = "".join(f"{piece} {number}\n" for number, piece in enumerate(info.vocabulary))
    (folder / TOKENS_FILE).write_text(tokens, encoding="utf-8")
    return Exported(info, max(difference for _, difference in contents.values()))


def is_int8(info: OnnxInfo) -> bool:
    return info.precision == INT8


def info_of(loaded: LoadedModel, part: str, int8: bool) -> OnnxInfo:
    return OnnxInfo(
        format=FORMAT,
        part=part,
        sample_rate=SAMPLE_RATE,
        samples_per_frame=samples_per_frame(loaded.model),
        linear=is_linear(loaded.model),
        precision=INT8 if int8 else "float32",
        recipe=loaded.recipe.name,
        recipe_hash=loaded.recipe.hash,
        mixer=str(loaded.recipe.hparams["mixer_name"]),
        vocabulary=[loaded.tokenizer.id_to_piece(number) for number in range(loaded.tokenizer.vocab_size())],
        tokenizer=base64.b64encode(loaded.tokenizer.serialized_model_proto()).decode(),
    )


def converted(module: Part, name: str, int8: bool) -> tuple[onnx.ModelProto, float]:
    """The graph of a part, and its largest difference from torch. name: what an error names.

    Raises RecipeError where there is no graph, or its output in float32 is another than torch's.
    """
    content = trace(module.eval(), name)
    try:
        difference = largest_difference(module, content)
    except (Fail, InvalidArgument, RuntimeException) as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise RecipeError(f"{name} cannot be exported: its ONNX file fails for other lengths ({reason})") from error
    if difference > TOLERANCE:
        raise RecipeError(f"{name} cannot be exported: its ONNX file differs from torch by {difference:.1e}")
    if int8:
        content = quantized(content)
        difference = largest_difference(module, content)
    return content, difference


def save(content: onnx.ModelProto, out: Path, metadata: Mapping[str, str]) -> None:
    onnx.helper.set_model_props(content, dict(metadata))
    onnx.save(content, out)


def trace(module: Part, name: str) -> onnx.ModelProto:
    """The graph of a part. name: what the error names. Raises RecipeError where torch cannot make one."""
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                module.example(2, TRACED_SECONDS),
                dynamo=True,
                dynamic_shapes=module.dynamic_shapes(),
                input_names=module.inputs,
                output_names=module.outputs,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:LONGEST_REASON]
        raise RecipeError(f"{name} cannot be exported to ONNX: {reason}") from error
    assert program is not None
    return program.model_proto


def largest_difference(module: Part, content: onnx.ModelProto) -> float:
    """Between torch and onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised, and need not be printed too
    session = onnxruntime.InferenceSession(content.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return module.difference(lambda **inputs: session.run(None, inputs))


def quantized(content: onnx.ModelProto) -> onnx.ModelProto:
    """With 8-bit weights in all matrix products but two kinds.

    The mel filters span too many powers of ten; a weight of several heads would need as many zero points, which
    onnxruntime does not take.
    """
    several = {weight.name for weight in content.graph.initializer if len(weight.dims) > 2}
    products = [node for node in content.graph.node if node.op_type == "MatMul"]
    excluded = [node.name for node in products if uses(node, "filters") or several.intersection(node.input)]
    with tempfile.TemporaryDirectory() as folder, quiet():
        out = Path(folder) / "quantized.onnx"
        quantize_dynamic(
            content,
            out,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
        )
        return onnx.load(out)


def uses(node: onnx.NodeProto, parameter: str) -> bool:
    return any(name.rpartition(".")[2] == parameter for name in node.input)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' remarks."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
