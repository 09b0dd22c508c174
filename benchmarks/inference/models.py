"""The models that are timed: a run's, and one of a recipe's size with random weights."""

from collections.abc import Callable
from pathlib import Path

import torch

from mixers import Context
from recipes.config import load
from recipes.inference.export.files import Exported, export_model, export_stream
from recipes.inference.recognition.loaded_model import LoadedModel
from recipes.inference.recognition.loading import Settings, load_model

BEAM = 8
CONTEXT = Context(8, 4)  # of streams
KEYS = {"test_search.beam": BEAM}


def loaded(run: Path, recipe: Path | None) -> LoadedModel:
    """The run's model; with a recipe, one of its size with random weights, and the run's tokenizer."""
    model = load_model(run, Settings(KEYS))
    if recipe is None:
        return model
    torch.manual_seed(0)
    described = load(recipe, {"data_folder": ".", **KEYS})
    search = described.hparams["test_search"]
    return model._replace(model=described.hparams["model"].eval(), search=search, name=recipe.stem, recipe=described)


def exportable(mixer: str, run: Path, folder: Path) -> dict:
    """Whether a small model with this mixer can be exported: its largest `difference` from torch, or the `reason`.

    stream: the same, chunk by chunk.
    """
    from recipes.errors import RecipeError

    torch.manual_seed(0)
    small = {"d_model": 64, "heads": 4, "layers": 2, "d_ffn": 64, "kernel_size": 5, "decoder_layers": 1}
    recipe = load(Path("hparams/conformer.yaml"), {"data_folder": ".", "mixer": mixer, "vocab_size": 50, **small})
    model = load_model(run, Settings())._replace(model=recipe.hparams["model"].eval(), recipe=recipe)

    def outcome(write: Callable[[], Exported]) -> dict:
        try:
            return {"difference": write().difference}
        except RecipeError as error:
            return {"reason": str(error)}

    whole = outcome(lambda: export_model(model, folder / f"{mixer}.onnx"))
    return {**whole, "stream": outcome(lambda: export_stream(model, folder / f"{mixer}_stream.onnx", CONTEXT))}
