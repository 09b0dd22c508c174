"""Mixers in models that users already have: `replace_attention` swaps the attention of their encoders."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import nn

from recipes.errors import RecipeError
from recipes.stock.signatures import (
    InPlaceOfAttention,
    InPlaceOfRegularMHA,
    InPlaceOfRelPosMHAXL,
    InPlaceOfRoPEMHA,
    InPlaceOfTorch,
    InPlaceOfTransformers,
)

# By full name, so that neither SpeechBrain nor transformers is imported for a model of the other.
REPLACEMENTS: dict[str, type[InPlaceOfAttention]] = {
    "speechbrain.nnet.attention.RelPosMHAXL": InPlaceOfRelPosMHAXL,
    "speechbrain.nnet.attention.RoPEMHA": InPlaceOfRoPEMHA,
    "speechbrain.nnet.attention.MultiheadAttention": InPlaceOfRegularMHA,
    "speechbrain.nnet.hypermixing.HyperMixing": InPlaceOfRegularMHA,
    "torch.nn.modules.activation.MultiheadAttention": InPlaceOfTorch,
    "transformers.models.wav2vec2.modeling_wav2vec2.Wav2Vec2Attention": InPlaceOfTransformers,
    "transformers.models.hubert.modeling_hubert.HubertAttention": InPlaceOfTransformers,
}
SIZES = ("embed_dim", "input_output_dim")  # attributes that hold d_model


class Place(NamedTuple):
    """An attention module in a model. parent: what holds it, as ``attribute``; name: in the model; kind: of a mixer."""

    parent: nn.Module
    attribute: str
    name: str
    attention: nn.Module
    kind: type[InPlaceOfAttention]


def replace_attention(
    model: nn.Module, build: Callable[[int], nn.Module], layers: Iterable[int] | None = None
) -> dict[str, nn.Module]:
    """Put a mixer in the place of each self-attention module of an encoder; the mixers by their names in ``model``.

    model: an encoder or whatever holds encoders, such as SpeechBrain's TransformerASR; changed in place. Replaced are
    SpeechBrain's RelPosMHAXL, RoPEMHA, MultiheadAttention and HyperMixing, torch.nn.MultiheadAttention, and the
    attention of wav2vec2 and HuBERT in transformers. What stands in a class with Decoder in its name is left alone.
    build: ``d_model -> Mixer``. layers: which of them, counted in the model's order, from the end where negative;
    None for all. A mixer stands on the device, and in the dtype and mode, of what it replaces.
    Raises RecipeError where there is nothing to replace, for a layer that is not there, and for keys and values of
    another size than d_model.
    """
    places = list(attention_places(model))
    if not places:
        kinds = ", ".join(name.rpartition(".")[2] for name in REPLACEMENTS)
        raise RecipeError(
            f"{type(model).__name__} has no attention outside decoders that a mixer can replace ({kinds})"
        )
    mixers = {}
    for place in places if layers is None else chosen_places(places, layers):
        mixers[f"{place.name}.mixer"] = replace(place, build)
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # for which it would read the weights of its first layer's attention
    return mixers


def replace(place: Place, build: Callable[[int], nn.Module]) -> nn.Module:
    """Put a mixer where the attention of one place stands; returns the mixer."""
    attention = place.attention
    owner = attention.att if hasattr(attention, "att") else attention  # SpeechBrain's MultiheadAttention holds torch's
    d_model = next(getattr(owner, name) for name in SIZES if hasattr(owner, name))
    if not getattr(owner, "_qkv_same_embed_dim", True):
        raise RecipeError(
            f"{place.name} has keys or values of another size than its d_model {d_model}: a mixer has none"
        )
    mixer = build(d_model)
    weight = next(attention.parameters(), None)
    if weight is not None:
        mixer.to(weight.device, weight.dtype)
    options = {"batch_first": attention.batch_first} if place.kind is InPlaceOfTorch else {}
    replacement = place.kind(mixer, place.name, d_model, **options)
    setattr(place.parent, place.attribute, replacement.train(attention.training))
    return mixer


def chosen_places(places: list[Place], layers: Iterable[int]) -> list[Place]:
    """The places at the positions ``layers``, in the model's order."""
    chosen = set()
    for layer in layers:
        if not -len(places) <= layer < len(places):
            raise RecipeError(f"there is no layer {layer}: the model has {len(places)} that a mixer can replace")
        chosen.add(layer % len(places))
    return [places[index] for index in sorted(chosen)]


def attention_places(model: nn.Module, name: str = "") -> Iterator[Place]:
    """Every self-attention module that stands in no decoder, in the model's order."""
    for attribute, module in model.named_children():
        full_name = f"{name}.{attribute}" if name else attribute
        kind = kind_of(module)
        if kind is not None:
            yield Place(model, attribute, full_name, module, kind)
        elif "Decoder" not in type(module).__name__:
            yield from attention_places(module, full_name)


def kind_of(module: nn.Module) -> type[InPlaceOfAttention] | None:
    """What can take the place of a module; None where it is no attention, or a decoder's."""
    if isinstance(module, InPlaceOfAttention):
        return type(module)
    if getattr(module, "is_decoder", False):
        return None
    names = (f"{base.__module__}.{base.__qualname__}" for base in type(module).__mro__)
    return next((REPLACEMENTS[name] for name in names if name in REPLACEMENTS), None)
