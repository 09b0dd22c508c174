"""The average of checkpoints, and state dicts on disk."""

from collections.abc import Iterator
from typing import NamedTuple

from speechbrain.utils.checkpoints import Checkpoint, ckpt_recency
from torch import Tensor

from recipes.errors import RecipeError
from recipes.training.integrity import DamagedCheckpoint, epoch_of
from recipes.training.stored_checkpoints import StoredCheckpoints, best_first, checked_weights, validated_alike


class Average(NamedTuple):
    """The mean of the weights of these epochs."""

    weights: dict[str, Tensor]
    epochs: list[int]


def average_checkpoints(stored: StoredCheckpoints, which: str, measure: str = "WER") -> Average:
    """The average that `choose_checkpoints` chooses, of intact checkpoints alone.

    One that is damaged or not finite is set aside with a warning, and another takes its place where there is one.
    Raises RecipeError where none is left.
    """
    while True:
        try:
            chosen = choose_checkpoints(stored, which, measure)
            weights = mean_of(checked_weights(checkpoint) for checkpoint in chosen)
            return Average(weights, [epoch_of(checkpoint) for checkpoint in chosen])
        except DamagedCheckpoint as damage:
            stored.set_aside(damage)


def mean_of(states: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of state dicts; of what is no floating number, the last.

    SpeechBrain's adds up in place and in the numbers' own type: tied weights once for every name, and small integers
    beyond what they hold.
    """
    mean, count = next(states), 1
    for state in states:
        count += 1
        for name, tensor in state.items():
            mean[name] = mean[name] + tensor if tensor.is_floating_point() else tensor
    return {name: tensor / count if tensor.is_floating_point() else tensor for name, tensor in mean.items()}


def choose_checkpoints(stored: StoredCheckpoints, which: str, measure: str = "WER") -> list[Checkpoint]:
    """The checkpoints to average, of those from the end of an epoch, the oldest first.

    which: `best-5` (of lowest `measure` in validation, of equal ones the newer, of those that were validated on the
    newest one's data), `last-5`, `3-7` (epochs) or `7`.
    Fewer than asked for are returned where there are no more. Raises RecipeError for other words, and where there is
    none; DamagedCheckpoint where an epoch cannot be read.
    """
    checkpoints = [checkpoint for checkpoint in stored.list_checkpoints() if measure in checkpoint.meta]
    checkpoints.sort(key=ckpt_recency)
    if not checkpoints:
        damaged = stored.damaged()
        reason = f" (damaged are {', '.join(damaged)})" if damaged else ""
        raise RecipeError(f"no finished epoch in {stored.checkpoints_dir}{reason}: train before testing")
    kind, dash, number = which.rpartition("-")
    has_kind = kind in ("best", "last") or kind.isdecimal() or not dash
    if not has_kind or not number.isdecimal() or int(number) < 1:
        raise RecipeError(f"there is no average '{which}': say best-5, last-5, or a range of epochs, 3-7")
    if kind == "last":
        return checkpoints[-int(number) :]
    if kind == "best":
        comparable = [checkpoint for checkpoint in checkpoints if validated_alike(checkpoint, checkpoints[-1])]
        lowest = best_first(comparable, measure, checkpoints[-1])[: int(number)]
        return [checkpoint for checkpoint in checkpoints if checkpoint in lowest]
    first, last = int(kind or number), int(number)
    chosen = [checkpoint for checkpoint in checkpoints if first <= epoch_of(checkpoint) <= last]
    if not chosen:
        kept = ", ".join(str(epoch_of(checkpoint)) for checkpoint in checkpoints)
        raise RecipeError(f"no checkpoint of epochs {which} in {stored.checkpoints_dir}; kept are those of {kept}")
    return chosen
