"""The average of checkpoints, and state dicts on disk."""

import io
from pathlib import Path

import torch
from speechbrain.utils.checkpoints import Checkpoint, Checkpointer, average_checkpoints, ckpt_recency

from data_prep.files import write_atomically
from recipes.errors import RecipeError
from recipes.training.checkpoints import is_failed_write


def choose_checkpoints(checkpointer: Checkpointer, which: str, measure: str = "WER") -> list[Checkpoint]:
    """The checkpoints to average, of those from the end of an epoch, the oldest first.

    which: `best-5` (of lowest `measure` in validation), `last-5`, `3-7` (epochs) or `7`. Fewer than asked for
    are returned where there are no more. Raises RecipeError for other words, and where there is none.
    """
    checkpoints = [checkpoint for checkpoint in checkpointer.list_checkpoints() if measure in checkpoint.meta]
    checkpoints.sort(key=ckpt_recency)
    if not checkpoints:
        raise RecipeError(f"no finished epoch in {checkpointer.checkpoints_dir}: train before testing")
    kind, dash, number = which.rpartition("-")
    has_kind = kind in ("best", "last") or kind.isdecimal() or not dash
    if not has_kind or not number.isdecimal() or int(number) < 1:
        raise RecipeError(f"there is no average '{which}': say best-5, last-5, or a range of epochs, 3-7")
    if kind == "last":
        return checkpoints[-int(number) :]
    if kind == "best":
        lowest = sorted(checkpoints, key=lambda checkpoint: checkpoint.meta[measure])[: int(number)]
        return [checkpoint for checkpoint in checkpoints if checkpoint in lowest]
    first, last = int(kind or number), int(number)
    chosen = [checkpoint for checkpoint in checkpoints if first <= epoch_of(checkpoint) <= last]
    if not chosen:
        kept = ", ".join(str(epoch_of(checkpoint)) for checkpoint in checkpoints)
        raise RecipeError(
            f"no checkpoint of epochs {which} in {checkpointer.checkpoints_dir}; kept are those of {kept}"
        )
    return chosen


def epoch_of(checkpoint: Checkpoint) -> int:
    return int(checkpoint.paramfiles["epoch"].read_text(encoding="utf-8"))


def average(checkpoints: list[Checkpoint]) -> dict:
    """Mean of their weights. Reads only; raises RecipeError for a damaged checkpoint."""
    for checkpoint in checkpoints:
        load_weights(checkpoint.paramfiles["model"])
    return average_checkpoints(checkpoints, "model")


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


def load_weights(path: Path) -> dict:
    """The state dict that `save_weights` wrote, on the CPU. Raises RecipeError when it is damaged."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception:  # torch's unpickler meets garbage with whatever error it happens to run into
        raise RecipeError(f"{path} is damaged: remove it, and test again from the other checkpoints") from None
