"""Parts of a recogniser as ONNX: any batch, any length, exact in padding, and seen to equal torch."""

import base64
import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import onnx
import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from torch.nn.functional import conv1d

from mixers.base import lengths_to_mask
from recipes.errors import RecipeError
from recipes.inference.audio import SAMPLE_RATE
from recipes.inference.long import is_linear, samples_per_frame
from recipes.inference.onnx_file import CTC, ENCODER, FORMAT, OnnxInfo
from recipes.inference.recognition import LoadedModel
from recipes.models import Encoded, LogMel, Recogniser

TOLERANCE = 1e-4  # of log probabilities and of frames
TRIED = [(3, 1.3), (1, 0.4), (2, 3.1)]  # utterances, and seconds of the longest: none is what the export has seen
LONGEST_REASON = 200  # characters


class DftLogMel(LogMel):
    """`LogMel` by a convolution with cosines and sines in place of torch.stft, whose complex numbers ONNX lacks."""

    kernel: Tensor  # [2 * bins, 1, window_length]

    def __init__(self, original: LogMel):
        length, n_mels = original.window_length, original.filters.shape[1]
        super().__init__(
            sample_rate=original.sample_rate, n_mels=n_mels, window_length=length, range_db=original.range_db
        )
        self.floor, self.hop = original.floor, original.hop
        self.filters.copy_(original.filters)
        times = torch.arange(length, dtype=torch.float64)
        angles = 2 * math.pi / length * torch.arange(length // 2 + 1)[:, None] * times
        waves = torch.cat([angles.cos(), angles.sin()]) * original.window
        self.register_buffer("kernel", waves[:, None].float(), persistent=False)

    def log_mel(self, samples: Tensor) -> Tensor:
        cosines, sines = conv1d(samples[:, None], self.kernel, stride=self.hop).chunk(2, 1)
        power = (cosines.square() + sines.square()).transpose(1, 2)
        return 10 * (power @ self.filters).clamp(min=self.floor).log10()


class CtcPart(nn.Module):
    """Samples ``[B, samples]`` at 16 kHz and their lengths → log probabilities ``[B, T, vocab_size]``, frames."""

    names = (["audio", "lengths"], ["log_probs", "frames"])

    def __init__(self, model: Recogniser):
        super().__init__()
        self.model, self.features = model, DftLogMel(cast(LogMel, model.features))

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames, lengths = encode(self.model, *self.features(audio, lengths))
        return self.model.ctc(frames).log_softmax(-1), lengths

    def example(self, batch: int, seconds: float) -> tuple[Tensor, Tensor]:
        samples = round(SAMPLE_RATE * seconds)
        return 0.1 * torch.randn(batch, samples), lengths_of(batch, samples)


class EncoderPart(nn.Module):
    """Features of `LogMel` ``[B, T, n_mels]`` and their lengths → frames ``[B, ceil(T / 4), d_model]``, theirs."""

    names = (["features", "lengths"], ["encoded", "frames"])

    def __init__(self, model: Recogniser):
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames, lengths = encode(self.model, features, lengths)
        return frames, lengths

    def example(self, batch: int, seconds: float) -> tuple[Tensor, Tensor]:
        log_mel = cast(LogMel, self.model.features)
        return log_mel(*CtcPart.example(cast(CtcPart, self), batch, seconds))


PARTS: dict[str, Any] = {CTC: CtcPart, ENCODER: EncoderPart}


def encode(model: Recogniser, features: Tensor, lengths: Tensor) -> Encoded:
    return model.encoder(*model.frontend(model.normalize(features, lengths), lengths))


def lengths_of(batch: int, longest: int) -> Tensor:
    """The first is the longest."""
    return torch.tensor([max(longest - 4321 * number, longest // 3) for number in range(batch)])


class Exported(NamedTuple):
    """info: what the file says of itself; difference: the largest from torch's output, in real frames."""

    info: OnnxInfo
    difference: float


def export(loaded: LoadedModel, out: Path, *, part: str = CTC, int8: bool = False) -> Exported:
    """Write the ONNX file `out` of a model. int8: weights of matrix products as 8-bit numbers, one scale a column.

    Raises RecipeError where the model cannot be exported, or its export does not give what torch gives.
    """
    mixer = str(loaded.recipe.hparams["mixer_name"])
    module = PARTS[part](loaded.model.eval().cpu()).eval()
    content = trace(module, mixer)
    try:
        difference = largest_difference(module, content)
    except (Fail, InvalidArgument, RuntimeException) as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise RecipeError(f"{mixer} cannot be exported: its ONNX file fails for other lengths ({reason})") from error
    if difference > TOLERANCE:
        raise RecipeError(f"{mixer} cannot be exported: its ONNX file differs from torch by {difference:.1e}")
    info = OnnxInfo(
        format=FORMAT,
        part=part,
        sample_rate=SAMPLE_RATE,
        samples_per_frame=samples_per_frame(loaded.model),
        linear=is_linear(loaded.model),
        precision="int8" if int8 else "float32",
        recipe=loaded.recipe.name,
        recipe_hash=loaded.recipe.hash,
        mixer=mixer,
        vocabulary=[loaded.tokenizer.id_to_piece(number) for number in range(loaded.tokenizer.vocab_size())],
        tokenizer=base64.b64encode(loaded.tokenizer.serialized_model_proto()).decode(),
    )
    if int8:
        content = quantized(content, out)
        difference = largest_difference(module, content)
    onnx.helper.set_model_props(content, info.to_metadata())
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(content, out)
    return Exported(info, difference)


def trace(module: nn.Module, mixer: str) -> onnx.ModelProto:
    """The graph of a part. Raises RecipeError, with the mixer's name, where torch cannot make one."""
    inputs, outputs = cast(Any, module).names
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=2)
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                cast(Any, module).example(2, 1.0),
                dynamo=True,
                dynamic_shapes=({0: batch, 1: length}, {0: batch}),
                input_names=inputs,
                output_names=outputs,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:LONGEST_REASON]
        raise RecipeError(f"{mixer} cannot be exported to ONNX: {reason}") from error
    assert program is not None
    return program.model_proto


@torch.no_grad()
def largest_difference(module: nn.Module, content: onnx.ModelProto, tried: Sequence[tuple[int, float]] = ()) -> float:
    """Between torch and onnxruntime, in real frames of utterances of random noise; infinite where shapes differ."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised, and need not be printed too
    session = onnxruntime.InferenceSession(content.SerializeToString(), options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for batch, seconds in tried or TRIED:
        example = cast(Any, module).example(batch, seconds)
        values, lengths = module(*example)
        inputs = {name: value.numpy() for name, value in zip(cast(Any, module).names[0], example, strict=True)}
        onnx_values, onnx_lengths = (torch.from_numpy(result) for result in session.run(None, inputs))
        if onnx_values.shape != values.shape or not onnx_lengths.equal(lengths):
            return math.inf
        real = lengths_to_mask(lengths, values.shape[1])
        largest = max(largest, (onnx_values - values)[real].abs().max().item())
    return largest


def quantized(content: onnx.ModelProto, out: Path) -> onnx.ModelProto:
    """With 8-bit weights in all matrix products but two kinds.

    The mel filters span too many powers of ten; a weight of several heads would need as many zero points, which
    onnxruntime does not take.
    """
    several = {weight.name for weight in content.graph.initializer if len(weight.dims) > 2}
    products = [node for node in content.graph.node if node.op_type == "MatMul"]
    excluded = [node.name for node in products if uses(node, "filters") or several.intersection(node.input)]
    unfinished = out.with_name(f".{out.name}.unfinished")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with quiet():
            quantize_dynamic(
                content,
                unfinished,
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=excluded,
            )
        return onnx.load(unfinished)
    finally:
        unfinished.unlink(missing_ok=True)


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
