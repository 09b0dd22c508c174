"""Load a recipe: read it, put in what the command line changes, and build its objects."""

from pathlib import Path
from typing import NamedTuple

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from data_prep.files import expand_user
from recipes.config.content import recipe_hash
from recipes.config.flattening import flattened
from recipes.config.keys import INSTEAD, PATHS
from recipes.config.limits import check_known, check_training, check_values
from recipes.config.merge import dump
from recipes.config.names import CALLABLE_TAGS
from recipes.config.overrides import Overrides
from recipes.config.references import placeholders
from recipes.config.source import STANDARD, Source
from recipes.errors import RecipeError

# What a constructor, or arithmetic with references, may raise for values that it cannot take.
MISTAKES = (
    *(ValueError, TypeError, AssertionError, RuntimeError, OSError),
    *(AttributeError, LookupError, ArithmeticError),
)


class Recipe(NamedTuple):
    """A loaded recipe."""

    text: str  # the whole recipe, plain HyperPyYAML
    hparams: dict  # its keys, with objects built and references followed
    hash: str  # 12 hexadecimal digits, equal for recipes that train the same; see `recipe_hash`
    name: str  # the value of the key `recipe`, else the stem of the file
    path: Path


def load(recipe: Path | Source, overrides: Overrides = (), *, trust: bool = False, training: bool = True) -> Recipe:
    """Flatten a recipe with `overrides` (see `recipes.config.flattening.flatten`) and build its objects.

    recipe: a file, or what `read_recipe` read of it. trust: for a file, see `read_recipe`. training: try whether
    optimizer and schedule can be made, which takes a second. Raises RecipeError, one line with the file and the key,
    for whatever keeps the recipe from being built: what `flatten` raises, a `!PLACEHOLDER` that was not set, an error
    in a constructor, and a value out of its limits behind a reference. A `!PLACEHOLDER` that another key makes
    needless (`recipes.config.keys.INSTEAD`) is null."""
    source = flattened(recipe, overrides, trust=trust)
    path = Path(source.name)
    unset = _needless(source)
    missing = [key for key in placeholders(source) if key not in unset]
    if missing:
        options = [f"--{key} {'PATH' if key.endswith('folder') else 'VALUE'}" for key in missing]
        verb = "is" if len(missing) == 1 else "are"
        raise RecipeError(f"{path}: {' and '.join(missing)} {verb} not set: give {' '.join(options)}")
    try:
        # HyperPyYAML writes a recipe out anew while it follows references, and fails on some comments and
        # brackets: a comment after a list of references, an object with one argument inside [ ].
        text = dump(_with_nulls(source.root, unset), brackets=False)
        loader = type("Loader", (_Loader,), {"callables": _callables(source.root)})
        hparams = load_hyperpyyaml(text, loader=loader)
    except _ConstructionError as error:
        raise RecipeError(f"{path}: {error}") from error.__cause__
    except (*MISTAKES, ruamel.yaml.error.YAMLError) as error:
        raise RecipeError(f"{path}: {_in_one_line(error)}") from error
    check_values(source.name, {key: value for key, value in hparams.items() if key not in unset})
    for key in PATHS & hparams.keys():
        if isinstance(hparams[key], str):
            hparams[key] = str(expand_user(hparams[key]))
    if training:
        check_known(source)
        check_training(source.name, hparams)
    name = source.find("recipe")
    name = path.stem if name is None else name.value
    return Recipe(source.text, hparams, recipe_hash(source), name, path)


class _ConstructionError(Exception):
    """An error in a constructor, with the key of the object. HyperPyYAML lets it pass: it is no TypeError."""


class _Loader(ruamel.yaml.SafeLoader):
    """A safe YAML loader with HyperPyYAML's tags, for errors that name the key of an object.

    HyperPyYAML itself takes an unsafe loader, also for tuples: `(!!python/object/apply:os.system [ls])`."""

    callables: frozenset[str]  # the tags of what may be built: those of the recipe, which have been checked

    def construct_document(self, node):
        self.keys = {}
        self._name_all(node, "")
        return super().construct_document(node)

    def construct_object(self, node, deep=True):
        if node.tag == "!tuple":
            return tuple(ruamel.yaml.YAML(typ="safe", pure=True).load(f"[{node.value[1:-1]}]"))
        if not node.tag.startswith(CALLABLE_TAGS):
            return super().construct_object(node, deep)
        if node.tag not in self.callables:
            raise _ConstructionError(f"{self.keys[id(node)]}: '{node.tag}' was not checked")
        try:
            return super().construct_object(node, deep)
        except MISTAKES as error:
            raise _ConstructionError(f"{self.keys[id(node)]}: {_in_one_line(error)}") from error

    def _name_all(self, node, key):
        self.keys.setdefault(id(node), key)
        if isinstance(node, MappingNode):
            for name, value in node.value:
                self._name_all(value, f"{key}.{name.value}" if key else name.value)
        elif isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self._name_all(item, f"{key}.{index}")


def _needless(source: Source) -> set[str]:
    """The placeholders that other keys make needless."""
    given = {key.value for key, node in source.root.value if node.tag not in ("!PLACEHOLDER", f"{STANDARD}null")}
    return {key for key in placeholders(source) if not given.isdisjoint(INSTEAD.get(key, ()))}


def _with_nulls(root: MappingNode, keys: set[str]) -> MappingNode:
    null = ScalarNode(f"{STANDARD}null", "null")
    pairs = [(key, null if key.value in keys else node) for key, node in root.value]
    return MappingNode(root.tag, pairs, comment=root.comment, flow_style=root.flow_style)


def _callables(root: MappingNode) -> frozenset[str]:
    tags, nodes = {"!apply:getattr"}, [root]  # which HyperPyYAML makes of `!ref <key.attribute>`
    while nodes:
        node = nodes.pop()
        tags.add(node.tag)
        if isinstance(node, MappingNode):
            nodes += [value for _, value in node.value]
        elif isinstance(node, SequenceNode):
            nodes += node.value
    return frozenset(tags)


def _in_one_line(error: Exception) -> str:
    # HyperPyYAML puts its own words before a TypeError's: the last argument is the constructor's message.
    text = str(error.args[-1]) if isinstance(error, TypeError) and error.args else str(error)
    text, kind = " ".join(text.split()), type(error).__name__
    if isinstance(error, KeyError):  # whose text is the key alone
        return f"{kind}: {text}"
    return text or kind
