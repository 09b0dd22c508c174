"""Check the references of a whole recipe (`!ref <d_model>`) before HyperPyYAML follows them.

HyperPyYAML reports neither where a wrong reference stands nor what it could have meant, passes over a circular
reference, and silently misreads an object with one argument inside `[ ]`: `[!name:a {b: 1}]` becomes `[{a: 1}]`.
Such text is refused, so that a flattened recipe means the same to plain HyperPyYAML.
"""

import re

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.config.messages import nearest
from recipes.config.source import STANDARD, Source, child
from recipes.errors import RecipeError

REFERENCE_TAGS = ("!ref", "!copy")


def check_references(source: Source) -> None:
    """Raises RecipeError, naming the key, for a reference to nothing or itself, or one that cannot work."""
    _visit(source, source.root, "", trail=[], done=set())


def placeholders(source: Source) -> list[str]:
    """The keys that still are `!PLACEHOLDER`, each with the keys above it: `data_folder`, `model.lexicon`."""
    return [key for key, node in _leaves(source.root, "") if node.tag == "!PLACEHOLDER"]


def referred_to(source: Source) -> set[str]:
    """The top-level keys that a reference names."""
    nodes = (node for _, node in _leaves(source.root, "") if node.tag in REFERENCE_TAGS)
    return {re.split(r"[.\[]", name)[0] for node in nodes for name in re.findall(r"<([^>]*)>", node.value)}


def _children(node: Node, key: str) -> list[tuple[str, Node]]:
    prefix = f"{key}." if key else ""
    if isinstance(node, MappingNode):
        return [(f"{prefix}{name.value}", value) for name, value in node.value]
    if isinstance(node, SequenceNode):
        return [(f"{prefix}{index}", value) for index, value in enumerate(node.value)]
    return []


def _leaves(node: Node, key: str):
    if isinstance(node, ScalarNode):
        yield key, node
    for name, below in _children(node, key):
        yield from _leaves(below, name)


def _visit(source: Source, node: Node, key: str, trail: list[int], done: set[int]) -> None:
    """Depth first through the values and, from each reference, through what it refers to."""
    if id(node) in trail:
        raise RecipeError(f"{source.name}: '{key}' refers to itself, directly or in a circle")
    if id(node) in done:
        return
    trail = [*trail, id(node)]
    for name, below in _children(node, key):
        _visit(source, below, name, trail, done)
        if isinstance(node, SequenceNode) and node.flow_style:
            _check_bracketed(source, name, below)
    if isinstance(node, ScalarNode) and node.tag in REFERENCE_TAGS:
        for reference in re.findall(r"<[^>]*>", node.value):
            target_key, target = _target(source, key, reference)
            if target is not None:
                _visit(source, target, target_key, trail, done)
                _check_order(source, key, node, reference, target)
    done.add(id(node))


def _target(source: Source, key: str, reference: str) -> tuple[str, Node | None]:
    """The key that a reference such as `<encoder[d_model]>` means, and its value, or None where that is
    known only after loading: behind another reference."""
    problem = f"{source.name}: '{key}' refers to {reference}"
    if "<" in reference[1:]:
        raise RecipeError(f"{problem}: a reference cannot stand inside another")
    where, _, attribute = reference[1:-1].partition(".")
    if attribute.startswith("_"):
        raise RecipeError(f"{problem}: an attribute that begins with _ is not for others")
    node, path = source.root, []
    for part in (part.strip("]") for part in where.split("[")):
        if isinstance(node, ScalarNode) and node.tag in REFERENCE_TAGS:
            return where, None
        names = [name.value for name, _ in node.value] if isinstance(node, MappingNode) else []
        if part not in names:
            hint = nearest(_bracketed([*path, part]), [_bracketed([*path, name]) for name in names])
            raise RecipeError(f"{problem}, which does not exist{hint}")
        node = child(node, part)
        path.append(part)
    if attribute and node.tag == f"{STANDARD}map":
        raise RecipeError(f"{problem}: a dot asks an object for an attribute; a key is <{where}[{attribute}]>")
    return ".".join(path), node


def _bracketed(path: list[str]) -> str:
    """A key as references spell it: `model[search][beam]`."""
    return "[".join(path) + "]" * (len(path) - 1)


def _check_order(source: Source, key: str, node: ScalarNode, reference: str, target: Node) -> None:
    """HyperPyYAML leaves a bare reference to another reference further down unresolved; with arithmetic it does not."""
    if not isinstance(target, ScalarNode) or target.tag not in REFERENCE_TAGS:
        return
    if re.fullmatch("<[^>]*>", node.value) and target.start_mark.index > node.start_mark.index:
        problem = f"refers to {reference}, which further down refers to {target.value}"
        raise RecipeError(f"{source.name}: '{key}' {problem}: write {target.value} here, or move '{key}' below")


def _check_bracketed(source: Source, key: str, item: Node) -> None:
    """An item of `[ ]` must not be, or become, an object with one argument: `[!name:a {b: 1}]`."""
    if isinstance(item, ScalarNode) and item.tag in REFERENCE_TAGS and re.fullmatch("<[^>]*>", item.value):
        _, target = _target(source, key, item.value)
        # What stands above is referred to by an alias; what stands below, or is copied, is written out here.
        if target is None or (item.tag == "!ref" and target.start_mark.index < item.start_mark.index):
            return
        item = target
    if isinstance(item, MappingNode) and not item.tag.startswith(STANDARD) and len(item.value) == 1:
        advice = "write the list as lines that begin with `- `, or move it below what it refers to"
        raise RecipeError(f"{source.name}: '{key}' is an object in [ ], which HyperPyYAML misreads: {advice}")
