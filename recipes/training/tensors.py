"""State dicts on disk, read without running any code of theirs. Imports no SpeechBrain: transcribing needs this."""

import hashlib
import io
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_prep.errors import DISK_FULL
from data_prep.files import naming, write_atomically
from recipes.errors import RecipeError, is_of_the_machine, ran_out_of_memory


class DamagedFile(Exception):
    """A file that holds no tensors, or does not match its checksums. The message is the reason."""


def save_weights(weights: dict, path: Path) -> None:
    """Write a state dict atomically. Raises RecipeError when the disk is full; an older file is kept."""
    content = io.BytesIO()
    torch.save(weights, content)
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        if not is_failed_write(error):
            raise
        raise RecipeError(f"no disk space left for {path}: free some space and give the same command again") from None


def digest(weights: dict[str, Tensor]) -> str:
    """A hash of names and numbers, equal for equal weights however they came about."""
    summed = hashlib.sha256()
    for name in sorted(weights):
        summed.update(name.encode())
        summed.update(weights[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return summed.hexdigest()


def load_weights(path: Path) -> dict:
    """The state dict that `save_weights` wrote, on the CPU. Raises RecipeError when it is damaged."""
    try:
        return read_tensors(path)
    except DamagedFile:
        raise RecipeError(f"{path} is damaged: remove it, and test again from the other checkpoints") from None


def is_failed_write(error: Exception) -> bool:
    """Whether the disk, or the user's share of it, is full."""
    # torch.save turns the system's "no space left" into a RuntimeError of its archive writer.
    if isinstance(error, OSError):
        return error.errno in DISK_FULL
    return "PytorchStreamWriter" in str(error) or "inline_container" in str(error)


def read_tensors(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU: containers of tensors and plain values, or DamagedFile is raised.

    Objects of other kinds are refused, since to load them is to run code that the file names. Raises OSError
    where there is no such file or storage fails, and RecipeError where memory does: they say nothing of the file.
    """
    if not path.is_file():
        raise FileNotFoundError(2, os.strerror(2), str(path))
    try:
        with naming(path), warnings.catch_warnings():
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:  # torch.load itself passes over the archive's checksums
                    damaged = archive.testzip()
                if damaged is not None:
                    raise DamagedFile("is not what was written")
            warnings.simplefilter("ignore")  # of what looks odd in the file, which is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except DamagedFile:
        raise
    except Exception as error:  # torch's unpickler meets garbage with whatever error it happens to run into
        if ran_out_of_memory(error):
            raise RecipeError(f"too little memory to read {path}: free some and give the same command again") from error
        if is_of_the_machine(error):
            raise
        raise DamagedFile("cannot be read") from None


def nonfinite(state: Any) -> str | None:
    """The name of the first tensor in a state dict with NaN or infinity, None where all are finite."""
    return next((name for name, tensor in named_tensors(state) if not bool(tensor.isfinite().all())), None)


def named_tensors(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested containers, by the keys that lead to them."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, (dict, list, tuple)):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        for key, value in items:
            yield from named_tensors(value, f"{name}.{key}" if name else str(key))
