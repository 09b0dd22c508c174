"""What a recipe is, from its model and its `about`; nothing is computed or allocated."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mixers import Context
from recipes.config import Recipe, load, read_recipe
from recipes.config.messages import no_such_key
from recipes.config.references import placeholders
from recipes.cost import encoder_multiply_adds, parameter_count
from recipes.errors import RecipeError
from recipes.models import Recogniser
from recipes.models.parts import check_parts

SECONDS = (10, 60)
CONTEXT = Context(chunk=16, left_chunks=None)
FRAMES_PER_SECOND = 25  # encoder frames


class About(NamedTuple):
    """The keys of a recipe's `about`; empty where it does not have them."""

    purpose: str = ""  # base, 960 h, 100 h, mini, own data, demo, comparison, language model
    paper: str = ""
    published: str = ""  # the expected word error rates and their source
    published_details: str = ""
    ours: str = ""  # what we have run of it
    note: str = ""


class Description(NamedTuple):
    """A recipe of a recogniser. Parameters are numbers; the front end counts to the encoder, and the heads are the
    output layers of CTC and decoder."""

    recipe: str
    about: About
    encoder_type: str
    mixer: str
    parameters: int
    encoder: int
    decoder: int
    heads: int
    multiply_adds: dict[int, int]  # by seconds of speech, from features to CTC
    streaming_state: int | None  # numbers that all mixers keep after 60 s; None: the whole utterance


class LanguageModelDescription(NamedTuple):
    """A recipe of a language model."""

    recipe: str
    about: About
    layers: int
    d_model: int
    vocab_size: int
    parameters: int


def describe(path: Path, overrides: Mapping[str, object] = {}) -> Description | LanguageModelDescription:
    """Build the recipe's model of tensors that have shapes and no numbers.

    overrides: keys of the recipe to change. Results that it quotes are then not this model's, and are left out.
    Raises RecipeError for what is no recipe, and for a key that `about` does not have."""
    source = read_recipe(path)
    if source.find("model") is None and source.find("language_model") is None:
        raise RecipeError(f"{path} has neither a model nor a language_model: give a recipe")
    # The features have no parameters, and their filters come from real numbers.
    whole = {"model.features": "!new:torch.nn.Identity"} if source.find("model") is not None else {}
    unset = {key: "none" for key in placeholders(source)}
    with FakeTensorMode(), torch.no_grad():
        recipe = load(source, {**unset, **overrides, **whole})
        description = (_describe_recogniser if whole else _describe_language_model)(recipe)
    of_another = description.about._replace(published="", published_details="", ours="")
    return description._replace(about=of_another) if overrides else description


def streaming_state(model: Recogniser) -> int | None:
    """Numbers that all mixers keep at the end of a stream of 60 s; None where one cannot stream."""
    try:
        frames = SECONDS[-1] * FRAMES_PER_SECOND
        return sum(block.mixer.state_size(frames, CONTEXT) for block in model.encoder.blocks)
    except ValueError:
        return None


def _describe_recogniser(recipe: Recipe) -> Description:
    check_parts(recipe.path, recipe.hparams, from_samples=False)
    model = recipe.hparams["model"].eval()
    outputs = [model.ctc] + ([model.decoder.out] if model.decoder is not None else [])
    heads = parameter_count(*outputs)
    decoder = parameter_count(model.decoder) - parameter_count(model.decoder.out) if model.decoder is not None else 0
    return Description(
        recipe=recipe.path.stem,
        about=_about(recipe),
        encoder_type=type(model.encoder).__name__,
        mixer=recipe.hparams["mixer_name"],
        parameters=parameter_count(model),
        encoder=parameter_count(model) - decoder - heads,
        decoder=decoder,
        heads=heads,
        multiply_adds={seconds: encoder_multiply_adds(model, seconds) for seconds in SECONDS},
        streaming_state=streaming_state(model),
    )


def _describe_language_model(recipe: Recipe) -> LanguageModelDescription:
    sizes = {key: recipe.hparams[key] for key in ("layers", "d_model", "vocab_size")}
    parameters = parameter_count(recipe.hparams["language_model"])
    return LanguageModelDescription(recipe.path.stem, _about(recipe), **sizes, parameters=parameters)


def _about(recipe: Recipe) -> About:
    notes = recipe.hparams.get("about") or {}
    for name in notes:
        if name not in About._fields:
            raise RecipeError(f"{recipe.path}: {no_such_key(('about',), name, About._fields)}")
    return About(**notes)
