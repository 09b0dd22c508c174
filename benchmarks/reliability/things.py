"""Things that some mistakes need: a run, a recording, exported models. Made in a second, without training.

The run has random weights, and the exported models compute nothing: a mistake is noticed before either is used.
"""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.reliability.corpus import WORDS
from benchmarks.reliability.programs import ROOT
from data_prep.manifest import COLUMNS
from data_prep.tokenizer import train_tokenizer
from recipes.config import load
from recipes.inference.onnx.info import CTC, ENCODER, FORMAT, STREAM, OnnxInfo, OnnxStreamInfo
from recipes.training.run_folder import RECIPE, TOKENIZER, WEIGHTS
from recipes.training.tensors import save_weights

OUTPUTS = 28  # of WORDS, by character
SMALL = {
    "vocab_size": OUTPUTS,
    "d_model": 16,
    "heads": 2,
    "layers": 1,
    "d_ffn": 16,
    "kernel_size": 3,
    "decoder_layers": 1,
}
Things = Mapping[str, object]
STREAMED = {"chunk": 4, "left_chunks": None, "latency_ms": 162.5, "first_samples": 40, "state": {}}
CAN_EXPORT = find_spec("onnx") is not None and find_spec("onnxruntime") is not None


def make_things(folder: Path) -> Things:
    """Files and folders in `folder`, which is made, by the names that they have in the table of mistakes.

    trained: a run; small: the options of its sizes; audio, brief: a second and 20 ms; the others: exported models,
    where ONNX is installed.
    """
    run, audio, brief = make_run(folder / "run"), folder / "audio.wav", folder / "brief.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    soundfile.write(audio, noise, 16000)
    soundfile.write(brief, noise[:320], 16000)
    small = " ".join(f"--{name} {value}" for name, value in SMALL.items())
    exported = make_exported(folder) if CAN_EXPORT else {}
    return {"trained": run, "small": small, "audio": audio, "brief": brief, **exported}


def make_run(folder: Path) -> Path:
    """What `train.py` leaves at its end, and a converted model has: recipe, tokenizer, weights."""
    folder.mkdir(parents=True)
    recipe = load(ROOT / "hparams" / "quickstart.yaml", {"data_folder": ".", **SMALL})
    (folder / RECIPE).write_text(recipe.text, encoding="utf-8")
    save_weights(recipe.hparams["model"].state_dict(), folder / WEIGHTS)
    manifest = folder / "words.csv"
    manifest.write_text(f"{','.join(COLUMNS)}\nu1,1.0,u1.wav,s1,{' '.join(WORDS)}\n", encoding="utf-8")
    train_tokenizer(manifest, (folder / TOKENIZER).parent, "char", OUTPUTS)
    manifest.unlink()
    return folder


def make_exported(folder: Path) -> dict[str, Path]:
    """Files of ONNX whose metadata are right, and such in which something is missing, damaged, or of another part."""
    info = OnnxInfo(FORMAT, CTC, 16000, 640, True, "float32", "quickstart", "0" * 12, "none", ["<unk>"], "")
    right = info.to_metadata()
    stream = OnnxStreamInfo(**{**vars(info), "part": STREAM}, head=CTC, **STREAMED)
    metadata = {
        "exported": right,
        "bare": {},
        "newer": {**right, "format": json.dumps(FORMAT + 1)},
        "damaged": {**right, "linear": ""},
        "alone": {**right, "part": ENCODER},
        "streamed": stream.to_metadata(),
    }
    return {name: write_onnx(folder / f"{name}.onnx", values) for name, values in metadata.items()}


def write_onnx(path: Path, metadata: dict[str, str]) -> Path:
    """A graph that returns its input."""
    import onnx  # of an extra

    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("audio", "log_probs")]
    node = onnx.helper.make_node("Identity", ["audio"], ["log_probs"])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "nothing", ends[:1], ends[1:]),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path
