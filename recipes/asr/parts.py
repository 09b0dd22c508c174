"""Whether what a recipe names for the parts of its recogniser can be that part."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import nn

from recipes.errors import RecipeError


class Part(NamedTuple):
    """How a part is used. inputs: what `forward` is called with, in order. other: what else is read of it."""

    inputs: tuple[str, ...]
    other: tuple[str, ...] = ()


PARTS = {
    "features": Part(("audio", "lengths")),
    "normalize": Part(("features", "lengths"), ("measure",)),
    "augment": Part(("features", "lengths"), ("views",)),
    "frontend": Part(("features", "lengths"), ("subsampling",)),
    "encoder": Part(("frames", "lengths", "context")),
    "decoder": Part(("encoded", "tokens"), ("prepare",)),
}


def check_parts(path: Path, hparams: Mapping) -> None:
    """Raises RecipeError, one line, for a part of the model that cannot be called as the recogniser calls it.

    `torch.nn.Identity` in the encoder's place would otherwise be found once all data are prepared, by a traceback.
    """
    for name, part in PARTS.items():
        given = getattr(hparams["model"], name, None)
        if given is None and name == "decoder":
            continue
        if lacking := what_lacks(given, part):
            raise RecipeError(
                f"{path}: model.{name}: {type(given).__name__} {lacking}; give one of recipes.models, or a class that "
                "does"
            )


def what_lacks(given: object, part: Part) -> str | None:
    """What keeps it from being this part, in words."""
    if not isinstance(given, nn.Module):
        return "is no torch.nn.Module"
    try:
        inspect.signature(given.forward).bind(*part.inputs)
    except TypeError:
        return f"does not take ({', '.join(part.inputs)})"
    missing = [name for name in part.other if not hasattr(given, name)]
    return f"does not have {', '.join(missing)}" if missing else None
