"""Read recipe files: YAML text with its nodes, checked so that a slip is named with its file and line."""

import functools
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.config.messages import dotted, no_such_key
from recipes.config.names import CALLABLE_TAGS, accepted_keywords
from recipes.config.trust import Trust, check_name
from recipes.errors import RecipeError

STANDARD = "tag:yaml.org,2002:"  # prefix of the tags that plain YAML values have
PLAIN_TAGS = tuple(f"{STANDARD}{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp"))
SCALAR_TAGS = ("!ref", "!copy", "!PLACEHOLDER", "!tuple")


class Source(NamedTuple):
    """One YAML text, its root node, and the name under which its errors are reported."""

    name: str
    text: str
    root: MappingNode
    trust: Trust = Trust.LISTED  # what it may name

    def at(self, node: Node) -> str:
        """Where `node` stands: name and line, or only the name for what was not read from a file."""
        return f"{self.name}, line {node.start_mark.line + 1}" if self.text and node.start_mark else self.name

    def find(self, name: str) -> Node | None:
        """The value of a top-level key, None where there is none."""
        return child(self.root, name)


def read(path: Path, trust: Trust) -> Source:
    """Read a recipe file. trust: what it may name.

    Raises RecipeError (file, line, what) for broken YAML, an alias, a key given twice, an unknown tag, a class or
    function that it may not name or that does not exist, and a keyword argument that it does not take."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read {path}: {error}") from error
    text = text if text.endswith("\n") else f"{text}\n"
    root = compose(text, str(path))
    if not isinstance(root, MappingNode):
        raise RecipeError(f"{path} is no recipe: it must consist of `key: value` lines")
    source = Source(str(path), text, root, trust)
    check(source, root)
    return source


class _NoAliases(Composer):
    def compose_node(self, parent, index):
        # An alias has its text elsewhere, so that a difference to one of its users would silently change all.
        if self.parser.check_event(AliasEvent):
            event = self.parser.peek_event()
            raise _AliasError(event.start_mark.line + 1, event.anchor)
        return super().compose_node(parent, index)


class _AliasError(Exception):
    """A YAML alias: its line and its name."""


@functools.lru_cache(maxsize=64)  # nodes are never changed, and the bases of recipes are read again and again
def compose(text: str, name: str) -> Node | None:
    """The root node of a YAML text, None for an empty one. Raises RecipeError for broken YAML and for an alias."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _NoAliases
    try:
        return yaml.compose(text)
    except _AliasError as error:
        line, anchor = error.args
        raise RecipeError(f"{name}, line {line}: '*{anchor}' is a YAML alias; write !ref <key> instead") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"{error.problem} {error.context}" if error.context else error.problem
        # HyperPyYAML's own pitfall: the brackets of a reference end a flow list or mapping around it.
        has_reference = any("!ref" in line for line in text.splitlines()[mark.line : mark.line + 1])
        hint = "; inside [ ] and { } quote a reference: !ref '<a[b]>'" if has_reference else ""
        raise RecipeError(f"{name}, line {mark.line + 1}: {problem}{hint}") from error
    except YAMLError as error:
        raise RecipeError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error


def check(source: Source, node: Node, path: tuple[str, ...] = ()) -> None:
    """Check the keys, tags, classes and keyword arguments of `node` and of all below it (see `read`)."""
    accepted = None if node.tag in (*PLAIN_TAGS, *SCALAR_TAGS) else _accepted_or_error(source, node)
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            check(source, item, (*path, str(index)))
    elif isinstance(node, MappingNode):
        names = set()
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.tag not in PLAIN_TAGS:
                raise RecipeError(f"{source.at(key)}: a key must be a plain word")
            if key.value in names:
                raise RecipeError(f"{source.at(key)}: the key '{dotted(path, key.value)}' is given twice")
            names.add(key.value)
            if accepted is not None and key.value not in accepted:
                raise RecipeError(f"{source.at(key)}: {no_such_key(path, key.value, accepted)}")
            check(source, value, (*path, key.value))


def _accepted_or_error(source: Source, node: Node) -> tuple[str, ...] | None:
    """The keywords of the class or function that the node's tag names, if it is one that may be named."""
    if node.tag.startswith("!include:"):
        raise RecipeError(f"{source.at(node)}: !include cannot stand in a recipe; use `base: FILE`")
    if not node.tag.startswith(CALLABLE_TAGS):
        tag, tags = node.tag.replace(STANDARD, "!!", 1), ", ".join((*SCALAR_TAGS, *CALLABLE_TAGS))
        raise RecipeError(f"{source.at(node)}: unknown tag '{tag}'; the tags are {tags}")
    try:
        check_name(node.tag.partition(":")[2], source.trust)
        return accepted_keywords(node.tag)
    except RecipeError as error:
        raise RecipeError(f"{source.at(node)}: {error}") from error


def child(mapping: MappingNode, name: str) -> Node | None:
    """The value of `name` in a mapping, None where there is none."""
    return next((value for key, value in mapping.value if key.value == name), None)


def plain(node: Node) -> object:
    """The value of a node in plain Python; [tag, value] for an object or a reference."""
    if isinstance(node, MappingNode):
        value = {key.value: plain(below) for key, below in node.value}
    elif isinstance(node, SequenceNode):
        value = [plain(item) for item in node.value]
    elif node.tag in PLAIN_TAGS:
        return YAML(typ="safe", pure=True).constructor.construct_object(node)
    else:
        value = node.value
    return value if node.tag in PLAIN_TAGS else [node.tag, value]


def written(node: Node) -> str:
    """A value as an error shows it."""
    if isinstance(node, SequenceNode):
        return f"[{', '.join(map(written, node.value))}]"
    return node.value if isinstance(node, ScalarNode) else "a group of keys"
