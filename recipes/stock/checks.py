"""Whether the files of a SpeechBrain model and our recipe describe the same model. All raise RecipeError if not."""

from pathlib import Path

from data_prep.tokenizer import load_tokenizer
from recipes.config.layer_mixers import resolve
from recipes.config.source import Source, child
from recipes.errors import RecipeError
from recipes.stock.names import State
from recipes.stock.settings import Hyperparameters, Kind


def check_kind(kind: Kind, source: Source, file: Path) -> None:
    """kind: that of the weights in ``file``; source: the recipe with its bases."""
    model, table = source.find("model"), source.find("mixers")
    encoder = child(model, "encoder") if model is not None else None
    if encoder is None or table is None:
        raise RecipeError(f"{source.name} is no recipe of a recogniser: it has no model with an encoder and mixers")
    mixers = dict.fromkeys(child(table, name).tag.rpartition(".")[2] for name in resolve(source))
    described = Kind(encoder.tag.rpartition(".")[2], " and ".join(mixers))
    if described != kind:
        raise RecipeError(f"{file} holds {kind}, but {source.name} is {described}: give the model's own recipe")


def check_sizes(weights: State, stock: Hyperparameters, hparams: dict[str, object], file: Path, recipe: Path) -> None:
    """The sizes of the weights in ``file`` against the keys of the recipe."""
    sizes = {**sizes_of_weights(weights), **heads_of_weights(weights, stock)}
    differing = {key: size for key, size in sizes.items() if hparams.get(key, size) != size}
    if differing:
        theirs = ", ".join(f"{key} {size}" for key, size in differing.items())
        ours = ", ".join(f"{key} {hparams[key]}" for key in differing)
        options = " ".join(f"--{key} {size}" for key, size in differing.items())
        raise RecipeError(f"{file} has {theirs}, but {recipe} has {ours}: give the model's own recipe, or {options}")


def sizes_of_weights(weights: State) -> dict[str, int]:
    """The sizes of a SpeechBrain recogniser by the keys of our recipes."""

    def layers(part: str) -> int:
        return len({name.split(".")[3] for name in weights if name.startswith(f"1.{part}.layers.")})

    dimensions = {
        "d_model": ("1.custom_src_module.layers.0.w.weight", 0),
        "vocab_size": ("3.w.weight", 0),
        "d_ffn": ("1.decoder.layers.0.pos_ffn.ffn.0.weight", 0),
        "kernel_size": ("1.encoder.layers.0.convolution_module.conv.weight", 2),
    }
    sizes = {key: weights[name].shape[axis] for key, (name, axis) in dimensions.items() if name in weights}
    return {"layers": layers("encoder"), "decoder_layers": layers("decoder"), **sizes}


def heads_of_weights(weights: State, stock: Hyperparameters) -> dict[str, int]:
    """The number of heads, if it is known: for rotary attention it stands in hyperparams.yaml alone."""
    layer = "1.encoder.layers.0.mha_layer"
    if f"{layer}.pos_bias_u" in weights:
        return {"heads": weights[f"{layer}.pos_bias_u"].shape[1]}
    if f"{layer}.hyper.w1_gen.fc1_weights" in weights:
        return {"heads": weights[f"{layer}.hyper.w1_gen.fc1_weights"].shape[0]}
    nhead = stock.value("Transformer.nhead")
    return {"heads": int(nhead)} if nhead else {}


def check_tokenizer(file: Path, vocab_size: int) -> None:
    """A tokenizer may have fewer pieces than the model has outputs, not more."""
    pieces = load_tokenizer(file).vocab_size()
    if pieces > vocab_size:
        raise RecipeError(f"{file} has {pieces} pieces, but the model has only {vocab_size} outputs")
