"""Values that no run can have, found before anything is computed. The limits stand in `recipes.config.keys`."""

from collections.abc import Callable, Mapping, Sequence

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.config.keys import ARGUMENTS, KEYS, NEEDED, OPTIMIZER_ARGUMENTS, WHOLE, values_of
from recipes.config.messages import no_such_key
from recipes.config.references import referred_to
from recipes.config.source import STANDARD, Source, child, plain, written
from recipes.config.trust import names_listed
from recipes.config.values import ANY, Values
from recipes.errors import RecipeError

NULL = f"{STANDARD}null"
SHOWN = 5  # names in a message


def check_source(source: Source) -> None:
    """Check what stands in a recipe as plain values. Raises RecipeError, one line: key, limit and value.

    Values behind a reference are known only when the recipe is built: see `check_values`."""
    for key, node in source.root.value:
        _check_node(source.name, key.value, node, values_of(key.value))
        _check_arguments(source.name, key.value, node)
    _check_optimizer(source)


def check_values(name: str, values: Mapping[str, object]) -> None:
    """Check the values of keys of the recipe `name`. Raises RecipeError, one line: key, limit and value."""
    for key, value in values.items():
        if not values_of(key).accept(value):
            raise RecipeError(_out_of_limits(name, key, values_of(key), _yaml(value)))


def check_needed(name: str, values: Mapping[str, object], needed: Mapping[str, Sequence[str]] = NEEDED) -> None:
    """Whether the recipe `name` has the keys that programs read. needed: by the model's key. Raises RecipeError."""
    for model, keys in needed.items():
        missing = [key for key in keys if key not in values] if model in values else []
        if missing:
            others = f" and {len(missing) - SHOWN} others" if len(missing) > SHOWN else ""
            advice = f"see hparams/{WHOLE[model]}, which has them all, or name it as base"
            raise RecipeError(f"{name}: no key {', '.join(missing[:SHOWN])}{others}: {advice}")


def check_known(source: Source) -> None:
    """Raises RecipeError for a key that no program reads and nothing in the recipe refers to: it would change nothing.

    A recipe without a base is where it can stand. Keys that begin with _ are the recipe's own.
    """
    from speechbrain.utils.run_opts import RunOptions  # here, since what only reads recipes needs no torch

    known = [*KEYS, *vars(RunOptions())]
    names = [key.value for key, _ in source.root.value]
    if WHOLE.keys().isdisjoint(names):  # no recipe that trains
        return
    known += [*referred_to(source)]
    for key, _ in source.root.value:
        if key.value not in known and not key.value.startswith("_"):
            raise RecipeError(f"{source.at(key)}: {no_such_key((), key.value, known)}")


def check_training(name: str, values: Mapping[str, object]) -> None:
    """Whether the recipe `name` has what training needs, and can make its optimizer and its learning rates.

    Raises RecipeError, one line."""
    import torch  # here, since what only reads recipes needs no torch

    check_needed(name, values)
    optimizer, schedule = values.get("opt_class"), values.get("lr_schedule")
    if optimizer is not None:
        weight = torch.zeros(1, requires_grad=True)
        trial = _tried(f"{name}: opt_class", optimizer, [weight])
        if not isinstance(trial, torch.optim.Optimizer):
            raise RecipeError(f"{name}: opt_class must be an optimizer, not {type(trial).__name__}")
        weight.grad = torch.zeros(1)
        _tried(f"{name}: opt_class: no optimizer for this training", trial.step)
    if schedule is not None:
        share = _tried(f"{name}: lr_schedule", schedule, 1, 10)
        if not isinstance(share, float | int):
            raise RecipeError(f"{name}: lr_schedule must give a number for a step, not {type(share).__name__}")


def _tried(place: str, function: Callable, *arguments: object) -> object:
    try:
        return function(*arguments)
    except (TypeError, ValueError, RuntimeError, LookupError, AssertionError) as error:
        raise RecipeError(f"{place}: {' '.join(str(error).split())}") from error


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


def _check_node(name: str, key: str, node: Node, values: Values) -> None:
    if node.tag.startswith(STANDARD) and not values.accept(plain(node)):
        raise RecipeError(_out_of_limits(name, key, values, written(node)))


def _check_arguments(name: str, key: str, node: Node) -> None:
    """Check the arguments of listed classes and functions in `node`, whose dotted key is `key`."""
    limits = _limits_of(node.tag.partition(":")[2])
    for part, value in node.value if isinstance(node, MappingNode) else ():
        _check_node(name, f"{key}.{part.value}", value, limits.get(part.value, ANY))
        _check_arguments(name, f"{key}.{part.value}", value)
    for index, item in enumerate(node.value if isinstance(node, SequenceNode) else ()):
        _check_arguments(name, f"{key}.{index}", item)


def _limits_of(class_name: str) -> Mapping[str, Values]:
    """The limits of the arguments of what a recipe names."""
    if class_name.startswith("torch.optim."):
        return OPTIMIZER_ARGUMENTS
    return ARGUMENTS if names_listed(class_name) else {}


def _out_of_limits(name: str, key: str, values: Values, value: str) -> str:
    return f"{name}: {key} must be {values}, not {value}"


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
