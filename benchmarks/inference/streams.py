"""The next chunk of a stream by torch and by exported models, in turns in one process of one thread."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from mixers import Context
from recipes.inference.export.files import export_stream, save
from recipes.inference.export.graph import quantized
from recipes.inference.onnx.steps import Steps
from recipes.inference.onnx.stream import OnnxStreamModel
from recipes.inference.recognition.loaded_model import LoadedModel
from recipes.models import Recogniser

CONTEXT = Context(16)


def stream_times(loaded: LoadedModel, audio: np.ndarray, folder: Path) -> list[dict]:
    """For each engine the median CPU milliseconds of a chunk, the kilobytes of the state, the megabytes of the file.

    audio: ``[samples]``, of which chunks are taken. difference: of the file from torch, as `export` saw it.
    """
    torch.set_num_threads(1)
    files = {precision: folder / f"stream_{precision}.onnx" for precision in ("float32", "int8")}
    exported = export_stream(loaded, files["float32"], CONTEXT)
    metadata = {**exported.info.to_metadata(), "precision": "int8"}
    save(quantized(onnx.load(files["float32"])), files["int8"], metadata)  # which is not traced again
    engines = {"torch float32": torch_stream(loaded.model)}
    sizes: dict[str, dict] = {"torch float32": {}}
    for precision, file in files.items():
        model, name = OnnxStreamModel(file, threads=1), f"onnx {precision}"
        numbers = sum(np.dtype(kind).itemsize * int(np.prod(shape)) for kind, *shape in model.info.state.values())
        sizes[name] = {"file_mb": round(file.stat().st_size / 2**20, 1), "state_kb": round(numbers / 1000, 1)}
        engines[name] = onnx_stream(model.steps)
    sizes["onnx float32"]["difference"] = float(f"{exported.difference:.1e}")
    whole = CONTEXT.chunk * loaded.model.frame_samples
    times = in_turns(engines, np.split(audio, range(whole, len(audio), whole))[:-1])
    return [
        {"engine": name, "chunk_cpu_ms": round(1000 * float(np.median(taken)), 2), **sizes[name]}
        for name, taken in times.items()
    ]


def in_turns(engines: dict[str, Callable[[np.ndarray], None]], chunks: Sequence[np.ndarray]) -> dict[str, list[float]]:
    """CPU seconds of each chunk by each engine; another one is the first in each turn."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    names = list(engines)
    for number, chunk in enumerate(chunks):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            begun = time.process_time()
            engines[name](chunk)
            times[name].append(time.process_time() - begun)
    return times


def torch_stream(model: Recogniser) -> Callable[[np.ndarray], None]:
    """What computes log probabilities of the next chunk ``[samples]`` of one stream."""
    state = model.eval().init_state(1, CONTEXT)

    @torch.inference_mode()
    def step(chunk: np.ndarray) -> None:
        nonlocal state
        output, state = model.step(torch.from_numpy(chunk)[None], state)
        output.ctc_logits.log_softmax(-1)

    return step


def onnx_stream(steps: Steps) -> Callable[[np.ndarray], None]:
    state, _ = steps.first_state(np.zeros((1, steps.chunks.first_samples), np.float32))

    def step(chunk: np.ndarray) -> None:
        nonlocal state
        _, state = steps.step(chunk[None], state)

    return step
