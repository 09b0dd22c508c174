"""Put the differences of one recipe into the text of another.

The text of the base stays as it is, with its comments, order and spelling: only the characters of an
overridden value are replaced. (Loading into Python objects and dumping them again loses or moves comments,
above all those beside `!new:` lines.)
"""

import io
import re
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.config.keys import takes_null
from recipes.config.messages import no_such_key
from recipes.config.names import CALLABLE_TAGS, accepted_keywords
from recipes.config.source import STANDARD, Source, check, child, compose
from recipes.errors import RecipeError

Pair = tuple[Node, Node]  # a key and its value
BLOCK_STYLES = ("|", ">")
OBJECT_TAGS = ("!new:", "!name:")
COMMENTS_AT_END = re.compile(r"(?:[ \t]+#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*\Z")
Edit = tuple[int, int, str]  # start and end in the text, and what comes there


def merge(base: Source, difference: Source, result_name: str) -> Source:
    """The base with the values of `difference` in the place of its own.

    - A mapping over a mapping changes it key by key, also under `!new:A` where it has no tag or the same tag.
    - A value with another tag replaces the whole value, arguments included.
    - A scalar or list replaces a scalar or list. It cannot replace a mapping or an object, which is nearly
      always a slip, except for `null`, which switches it off.

    Raises RecipeError, naming the place in `difference`, for these and for a key that the base does not have.
    New keys are for `!new:`, `!name:` and `!apply:` alone: arguments that their class or function takes."""
    return edited(base, merge_edits(base, difference), result_name)


def merge_edits(base: Source, difference: Source) -> list[Edit]:
    """What `merge` changes in the text of the base."""
    return _merge_mapping(base, base.root, difference, difference.root, ())


def set_keys(source: Source, values: dict[str, Node]) -> Source:
    """The source with these top-level values, added at the end where the key is new."""
    return edited(source, set_edits(source, values), source.name)


def set_edits(source: Source, values: dict[str, Node]) -> list[Edit]:
    """What `set_keys` changes in the text."""
    edits = []
    for name, value in values.items():
        old_key = next((key for key, _ in source.root.value if key.value == name), None)
        if old_key is None:
            edits.append(_insert(source.text, source.root, ScalarNode(f"{STANDARD}str", name), value, ""))
        else:
            edits.append(_replace(source.text, source.root, old_key, child(source.root, name), value, ""))
    return edits


def key_span(source: Source, name: str) -> tuple[int, int]:
    """Where a top-level key and its value stand in the text, with the comment beside it."""
    key, value = next(pair for pair in source.root.value if pair[0].value == name)
    return key.start_mark.index, _line_end(source.text, _end(source.text, value))


def edited(source: Source, edits: list[Edit], name: str) -> Source:
    """The source, under another name, with all edits made; they must not overlap."""
    if not edits:
        return source._replace(name=name)
    text = source.text
    # From the end backwards, so that the positions of the edits before stay true. Of several lines inserted at
    # one place, those indented most come first: they belong to what ends there.
    for start, end, replacement in reversed(sorted(edits, key=lambda edit: (edit[0], -_indent(edit[2])))):
        text = text[:start] + replacement + text[end:]
    return source._replace(name=name, text=text, root=compose(text, name))


def _indent(replacement: str) -> int:
    line = replacement.removeprefix("\n")
    return len(line) - len(line.lstrip(" "))


def _merge_mapping(
    base: Source, old: MappingNode, difference: Source, new: MappingNode, path: tuple[str, ...]
) -> list[Edit]:
    old_pairs = {key.value: (key, value) for key, value in old.value}
    accepted = () if old.tag.startswith(STANDARD) else accepted_keywords(old.tag)
    edits = []
    for key, value in new.value:
        if key.value in old_pairs:
            edits += _merge_value(base, old, old_pairs[key.value], difference, (key, value), path)
        elif accepted is None or key.value in accepted:
            edits.append(_insert(base.text, old, key, value, _own_comment(difference, key, value)))
        else:
            names = [*old_pairs, *(name for name in accepted if name not in old_pairs)]
            deeper = [] if path else [*_keys_below(base.root, key.value)]
            raise RecipeError(f"{difference.at(key)}: {no_such_key(path, key.value, names, deeper)}")
    return edits


