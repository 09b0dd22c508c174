"""A part of a recogniser as an ONNX graph: any batch, any length, exact in padding, and seen to equal torch."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException
from onnxruntime.quantization import QuantType, quantize_dynamic

from recipes.errors import RecipeError
from recipes.inference.export.parts import Part

TOLERANCE = 1e-4  # of log probabilities and of frames
TRACED_SECONDS = 4.0  # over a block of mixers that cut time into blocks: of a shorter one the graph would have just one
LONGEST_REASON = 200  # characters


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
            reduce_range=True,  # 7 bits of the 8: else sums overflow on x86 processors without VNNI
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
