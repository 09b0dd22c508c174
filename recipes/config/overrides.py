"""The keys of a command line, `--model.dropout 0.2 --mixer xnor`, as one difference from a recipe."""

import json
from collections.abc import Iterable, Mapping

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.config.inherit import check_not_filled
from recipes.config.keys import values_of
from recipes.config.limits import as_text
from recipes.config.merge import has_no_keys, is_no_single_value, is_object
from recipes.config.names import CALLABLE_TAGS
from recipes.config.source import STANDARD, Source, check, child, compose
from recipes.config.trust import Trust
from recipes.errors import RecipeError

Overrides = Mapping[str, object] | Iterable[tuple[str, object]]

COMMAND_LINE = "command line"  # what errors name instead of a file
PLAIN_MAPPING = f"{STANDARD}map"
# Values for which a bare `--key` on the command line is a slip: true can only stand for true, false or null.
NEED_A_VALUE = (*(f"{STANDARD}{kind}" for kind in ("int", "float", "str")), "!ref", "!PLACEHOLDER")


def difference_of(overrides: Overrides, source: Source) -> Source:
    """All overrides as one recipe of differences from `source`, in their order: a later one may change a value
    that an earlier one brought.

    Keys are dotted (`model.dropout`); a string is read as YAML (`"1e-3"`, `"[a, b]"`), or kept as it is for keys
    that hold text; anything else is taken as it is. Raises RecipeError, beginning with "command line", for what is
    no value, a key below a single value, and what `recipes.config.source.check` refuses."""
    whole = MappingNode(PLAIN_MAPPING, [], flow_style=False)
    trust = max(source.trust, Trust.OWN)  # the user typed them
    for name, value in dict(overrides).items():
        *parents, last = name.split(".")
        node = _value(name, value)
        before = _value_before(source.root, whole, [*parents, last])
        if value is True and (values_of(name).text or (before is not None and before.tag in NEED_A_VALUE)):
            raise RecipeError(f"{COMMAND_LINE}: --{name} needs a value")
        for part in reversed([*parents, last]):
            node = MappingNode(PLAIN_MAPPING, [(ScalarNode(f"{STANDARD}str", part), node)], flow_style=False)
        check(Source(COMMAND_LINE, "", node, trust), node)
        whole = _joined(source.root, whole, node, ())
    difference = Source(COMMAND_LINE, "", whole, trust)
    check(difference, whole)  # keys that came to a class or function of an earlier override
    check_not_filled(source, difference)
    return difference


def _value(name: str, value: object) -> Node:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if isinstance(value, str) and values_of(name).text:
        return _text_value(name, text)
    try:
        node = compose(text, COMMAND_LINE)
    except RecipeError as error:
        hint = "a text with special characters needs quotes of its own"
        raise RecipeError(f"{COMMAND_LINE}: --{name} '{text}' is not a YAML value; {hint}") from error
    if node is None:
        raise RecipeError(f"{COMMAND_LINE}: --{name} has no value; write null for none")
    if node.tag == f"{STANDARD}str" and node.style is None and node.value != text.strip():
        return ScalarNode(f"{STANDARD}str", text, style='"')  # not a comment: the # of a folder's name
    return node


def _text_value(name: str, text: str) -> Node:
    """What was typed for a key that holds text: as it is, unless it is quoted, a list, `!ref …`, or null."""
    values = values_of(name)
    try:
        node = compose(text, COMMAND_LINE)
    except RecipeError:
        node = ScalarNode(f"{STANDARD}str", text)
    if node is None and not text.strip():
        raise RecipeError(f"{COMMAND_LINE}: --{name} has no value" + ("; write null for none" if values.null else ""))
    if isinstance(node, SequenceNode) and values.listed:
        return as_text(node)
    if isinstance(node, ScalarNode):
        is_quoted, is_null = node.style in ("'", '"'), values.null and node.tag == f"{STANDARD}null"
        if is_quoted or is_null or not node.tag.startswith(STANDARD):
            return node
    return ScalarNode(f"{STANDARD}str", text, style='"')


def _value_before(old: Node | None, earlier: Node | None, parts: list[str]) -> Node | None:
    """What stands at a dotted key so far: what an earlier override brought, or else the recipe's own value."""
    for depth, part in enumerate(parts, start=1):
        old, earlier = _child_old(old, earlier, part), _child(earlier, part)
        value = old if earlier is None else earlier
        if depth < len(parts) and isinstance(value, ScalarNode) and not value.tag.startswith(CALLABLE_TAGS):
            single = ".".join(parts[:depth])
            raise RecipeError(f"{COMMAND_LINE}: '{single}' is a single value, it has no key '{parts[depth]}'")
    return value


def _child(node: Node | None, name: str) -> Node | None:
    return child(node, name) if isinstance(node, MappingNode) else None


def _child_old(old: Node | None, earlier: Node | None, name: str) -> Node | None:
    """The recipe's value of a key, unless an earlier override replaces the whole mapping that it stands in."""
    changes_old = isinstance(earlier, MappingNode) and (
        earlier.tag == PLAIN_MAPPING or (old is not None and earlier.tag == old.tag)
    )
    return _child(old, name) if earlier is None or changes_old else None


def _joined(old: Node | None, earlier: Node | None, later: Node, path: tuple[str, ...]) -> Node:
    """The one value that changes `old` as `earlier` and then `later` would, by the rules of `merge`."""
    if earlier is None:
        return later
    name, untagged, null = ".".join(path), later.tag.startswith(STANDARD), f"{STANDARD}null"
    if not isinstance(later, MappingNode):
        if untagged and later.tag != null and (is_object(earlier) or isinstance(earlier, MappingNode)):
            raise RecipeError(f"{COMMAND_LINE}: {is_no_single_value(name, earlier)}")
        return later
    tag = old.tag if old is not None and earlier.tag == PLAIN_MAPPING else earlier.tag  # with `earlier` in place
    if not untagged and later.tag != tag:
        return later
    if earlier.tag.startswith(CALLABLE_TAGS) and not earlier.value:
        return MappingNode(earlier.tag, later.value, flow_style=later.flow_style)  # its first arguments
    if not isinstance(earlier, MappingNode):
        if untagged and earlier.tag != null:
            raise RecipeError(f"{COMMAND_LINE}: {has_no_keys(name)}")
        return later
    values = {key.value: (key, value) for key, value in earlier.value}
    for key, value in later.value:
        before = values[key.value][1] if key.value in values else None
        values[key.value] = (key, _joined(_child_old(old, earlier, key.value), before, value, (*path, key.value)))
    return MappingNode(earlier.tag, list(values.values()), flow_style=earlier.flow_style)
