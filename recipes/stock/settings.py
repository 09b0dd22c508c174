"""Settings of a SpeechBrain model that its weights do not show, as options of our recipes."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml.nodes import MappingNode, Node

from recipes.config.messages import nearest
from recipes.config.source import child, compose
from recipes.errors import RecipeError

# Our names by those of SpeechBrain: parts of weights' names for the encoder and the mixer, classes of activations.
ENCODERS = {"convolution_module": "Conformer", "convolution_branch": "Branchformer"}
MIXERS = {"hyper": "HyperMixing", "pos_bias_u": "RelposAttention", "in_proj_weight": "Attention"}
ACTIVATIONS = {"GELU": "GELU", "ReLU": "ReLU", "Swish": "SiLU", "SiLU": "SiLU"}

SAMPLES_PER_MS = 16
NEEDED = ("Transformer", "compute_features")
# Settings of SpeechBrain: the only value that our model can take, and SpeechBrain's default.
FIXED = {
    "Transformer.causal": ("False", "True"),
    "Transformer.normalize_before": ("True", "False"),
    "Transformer.conformer_activation": ("Swish", "Swish"),
    "Transformer.gate_activation": ("Identity", "Identity"),
    "compute_features.sample_rate": ("16000", "16000"),
    "compute_features.hop_length": ("10", "10"),
    "compute_features.f_min": ("0", "0"),
    "compute_features.f_max": ("8000", "8000"),
    "compute_features.filter_shape": ("triangular", "triangular"),
    "normalize.norm_type": ("global", "global"),
    "bos_index": ("1", "1"),
    "eos_index": ("2", "2"),
    "blank_index": ("0", "0"),
}


class Kind(NamedTuple):
    """Which encoder around which mixer, by our class names."""

    encoder: str
    mixer: str

    def __str__(self):
        return f"a {self.encoder} with {self.mixer}"


def kind_of_weights(names: Iterable[str], file: Path) -> Kind:
    """The kind of a SpeechBrain recogniser with weights of these names.

    Raises RecipeError for an encoder or a mixer that we do not have.
    """
    parts = {part for name in names if name.startswith("1.encoder.layers.0.") for part in name.split(".")}
    encoder = next((ours for stock, ours in ENCODERS.items() if stock in parts), None)
    mixer = next((ours for stock, ours in MIXERS.items() if stock in parts and "att" not in parts), None)
    if encoder is None or mixer is None:
        raise RecipeError(
            f"{file} holds no model that we can take: it must be [CNN, Transformer, seq_lin, ctc_lin] with a "
            "Conformer (RelPosMHAXL, RoPEMHA, hypermixing) or a Branchformer (RelPosMHAXL, hypermixing)"
        )
    return Kind(encoder, mixer)


def is_same(value: str, needed: str) -> bool:
    """Also where both are numbers, written in two ways."""
    try:
        return float(value) == float(needed)
    except ValueError:
        return value == needed


class Hyperparameters:
    """The settings in a ``hyperparams.yaml`` of SpeechBrain, read as text: nothing in it is built or run.

    path: None if there is no such file; then no setting has a value.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.root = compose(path.read_text(encoding="utf-8"), str(path)) if path else None

    def value(self, dotted: str) -> str | None:
        """The text at a key, the class name for ``!name:package.Class``; references to a key are followed."""
        node = self.root
        for part in dotted.split("."):
            node = self.follow(child(node, part)) if isinstance(node, MappingNode) else None
        if node is None or isinstance(node, MappingNode):
            return None
        return node.tag.rpartition(".")[2] if node.tag.startswith("!name:") else node.value

    def follow(self, node: Node | None) -> Node | None:
        """The node that a chain of references leads to. Raises RecipeError for a reference that is an expression."""
        while node is not None and node.tag == "!ref":
            key = re.fullmatch(r"<(\w+)>", node.value)
            if not key:
                line = node.start_mark.line + 1
                raise RecipeError(f"{self.path}, line {line}: write the value itself in the place of {node.value}")
            node = child(self.root, key[1])
        return node

    def check(self) -> None:
        """Raises RecipeError for a setting under which our model would not compute the same."""
        for name in NEEDED:
            if child(self.root, name) is None:
                raise RecipeError(f"{self.path} has no {name}: is it the file of this model?")
        for name, (needed, otherwise) in FIXED.items():
            value = self.value(name)
            if not is_same(value or otherwise, needed):
                shown = value or f"not set, which means {otherwise}"
                raise RecipeError(f"{self.path}: {name} is {shown}; we can only take {needed}")


def stock_options(kind: Kind, mixer: str, stock: Hyperparameters) -> dict[str, object]:
    """Options of a recipe, by dotted key, with which our model computes what SpeechBrain's does.

    mixer: the recipe's name for its mixer. Raises RecipeError for settings that our model cannot take.
    """
    options = {
        "model.features.floor": -100.0,
        "model.features.range_db": 80.0,
        "model.frontend.ends": "reflect",
        "model.encoder.activation": "!name:torch.nn." + {"Conformer": "SiLU", "Branchformer": "GELU"}[kind.encoder],
    }
    if kind.encoder == "Branchformer":
        options["model.encoder.ends"] = "reflect"
    if kind.mixer != "HyperMixing":
        options[f"mixers.{mixer}.scale"] = "model"
    if stock.root is None:
        return options
    stock.check()
    activations = {"decoder": stock.value("Transformer.activation") or "ReLU"}
    if kind.encoder == "Branchformer":
        activations["encoder"] = stock.value("Transformer.branchformer_activation") or "GELU"
    for part, name in activations.items():
        if name not in ACTIVATIONS:
            raise RecipeError(f"{stock.path}: unknown activation {name}{nearest(name, list(ACTIVATIONS))}")
        options[f"model.{part}.activation"] = f"!name:torch.nn.{ACTIVATIONS[name]}"
    options["model.features.window_length"] = window_length(stock)
    return options


def window_length(stock: Hyperparameters) -> int:
    """Samples of the features' window. Raises RecipeError unless the Fourier transform has the same length."""
    window = round(float(stock.value("compute_features.win_length") or 25) * SAMPLES_PER_MS)
    transform = int(stock.value("compute_features.n_fft") or 400)
    if transform != window:
        raise RecipeError(f"{stock.path}: n_fft is {transform} for a window of {window} samples; we take them equal")
    return window