def _keys_below(node: Node, name: str, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted paths of all keys of this name."""
    for key, value in node.value if isinstance(node, MappingNode) else ():
        if path and key.value == name:
            yield ".".join((*path, name))
        yield from _keys_below(value, name, (*path, key.value))


def _merge_value(
    base: Source,
    parent: MappingNode,
    old_pair: Pair,
    difference: Source,
    new_pair: Pair,
    path: tuple[str, ...],
) -> list[Edit]:
    (old_key, old), (key, new) = old_pair, new_pair
    comment = _own_comment(difference, key, new)
    path = (*path, key.value)
    name = ".".join(path)
    untagged, replaceable = new.tag.startswith(STANDARD), old.tag == f"{STANDARD}null"
    if isinstance(new, MappingNode) and (untagged or new.tag == old.tag):
        if isinstance(old, MappingNode) and old.value:
            return _merge_mapping(base, old, difference, new, path)
        if old.tag.startswith(CALLABLE_TAGS) and not old.value:
            new = MappingNode(old.tag, new.value, flow_style=new.flow_style)  # its first arguments
            check(difference, new, path)
        elif untagged and not replaceable and not isinstance(old, MappingNode):
            raise RecipeError(f"{difference.at(key)}: {has_no_keys(name)}")
    elif untagged and new.tag != f"{STANDARD}null" and (is_object(old) or isinstance(old, MappingNode)):
        raise RecipeError(f"{difference.at(key)}: {is_no_single_value(name, old)}")
    return [_replace(base.text, parent, old_key, old, new, comment)]


def is_object(node: Node) -> bool:
    """Whether the node stands for an object, a class or a function."""
    return node.tag.startswith(OBJECT_TAGS)


def has_no_keys(name: str) -> str:
    """The message for keys given to the key `name`, which takes none."""
    return f"'{name}' is a single value or a list, it has no keys"


def is_no_single_value(name: str, node: Node) -> str:
    """The message for a single value or a list given to the key `name`, whose value is `node`."""
    what = f"`{node.tag}`" if is_object(node) else "a group of keys"
    other = "null to switch it off" if takes_null(name) else "another object (!new: or !name:)"
    hint = f"set one of its keys ('{name}.KEY'), or give {other}"
    return f"'{name}' is {what} and no single value: {hint}"


def _replace(text: str, parent: MappingNode, key: Node, old: Node, new: Node, comment: str) -> Edit:
    start = key.start_mark.index
    if parent.flow_style:
        return start, _end(text, old), _flow_text(key, new)
    lines = _block_lines(key, new, comment or _comment(text, key, old), key.start_mark.column)
    return start, _line_end(text, _end(text, old)), lines


def _insert(text: str, parent: MappingNode, key: Node, value: Node, comment: str) -> Edit:
    """The edit that inserts a key after the last one of `parent`, which must have one."""
    last_key, last = parent.value[-1]
    if parent.flow_style:
        return _end(text, last), _end(text, last), f", {_flow_text(key, value)}"
    position, column = _line_end(text, _end(text, last)), last_key.start_mark.column
    return position, position, f"\n{' ' * column}{_block_lines(key, value, comment, column)}"


def _block_lines(key: Node, value: Node, comment: str, column: int) -> str:
    """`key: value` as one or more lines without the last line end, all but the first indented by `column`."""
    first, *others = _emit(key, value, flow=False).rstrip("\n").split("\n")
    lines = [first, *(f"{' ' * column}{line}" if line else "" for line in others)]
    lines[0 if _has_header(value) else -1] += comment
    return "\n".join(lines)


def _flow_text(key: Node, value: Node) -> str:
    """`key: value` as it may stand inside `{ }`."""
    return _emit(key, value, flow=True).strip().removeprefix("{").removesuffix("}").strip()


def _emit(key: Node, value: Node, flow: bool) -> str:
    width = 80 if isinstance(value, SequenceNode) else None
    return dump(MappingNode(f"{STANDARD}map", [(key, value)], flow_style=flow), width)


def dump(node: Node, width: int | None = None, brackets: bool = True) -> str:
    """The text of a node, without comments; lists in brackets are broken after `width` characters.

    Without `brackets` every list and mapping is written in lines of its own."""
    yaml = YAML()
    yaml.width = width or 1 << 20
    yaml.brace_single_entry_mapping_in_flow_sequence = True  # else [!name:a {b: 1}] becomes [!name:a b: 1]
    stream = io.StringIO()
    yaml.serialize(_copy(node, brackets), stream)
    return stream.getvalue()


def _copy(node: Node, brackets: bool) -> Node:
    """A copy of a node without the comments of its block texts, the only ones that these nodes carry."""
    if isinstance(node, ScalarNode):
        return ScalarNode(node.tag, node.value, style=node.style)
    flow_style = brackets and node.flow_style
    if isinstance(node, SequenceNode):
        return SequenceNode(node.tag, [_copy(item, brackets) for item in node.value], flow_style=flow_style)
    pairs = [(_copy(key, brackets), _copy(value, brackets)) for key, value in node.value]
    return MappingNode(node.tag, pairs, flow_style=flow_style)


def _is_block(node: Node) -> bool:
    return not isinstance(node, ScalarNode) and not node.flow_style


def _has_header(node: Node) -> bool:
    """Whether the text of the value begins on the line after its key's."""
    return _is_block(node) or (isinstance(node, ScalarNode) and node.style in BLOCK_STYLES)


def _end(text: str, node: Node) -> int:
    """Where a value ends. (The end mark of a block lies further down, after the comments that follow it.)"""
    if _is_block(node):
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    end = node.end_mark.index
    if isinstance(node, ScalarNode) and node.style in BLOCK_STYLES:
        return len(text[:end].rstrip())
    if node.start_mark.index == end:  # a value left empty: its mark may lie after the comments that follow it
        return len(COMMENTS_AT_END.sub("", text[:end]).rstrip(" \t"))
    return end


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _own_comment(difference: Source, key: Node, value: Node) -> str:
    # A key without a mark was made from the command line, where there are no comments.
    return _comment(difference.text, key, value) if key.start_mark else ""


def _comment(text: str, key: Node, value: Node) -> str:
    """The comment beside `key: value`, or beside the key of a block, with the blanks before it."""
    start = key.end_mark.index if _has_header(value) else _end(text, value)
    line = text[start : _line_end(text, start)]
    match = re.search(r"[ \t]+#.*", line) if _has_header(value) else re.match(r"[ \t]+#.*", line)
    return match.group() if match else ""
