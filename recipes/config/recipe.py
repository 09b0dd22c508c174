"""Load a recipe: a HyperPyYAML file, or a short file of differences from another one.

`base: conformer.yaml` (relative to the file that says so; a base may have a base) names the file that a
recipe builds on; its other keys say what differs, by the rules of `recipes.config.merge`. A key that the base
does not have is an error. `flatten` writes the whole recipe out as one plain HyperPyYAML text that can be
kept, edited and loaded again; `load` builds its objects.

The loader itself fills in `layer_mixers` and `mixer_name` (see `recipes.config.layer_mixers`) where a recipe has a
table `mixers`, and `recipe`, the name of the recipe, where that key is null.

    python -m recipes.config hparams/NAME.yaml [--key value …]      prints the whole recipe
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.config import layer_mixers
from recipes.config.merge import dump, merge, set_keys
from recipes.config.references import check_references, placeholders
from recipes.config.source import CALLABLE_TAGS, STANDARD, Source, check, child, compose, nearest, read
from recipes.errors import RecipeError

# Keys that say where things lie, what they are called or how they are kept, not what is trained: left out of a
# recipe's hash.
WHERE_KEYS = ("data_folder", "output_folder", "recipe", "workers", "tensorboard", "ckpt_interval_minutes")

# Values for which a bare `--key` on the command line is a slip: true can only stand for true, false or null.
NEED_A_VALUE = (*(f"{STANDARD}{kind}" for kind in ("int", "float", "str")), "!ref", "!PLACEHOLDER")

Overrides = Mapping[str, object] | Iterable[tuple[str, object]]


class Recipe(NamedTuple):
    """A loaded recipe."""

    text: str  # the whole recipe, plain HyperPyYAML
    hparams: dict  # its keys, with objects built and references followed
    hash: str  # 12 hexadecimal digits, equal for recipes that train the same; see `recipe_hash`
    name: str  # the value of the key `recipe`, else the stem of the file
    path: Path


def load(path: Path, overrides: Overrides = ()) -> Recipe:
    """Read a recipe, apply `overrides` (see `flatten`), and build its objects.

    Raises RecipeError, one line with the file and the key, for whatever keeps the recipe from being built:
    what `flatten` raises, a `!PLACEHOLDER` that was not given, and an error in a constructor."""
    source = _flatten(Path(path), overrides)
    missing = placeholders(source)
    if missing:
        options = [f"--{key} {'PATH' if key.endswith('folder') else 'VALUE'}" for key in missing]
        verb = "is" if len(missing) == 1 else "are"
        raise RecipeError(f"{path}: {' and '.join(missing)} {verb} not set: give {' '.join(options)}")
    try:
        # HyperPyYAML writes a recipe out anew while it follows references, and fails on some comments and
        # brackets: a comment after a list of references, an object with one argument inside [ ].
        text = dump(source.root, brackets=False)
        hparams = load_hyperpyyaml(text, loader=_NamingLoader)
    except _ConstructionError as error:
        raise RecipeError(f"{path}: {error}") from error.__cause__
    except (ValueError, TypeError, ruamel.yaml.error.YAMLError) as error:
        raise RecipeError(f"{path}: {_one_line(error)}") from error
    name = source.find("recipe")
    name = Path(path).stem if name is None else name.value
    return Recipe(source.text, hparams, recipe_hash(source), name, Path(path))


def flatten(path: Path, overrides: Overrides = ()) -> str:
    """The whole recipe as one plain HyperPyYAML text, with the base's comments and the recipe's head comment.

    `overrides` maps keys (`lr`, `model.dropout`) to values: a string is read as YAML (`"1e-3"`, `"[a, b]"`),
    anything else is taken as it is. Flattening a flattened recipe gives the same text.

    Raises RecipeError for a missing file, broken YAML, a key that the base does not have, a keyword that a
    class does not take, mixers that do not fit, and a reference to nothing."""
    return _flatten(Path(path), overrides).text


def recipe_keys(path: Path) -> list[str]:
    """The top-level keys of a recipe and its bases. Raises RecipeError where a file cannot be used."""
    return [key.value for key, _ in _with_base(Path(path), ()).root.value]


def recipe_hash(source: Source) -> str:
    """12 hexadecimal digits of the SHA-256 of what a recipe trains (see `recipe_content`)."""
    content = json.dumps(_content(source), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def recipe_content(text: str) -> dict:
    """What a flattened recipe trains, as plain values by top-level key.

    Comments, spelling (`1e-3`, `0.001`), the order of keys, WHERE_KEYS and the mixers that no layer uses do
    not count."""
    return _content(Source("recipe", text, compose(text, "recipe")))


def _content(source: Source) -> dict:
    content = {key.value: _plain(value) for key, value in source.root.value if key.value not in WHERE_KEYS}
    if isinstance(source.find("mixers"), MappingNode):
        used = layer_mixers.resolve(source)
        content["mixers"] = {name: value for name, value in content["mixers"].items() if name in used}
        content["mixer"] = used
    return content


def _plain(node: Node) -> object:
    if isinstance(node, MappingNode):
        value = {key.value: _plain(below) for key, below in node.value}
    elif isinstance(node, SequenceNode):
        value = [_plain(item) for item in node.value]
    elif node.tag.startswith(STANDARD):
        return ruamel.yaml.YAML(typ="safe", pure=True).constructor.construct_object(node)
    else:
        value = node.value
    return value if node.tag.startswith(STANDARD) else [node.tag, value]


def _flatten(path: Path, overrides: Overrides) -> Source:
    source = _with_base(path, ())
    for name, value in dict(overrides).items():
        source = merge(source, _command_line_difference(source, name, value), source.name)
    filled = layer_mixers.filled(source)
    name = source.find("recipe")
    if name is not None and name.tag == f"{STANDARD}null":
        filled["recipe"] = ScalarNode(f"{STANDARD}str", path.stem)
    source = set_keys(source, filled)
    check_references(source)
    return source


def _with_base(path: Path, above: tuple[Path, ...]) -> Source:
    """The file merged into its base, and that into its own."""
    _check_exists(path)
    source = read(path)
    base_node = source.find("base")
    if base_node is None:
        return source
    base_path = path.parent / base_node.value if isinstance(base_node, ScalarNode) else path.parent
    above = (*above, path.resolve())
    if not base_path.is_file():
        hint = nearest(base_path.name, [file.name for file in base_path.parent.glob("*.yaml")])
        raise RecipeError(f"{source.at(base_node)}: there is no base '{base_path}'{hint}")
    if base_path.resolve() in above:
        raise RecipeError(f"{source.at(base_node)}: the base '{base_path}' builds on this file in turn")
    base = _with_base(base_path, above)
    pairs = [(key, value) for key, value in source.root.value if key.value != "base"]
    difference = source._replace(root=MappingNode(source.root.tag, pairs, flow_style=False))
    _check_not_filled(base, difference)
    merged = merge(base, difference, source.name)
    if child(merged.root, "recipe") is not None and child(difference.root, "recipe") is None:
        # A base that was flattened carries the name of the recipe it was.
        merged = set_keys(merged, {"recipe": ScalarNode(f"{STANDARD}null", "null")})
    return _with_head_comment(merged, source.text)


def _with_head_comment(merged: Source, own_text: str) -> Source:
    """The recipe's own comment at the top in place of the base's, which stays where there is no other."""
    head = re.compile(r"\A(?:#.*\n)+")
    own = head.match(own_text)
    if not own:
        return merged
    text = own.group() + "\n" + head.sub("", merged.text).lstrip("\n")
    return Source(merged.name, text, compose(text, merged.name))


def _check_exists(path: Path) -> None:
    if path.is_file():
        return
    for folder in (path.parent, Path("hparams")):
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        if known:
            hint = nearest(path.stem, known) or ";"
            raise RecipeError(f"there is no recipe '{path}'{hint} recipes in {folder}: {', '.join(known)}")
    raise RecipeError(f"there is no recipe '{path}'")


def _check_not_filled(base: Source, difference: Source) -> None:
    for key, _ in difference.root.value if base.find("mixers") is not None else ():
        if key.value in layer_mixers.FILLED_KEYS:
            place = difference.at(key)
            raise RecipeError(f"{place}: '{key.value}' follows from 'mixer' and 'layers': set those")


def _command_line_difference(source: Source, name: str, value: object) -> Source:
    """`name` (dotted) and its value, as a recipe with this one difference. Its errors say "command line"."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    try:
        node = compose(text, "command line")
    except RecipeError as error:
        hint = "a text with special characters needs quotes of its own"
        raise RecipeError(f"command line: --{name} '{text}' is not a YAML value; {hint}") from error
    if node is None:
        raise RecipeError(f"command line: --{name} has no value; write null for none")
    if node.tag == f"{STANDARD}str" and node.style is None and node.value != text.strip():
        node = ScalarNode(f"{STANDARD}str", text, style='"')  # not a comment: the # of a folder's name
    *parents, last = name.split(".")
    below = source.root
    for depth, parent in enumerate(parents, start=1):
        below = child(below, parent) if isinstance(below, MappingNode) else None
        if isinstance(below, ScalarNode) and not below.tag.startswith(CALLABLE_TAGS):
            single, key = ".".join(parents[:depth]), [*parents, last][depth]
            raise RecipeError(f"command line: '{single}' is a single value, it has no key '{key}'")
    old = child(below, last) if isinstance(below, MappingNode) else None
    if value is True and old is not None and old.tag in NEED_A_VALUE:
        raise RecipeError(f"command line: --{name} needs a value")
    for part in reversed([*parents, last]):
        node = MappingNode(f"{STANDARD}map", [(ScalarNode(f"{STANDARD}str", part), node)], flow_style=False)
    difference = Source("command line", text, node)
    check(difference, node)
    _check_not_filled(source, difference)
    return difference


class _ConstructionError(Exception):
    """An error in a constructor, with the key of the object. HyperPyYAML lets it pass: it is no TypeError."""


class _NamingLoader(ruamel.yaml.Loader):
    """The loader of HyperPyYAML, except that an error in a constructor names the key of its object."""

    def construct_document(self, node):
        self.keys = {}
        self._name_all(node, "")
        return super().construct_document(node)

    def construct_object(self, node, deep=True):
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AssertionError, RuntimeError, OSError) as error:
            if node.tag.startswith(CALLABLE_TAGS):
                raise _ConstructionError(f"{self.keys[id(node)]}: {_one_line(error)}") from error
            raise

    def _name_all(self, node, key):
        self.keys.setdefault(id(node), key)
        if isinstance(node, MappingNode):
            for name, value in node.value:
                self._name_all(value, f"{key}.{name.value}" if key else name.value)
        elif isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self._name_all(item, f"{key}.{index}")


def _one_line(error: Exception) -> str:
    # HyperPyYAML puts its own words before a TypeError's: the last argument is what the constructor said.
    text = str(error.args[-1]) if isinstance(error, TypeError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__
