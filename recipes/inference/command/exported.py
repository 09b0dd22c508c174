"""transcribe.py with an exported model: imports neither torch nor SpeechBrain."""

from argparse import Namespace
from collections.abc import Sequence

from recipes.errors import RecipeError
from recipes.inference.onnx.engine import OnnxEngine
from recipes.inference.onnx.stream import OnnxStreamModel
from recipes.inference.onnx.transducer import open_model

# Options of transcribe.py that a run has and an exported model has not.
OF_A_RUN = ("ngram", "average", "piece", "batch_seconds", "device", "eval_precision", "trust")


def check_exported_options(own: Namespace, rest: Sequence[str]) -> None:
    """Raises RecipeError for what only a run has. own: the options of transcribe.py itself; rest: those of a recipe."""
    given = [f"--{name}" for name in OF_A_RUN if getattr(own, name) is not None]
    given += ["--nbest"] * (own.nbest > 1) + ["--rescore"] * own.rescore
    if rest and not rest[0].startswith("-"):
        raise RecipeError(f"'{rest[0]}': --onnx FILE takes the place of RUN: transcribe.py AUDIO… --onnx FILE")
    if given or rest:
        raise RecipeError(f"{(given or rest)[0]} needs a run: an exported model decodes greedily, on the CPU alone")


def load_onnx_engine(own: Namespace, rest: Sequence[str]) -> OnnxEngine:
    """own: the options of transcribe.py itself; rest: those of a recipe. Raises RecipeError for what cannot be had."""
    check_exported_options(own, rest)
    return OnnxEngine(open_model(own.onnx, own.threads), own.window)


def load_onnx_stream(own: Namespace, rest: Sequence[str]) -> OnnxStreamModel:
    """As `load_onnx_engine`, of a model that goes chunk by chunk, and has its context in it."""
    check_exported_options(own, rest)
    model = OnnxStreamModel(own.onnx, own.threads)
    for name in ("chunk", "left_chunks"):
        given, has = getattr(own, name), getattr(model.info, name)
        if given not in (None, has):
            all_the_past = "all" if has is None else has
            raise RecipeError(f"--{name} {given}: {own.onnx} was exported with {all_the_past}: leave it out")
    return model
