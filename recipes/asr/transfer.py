"""Begin with the weights of another model: what fits by name and shape is loaded, and parts may be kept as they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from recipes.asr.model_settings import differing
from recipes.errors import RecipeError
from recipes.files import write_json
from recipes.models import Recogniser
from recipes.training.part_names import parameters_of, parts_of

RECORD = "init_from.json"
PARTS_SHOWN = 12


class StartingPoint(NamedTuple):
    """A state dict, in words what it is, the tokenizer whose tokens it knows, and the recipe that trained it.

    content: of that recipe, see `recipes.config.content`.
    """

    folder: Path
    weights: dict[str, Tensor]
    weights_name: str
    tokenizer: Path
    recipe: str
    recipe_hash: str
    content: dict


class Transfer:
    """What a model takes from a starting point: tensors of the same name and shape; of each layer all or none.

    content: of the recipe that the model is of. With a new tokenizer the parts that have a row for each token
    (`Recogniser.token_parts`) are always new. Raises RecipeError if nothing of the encoder fits, if the tokenizer is
    kept but the model has another number of outputs, or if weights that the model shares are not the same there.
    """

    def __init__(self, point: StartingPoint, model: Recogniser, content: dict, *, new_tokenizer: bool):
        self.point, self.model = point, model
        self.differing = differing(point.content, content)
        own = model.state_dict()
        heads = tuple(f"{part}." for part in model.token_parts)
        outputs = point.weights.get("ctc.weight")
        if not new_tokenizer and outputs is not None and len(outputs) != len(own["ctc.weight"]):
            raise RecipeError(
                f"init_from: the tokenizer of {point.folder} goes with {len(outputs)} outputs and this recipe has "
                f"{len(own['ctc.weight'])}: give --vocab_size {len(outputs)}, or --new_tokenizer for one of these data"
            )
        fits = {name for name, tensor in point.weights.items() if name in own and own[name].shape == tensor.shape}
        misfits = {_module(name) for name in own.keys() & point.weights.keys() - fits}
        self.loaded = {
            name: point.weights[name]
            for name in own  # in the order of the model
            if name in fits and _module(name) not in misfits and not (new_tokenizer and name.startswith(heads))
        }
        self.new, self.left = own.keys() - self.loaded.keys(), point.weights.keys() - self.loaded.keys()
        if not any(name.startswith("encoder.") for name in self.loaded):
            raise RecipeError(
                f"init_from: no weight of the encoder of {point.folder} fits by name and shape: is it of another kind, "
                "or of another d_model?"
            )
        self.check_shared(own)

    def check_shared(self, own: dict[str, Tensor]) -> None:
        first: dict[int, str] = {}
        for name in (name for name in self.loaded if own[name].numel()):
            other = first.setdefault(own[name].data_ptr(), name)
            if not torch.equal(self.loaded[name], self.loaded[other]):
                raise RecipeError(
                    f"init_from: {other} and {name} are one weight in this recipe and two in {self.point.folder}: give "
                    "the setting that it has (tied: false)"
                )

    def check(self, frozen: str | Sequence[str] | None) -> None:
        """Raises RecipeError if the parts to freeze do not exist, are new (they would stay random), or are all."""
        parameters = frozen_parameters(self.model, frozen or [])
        if random := self.new & parameters.keys():
            raise RecipeError(f"freeze: {parts_of(random, self.model.state_dict())[0]} is new, and would stay random")

    def apply(self) -> list[str]:
        """Load what fits; returns lines: what was loaded, what is new, what was left, and which settings differ."""
        self.model.load_state_dict(self.loaded, strict=False)
        own, theirs = self.model.state_dict(), self.point.weights
        total = sum(tensor.numel() for tensor in own.values())
        count = sum(tensor.numel() for tensor in self.loaded.values())
        return [
            f"loaded from {self.point.folder} ({self.point.weights_name}): {count / 1e6:.2f} M of {total / 1e6:.2f} M "
            f"numbers: {_listed(parts_of(self.loaded, own))}",
            f"new, drawn at random: {_listed(parts_of(self.new, own))}",
            f"left in {self.point.folder}: {_listed(parts_of(self.left, theirs))}",
            *([f"warning: the weights compute something else here: {self.differing}"] if self.differing else []),
        ]

    def write(self, folder: Path) -> None:
        """Record in a run's folder which weights its training began with."""
        own = self.model.state_dict()
        record = {
            "from": str(self.point.folder),
            "weights": self.point.weights_name,
            "recipe": self.point.recipe,
            "recipe_hash": self.point.recipe_hash,
            "loaded": parts_of(self.loaded, own),
            "new": parts_of(self.new, own),
            "left": parts_of(self.left, self.point.weights),
        }
        write_json(folder / RECORD, record)


def frozen_parameters(model: Recogniser, parts: str | Sequence[str]) -> dict[str, Parameter]:
    """The parameters of these parts, by name.

    Raises RecipeError for an unknown part, for weights that another part has too, and for all parts together.
    """
    frozen, named = parameters_of(model, parts), dict(model.named_parameters(remove_duplicate=False))
    if frozen.keys() == named.keys():
        raise RecipeError("freeze: nothing would be left to train")
    owners = {id(parameter): name for name, parameter in frozen.items()}
    for name in named.keys() - frozen.keys():
        if owner := owners.get(id(named[name])):
            raise RecipeError(f"freeze: {owner} and {name} are one weight: freeze both or none")
    return frozen


def freeze(model: Recogniser, parts: str | Sequence[str]) -> str:
    """Keep these parts as they are in training; returns a line for the screen.

    Raises RecipeError for a part that the model has not, and where nothing would be left to train.
    """
    frozen = frozen_parameters(model, parts)
    for parameter in frozen.values():
        parameter.requires_grad_(False)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    count = sum(parameter.numel() for parameter in frozen.values())
    return f"kept as they are: {', '.join(parts_of(frozen, names))} ({count / 1e6:.2f} M parameters)"


def _module(name: str) -> str:
    """The layer that a tensor is of: a weight is of no use without its bias."""
    return name.rpartition(".")[0]


def _listed(parts: list[str]) -> str:
    more = f", … (all in {RECORD})" if len(parts) > PARTS_SHOWN else ""
    return (", ".join(parts[:PARTS_SHOWN]) or "nothing") + more
