"""Put the differences of one recipe into the text of another.

The text of the base stays as it is, with its comments, order and spelling: only the characters of an overridden
value are replaced. (Loading into Python objects and dumping them again loses or moves comments, above all those
beside `!new:` lines.)
"""

import io
import re

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from recipes.errors import RecipeError
from recipes.yaml_source import (
    CALLABLE_TAGS,
    STANDARD,
    Source,
    accepted_keywords,
    check,
    child,
    compose,
    no_such_key,
)

Edit = tuple[int, int, str]  # start and end in the text, and what comes there


def merge(base: Source, difference: Source, result_name: str) -> Source:
    """The base with the values of `difference` in the place of its own.

    - A mapping over a mapping changes it key by key, also under `!new:A` where it has no tag or the same tag.
    - A value with another tag replaces the whole value, arguments included.
    - A scalar or list replaces a scalar or list. It cannot replace a mapping or an object, which is nearly
      always a slip, except for `null`, which switches it off.

    Raises RecipeError, naming the place in `difference`, for these and for a key that the base does not have.
    New keys are for `!new:`, `!name:` and `!apply:` alone: the arguments that their class or function takes."""
    return _edited(base, _merge_mapping(base, base.root, difference, difference.root, ()), result_name)


def set_keys(source: Source, values: dict[str, Node]) -> Source:
    """The source with these top-level values, added at the end where the key is new."""
    edits = []
    for name, value in values.items():
        old_key = next((key for key, _ in source.root.value if key.value == name), None)
        if old_key is None:
            edits.append(_insert(source.text, source.root, ScalarNode(f"{STANDARD}str", name), value, ""))
        else:
            edits.append(_replace(source.text, source.root, old_key, child(source.root, name), value, ""))
    return _edited(source, edits, source.name)


def _edited(source: Source, edits: list[Edit], name: str) -> Source:
    text = source.text
    # From the end backwards, so that the positions of the edits before stay true.
    for start, end, replacement in reversed(sorted(edits, key=lambda edit: edit[0])):
        text = text[:start] + replacement + text[end:]
    return Source(name, text, compose(text, name))


def _merge_mapping(base: Source, old: MappingNode, difference: Source, new: MappingNode, path: tuple) -> list[Edit]:
    old_pairs = {key.value: (key, value) for key, value in old.value}
    accepted = (() if old.tag.startswith(STANDARD) else accepted_keywords(old.tag))
    edits = []
    for key, value in new.value:
        comment = _comment(difference.text, key, value) if key.start_mark else ""
        if key.value in old_pairs:
            edits += _merge_value(base, old, old_pairs[key.value], difference, (key, value), path, comment)
        elif accepted is None or key.value in accepted:
            edits.append(_insert(base.text, old, key, value, comment))
        else:
            known = [*old_pairs, *(name for name in accepted if name not in old_pairs)]
            raise RecipeError(f"{difference.at(key)}: {no_such_key(path, key.value, known)}")
    return edits


def _merge_value(base, parent, old_pair, difference, new_pair, path, comment) -> list[Edit]:
    (old_key, old), (key, new) = old_pair, new_pair
    path = (*path, key.value)
    name = ".".join(path)
    untagged, replaceable = new.tag.startswith(STANDARD), old.tag == f"{STANDARD}null"
    is_object = old.tag.startswith(("!new:", "!name:", "!module:"))
    if isinstance(new, MappingNode) and (untagged or new.tag == old.tag):
        if isinstance(old, MappingNode) and old.value:
            return _merge_mapping(base, old, difference, new, path)
        if old.tag.startswith(CALLABLE_TAGS) and not old.value:
            new = MappingNode(old.tag, new.value, flow_style=new.flow_style)  # its first arguments
            check(difference, new, path)
        elif untagged and not replaceable and not isinstance(old, MappingNode):
            raise RecipeError(f"{difference.at(key)}: '{name}' is a single value or a list, it has no keys")
    elif untagged and new.tag != f"{STANDARD}null" and (is_object or isinstance(old, MappingNode)):
        what = f"`{old.tag}`" if is_object else "a group of keys"
        hint = f"set one of its keys ('{name}.KEY'), or give null to switch it off"
        raise RecipeError(f"{difference.at(key)}: '{name}' is {what} and no single value: {hint}")
    return [_replace(base.text, parent, old_key, old, new, comment)]


def _replace(text: str, parent: MappingNode, key: Node, old: Node, new: Node, comment: str) -> Edit:
    start = key.start_mark.index
    if parent.flow_style:
        return start, old.end_mark.index, _flow_text(key, new)
    lines = _block_lines(key, new, comment or _comment(text, key, old), key.start_mark.column)
    return start, _line_end(text, _end(text, old)), lines


def _insert(text: str, parent: MappingNode, key: Node, value: Node, comment: str) -> Edit:
    """After the last key of `parent`, which must have one."""
    last_key, last = parent.value[-1]
    if parent.flow_style:
        return last.end_mark.index, last.end_mark.index, f", {_flow_text(key, value)}"
    position, column = _line_end(text, _end(text, last)), last_key.start_mark.column
    return position, position, f"\n{' ' * column}{_block_lines(key, value, comment, column)}"


def _block_lines(key: Node, value: Node, comment: str, column: int) -> str:
    """`key: value` as one or more lines, without the last line end; all but the first indented by `column`."""
    first, *others = _emit(key, value, flow=False).rstrip("\n").split("\n")
    indented = [f"{' ' * column}{line}" if line else "" for line in others]
    return "\n".join([first + comment, *indented])


def _flow_text(key: Node, value: Node) -> str:
    """`key: value` as it may stand inside `{ }`."""
    return _emit(key, value, flow=True).strip().removeprefix("{").removesuffix("}").strip()


def _emit(key: Node, value: Node, flow: bool) -> str:
    yaml = YAML()
    yaml.width = 1 << 20  # one line per value
    stream = io.StringIO()
    yaml.serialize(MappingNode(f"{STANDARD}map", [(key, value)], flow_style=flow), stream)
    return stream.getvalue()


def _is_block(node: Node) -> bool:
    return not isinstance(node, ScalarNode) and not node.flow_style


def _end(text: str, node: Node) -> int:
    """Where the last character of a value stands, plus one. (A block's own end mark lies after the comments below.)"""
    if _is_block(node):
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        return len(text[: node.end_mark.index].rstrip())
    return node.end_mark.index


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _comment(text: str, key: Node, value: Node) -> str:
    """The comment beside `key: value`, with the blanks before it; beside the key where the value is a block."""
    start = key.end_mark.index if _is_block(value) else _end(text, value)
    found = re.search(r"[ \t]+#.*", text[start : _line_end(text, start)])
    return found.group() if found else ""
