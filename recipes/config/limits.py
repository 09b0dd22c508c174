"""Values that no run can have, found before anything is computed. The limits stand in `recipes.config.keys`."""

from collections.abc import Mapping

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.config.keys import values_of
from recipes.config.source import STANDARD, Source, child, plain, written
from recipes.errors import RecipeError

NULL = f"{STANDARD}null"


def check_source(source: Source) -> None:
    """Check what stands in a recipe as plain values. Raises RecipeError, one line: key, limit and value.

    Values behind a reference are known only when the recipe is built: see `check_values`."""
    for key, node in source.root.value:
        if node.tag.startswith(STANDARD) and not values_of(key.value).accept(plain(node)):
            raise RecipeError(_out_of_limits(source.name, key.value, written(node)))
    _check_optimizer(source)


def check_values(name: str, values: Mapping[str, object]) -> None:
    """Check the values of keys of the recipe `name`. Raises RecipeError, one line: key, limit and value."""
    for key, value in values.items():
        if not values_of(key).accept(value):
            raise RecipeError(_out_of_limits(name, key, _yaml(value)))


def texts(source: Source) -> dict[str, Node]:
    """New values for keys that hold text and were written as something else: `data_folder: 2024`."""
    return {
        key.value: as_text(node)
        for key, node in source.root.value
        if values_of(key.value).text and _has_other_scalars(node)
    }


def as_text(node: Node) -> Node:
    """The node with its numbers, dates and truth values as the text that stands there; null stays null."""
    if isinstance(node, SequenceNode):
        return SequenceNode(node.tag, [as_text(item) for item in node.value], flow_style=node.flow_style)
    return ScalarNode(f"{STANDARD}str", node.value, style='"') if _is_other_scalar(node) else node


def _check_optimizer(source: Source) -> None:
    optimizer = source.find("opt_class")
    lr = child(optimizer, "lr") if isinstance(optimizer, MappingNode) and source.find("lr") is not None else None
    if lr is not None and (lr.tag, lr.value) != ("!ref", "<lr>"):
        raise RecipeError(
            f"{source.name}: opt_class.lr has no effect, for the schedule sets the rate of every step from lr: "
            f"give --lr {written(lr)}"
        )


def _out_of_limits(name: str, key: str, value: str) -> str:
    return f"{name}: {key} must be {values_of(key)}, not {value}"


def _has_other_scalars(node: Node) -> bool:
    return any(map(_has_other_scalars, node.value)) if isinstance(node, SequenceNode) else _is_other_scalar(node)


def _is_other_scalar(node: Node) -> bool:
    is_plain = isinstance(node, ScalarNode) and node.tag.startswith(STANDARD)
    return is_plain and node.tag not in (f"{STANDARD}str", NULL)


def _yaml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
