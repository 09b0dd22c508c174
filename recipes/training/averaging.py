"""The average of checkpoints, and state dicts on disk."""

import os
from pathlib import Path

import torch
from speechbrain.utils.checkpoints import Checkpoint, Checkpointer, average_checkpoints, ckpt_recency

from recipes.errors import RecipeError
from recipes.training.checkpoints import UNFINISHED, is_failed_write


def choose_checkpoints(checkpointer: Checkpointer, which: str, measure: str = "WER") -> list[Checkpoint]:
    """The checkpoints that an average is taken of, of those from the end of an epoch, by age.

    which: ``best-5`` (of lowest ``measure`` in validation), ``last-5``, ``3-7`` (epochs) or ``7``.
    Fewer than asked for are taken where there are no more. Raises RecipeError for other words, and where
    there is none.
    """
    finished = sorted((one for one in checkpointer.list_checkpoints() if measure in one.meta), key=ckpt_recency)
    if not finished:
        raise RecipeError(f"no finished epoch in {checkpointer.checkpoints_dir}: train before testing")
    kind, dash, number = which.rpartition("-")
    known = kind in ("best", "last") or kind.isdecimal() or not dash
    if not known or not number.isdecimal() or int(number) < 1:
        raise RecipeError(f"there is no average '{which}': say best-5, last-5, or a range of epochs, 3-7")
    if kind == "last":
        return finished[-int(number) :]
    if kind == "best":
        lowest = sorted(finished, key=lambda one: one.meta[measure])[: int(number)]
        return [one for one in finished if one in lowest]
    first, last = int(kind or number), int(number)
    chosen = [one for one in finished if first <= epoch_of(one) <= last]
    if not chosen:
        kept = ", ".join(str(epoch_of(one)) for one in finished)
        raise RecipeError(
            f"no checkpoint of epochs {which} in {checkpointer.checkpoints_dir}; kept are those of {kept}"
        )
    return chosen


def epoch_of(checkpoint: Checkpoint) -> int:
    return int(checkpoint.paramfiles["epoch"].read_text(encoding="utf-8"))


def average(checkpoints: list[Checkpoint]) -> dict:
    """Mean of their weights. Reads only; raises RecipeError when one is damaged."""
    for one in checkpoints:
        load_weights(one.paramfiles["model"])
    return average_checkpoints(checkpoints, "model")


def save_weights(weights: dict, path: Path) -> None:
    """Write a state dict atomically. Raises RecipeError when the disk is full; an older file is kept."""
    unfinished = path.with_name(UNFINISHED + path.name)
    try:
        torch.save(weights, unfinished)
    except (OSError, RuntimeError) as error:
        unfinished.unlink(missing_ok=True)
        if not is_failed_write(error):
            raise
        raise RecipeError(f"no disk space left for {path}: free some space and give the same command again") from None
    os.replace(unfinished, path)


def load_weights(path: Path) -> dict:
    """The state dict that ``save_weights`` wrote, on the CPU. Raises RecipeError when it is damaged."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception:  # torch's unpickler meets garbage with whatever error it happens to run into
        raise RecipeError(f"{path} is damaged: remove it, and test again from the other checkpoints") from None
