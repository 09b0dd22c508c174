"""Check the references of a whole recipe (`!ref <d_model>`) before HyperPyYAML follows them.

HyperPyYAML says neither where a wrong reference stands nor what it could have meant, and passes over a circular one.
"""

import re

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.errors import RecipeError
from recipes.yaml_source import STANDARD, Source, child, nearest

REFERENCE_TAGS = ("!ref", "!copy")


def check_references(source: Source) -> None:
    """Raises RecipeError, naming the key, for a reference to nothing, to itself, or of a form that cannot work."""
    _visit(source, source.root, "", trail=[], done=set())


def placeholders(source: Source) -> list[str]:
    """The keys that still are `!PLACEHOLDER`, each with the keys above it: `data_folder`, `model.lexicon`."""
    return [key for key, node in _leaves(source.root, "") if node.tag == "!PLACEHOLDER"]


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
    if isinstance(node, ScalarNode) and node.tag in REFERENCE_TAGS:
        for reference in re.findall(r"<[^>]*>", node.value):
            target = _target(source, key, reference)
            if target is not None:
                _visit(source, target, key, trail, done)
                _check_order(source, key, node, reference, target)
    done.add(id(node))


def _target(source: Source, key: str, reference: str) -> Node | None:
    """What a reference such as `<encoder[d_model]>` stands for; None where that is known only after loading."""
    says = f"{source.name}: '{key}' refers to {reference}"
    if "<" in reference[1:]:
        raise RecipeError(f"{says}: a reference cannot stand inside another")
    where, _, attribute = reference[1:-1].partition(".")
    node, found = source.root, []
    for part in (part.strip("]") for part in where.split("[")):
        if isinstance(node, ScalarNode) and node.tag in REFERENCE_TAGS:
            return None
        names = [name.value for name, _ in node.value] if isinstance(node, MappingNode) else []
        if part not in names:
            known = ["[".join([*found, name]) + "]" * len(found) for name in names]
            wanted = "[".join([*found, part]) + "]" * len(found)
            raise RecipeError(f"{says}, which does not exist{nearest(wanted, known)}")
        node, found = child(node, part), [*found, part]
    if attribute and node.tag == f"{STANDARD}map":
        raise RecipeError(f"{says}: a dot asks an object for an attribute; a key is <{where}[{attribute}]>")
    return node


def _check_order(source: Source, key: str, node: ScalarNode, reference: str, target: Node) -> None:
    """HyperPyYAML leaves a bare reference to a bare reference further down unresolved."""
    bare = isinstance(target, ScalarNode) and target.tag in REFERENCE_TAGS and re.fullmatch("<[^>]*>", target.value)
    if bare and target.start_mark.index > node.start_mark.index:
        advice = "move it above, or refer to that at once"
        raise RecipeError(f"{source.name}: '{key}' refers to {reference}, itself {target.value} further down: {advice}")
