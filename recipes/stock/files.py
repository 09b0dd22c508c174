"""The files of a SpeechBrain checkpoint or published model: which there are, and the tensors in them."""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from recipes.errors import RecipeError
from recipes.stock.names import State

REQUIRED = {
    "weights": ("model.ckpt", "asr.ckpt"),
    "normaliser": ("normalizer.ckpt", "normalize.ckpt"),
    "tokenizer": ("tokenizer.ckpt",),
}
OPTIONAL = {"hyperparameters": ("hyperparams.yaml",), "language model": ("lm.ckpt",)}


def find_files(folder: Path) -> dict[str, Path]:
    """The files of ``folder`` by role, the keys of REQUIRED and OPTIONAL.

    Raises RecipeError for a missing folder or file, and for a folder of checkpoints instead of a checkpoint.
    """
    if not folder.is_dir():
        raise RecipeError(f"there is no folder {folder}")
    places = [folder, *folder.resolve().parents[:2]] if folder.resolve().name.startswith("CKPT") else [folder]
    files = {}
    for role, names in {**REQUIRED, **OPTIONAL}.items():
        candidates = [place / name for place in places for name in names if (place / name).is_file()]
        if candidates:
            files[role] = candidates[0]
        elif role in REQUIRED:
            checkpoints = sorted(path.name for path in folder.glob("CKPT+*"))
            hint = f"; it holds checkpoints: name one, {folder / checkpoints[-1]}" if checkpoints else ""
            raise RecipeError(f"{folder} has no {role} ({' or '.join(names)}){hint}")
    return files


def read_tensors(file: Path) -> State:
    """The tensors of a checkpoint by name, on the CPU. Raises RecipeError for anything else."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        raise RecipeError(f"{file} is damaged, or holds other things than tensors") from None
    entries = state.items() if isinstance(state, dict) else ()
    tensors = {name: value for name, value in entries if isinstance(value, Tensor)}
    if not tensors:
        raise RecipeError(f"{file} holds no tensors by name")
    return tensors
