"""What train.py would train with some arguments: content and hash of the recipe, size and cost of its model."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from recipes.bakeoff.record import SECONDS
from recipes.config import load, recipe_content, recipe_hash
from recipes.config.arguments import parse_arguments
from recipes.config.flattening import flattened
from recipes.config.source import Source
from recipes.cost import encoder_multiply_adds, parameter_count
from recipes.models.parts import check_parts


class BuiltModel(NamedTuple):
    """A recipe's keys, and the size and work of its model; multiply-adds for an utterance of SECONDS."""

    hparams: dict
    parameters: int
    multiply_adds: int


def content_of(arguments: Sequence[str]) -> dict:
    """What a run with these arguments trains, as plain values by key."""
    return recipe_content(flat(tuple(arguments)).text)


def hash_of(arguments: Sequence[str]) -> str:
    """The `recipe_hash` that a run with these arguments writes into its summary."""
    return recipe_hash(flat(tuple(arguments)))


@functools.cache  # a comparison asks for the same recipes again and again, and each takes a while
def flat(arguments: tuple[str, ...]) -> Source:
    parsed = parse_arguments(arguments)
    return flattened(parsed.source, parsed.overrides)


@functools.cache
def build(arguments: tuple[str, ...], **overrides) -> BuiltModel:
    """Build a recipe's model without memory, of tensors that know their shapes alone, and count it."""
    parsed = parse_arguments(arguments)
    with FakeTensorMode(), torch.no_grad():
        # The features have no parameters, and their filters come from real numbers.
        recipe = load(parsed.source, {**parsed.overrides, "model.features": "!new:torch.nn.Identity", **overrides})
        check_parts(recipe.path, recipe.hparams, from_samples=False)
        hparams, model = recipe.hparams, recipe.hparams["model"].eval()
        return BuiltModel(hparams, parameter_count(model), encoder_multiply_adds(model, SECONDS))
