"""Dataclasses from and to JSON. What is read is checked against the types of the fields."""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from recipes.errors import RecipeError

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """The plain values of a dataclass, or of a container of such.

    A field that is None is left out where None is its default; else it is written as null.
    """
    if dataclasses.is_dataclass(value):
        fields = {field: getattr(value, field.name) for field in dataclasses.fields(value)}
        absent = [field for field, content in fields.items() if content is None and field.default is None]
        return {field.name: to_json(content) for field, content in fields.items() if field not in absent}
    if isinstance(value, dict):
        return {key: to_json(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def read_record(kind: type[T], path: Path) -> T:
    """One dataclass from a JSON file. Raises RecipeError for a file that is missing or damaged."""
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RecipeError(f"{path} is missing") from None
    except (OSError, ValueError):
        raise RecipeError(f"{path}: cut short or damaged") from None
    return from_json(kind, values, str(path))


def read_lines(kind: type[T], path: Path) -> list[T]:
    """One dataclass from each line of a file. Raises RecipeError for a file that is missing, empty or damaged."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise RecipeError(f"{path} is missing") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    if not lines:
        raise RecipeError(f"{path} is empty")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
        except ValueError:
            raise RecipeError(f"{path}, line {number}: cut short or damaged") from None
        records.append(from_json(kind, values, f"{path}, line {number}"))
    return records


def from_json(kind: Any, value: Any, place: str, name: str = "") -> Any:
    """`value` as the type `kind`: a dataclass, int, float, str, list, dict or pair of such, or one of them or None.

    Fields that the dataclass does not have are passed over; fields that may be None may be missing. Raises
    RecipeError, with `place` and the field's `name`, for a field that is missing or of another type.
    """
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _dataclass(kind, value, place, name)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        (kind,) = (argument for argument in arguments if argument is not types.NoneType)
        return from_json(kind, value, place, name)
    if origin is dict and isinstance(value, dict):
        return {key: from_json(arguments[1], item, place, _below(name, key)) for key, item in value.items()}
    if origin is list and isinstance(value, list):
        return [from_json(arguments[0], item, place, name) for item in value]
    if origin is tuple and isinstance(value, list) and len(value) == len(arguments):
        return tuple(from_json(part, item, place, name) for part, item in zip(arguments, value, strict=True))
    plain = (int, float) if kind is float else kind
    if plain in (int, str, (int, float)) and isinstance(value, plain) and not isinstance(value, bool):
        return value
    raise RecipeError(f"{place}: " + (f"no usable field {name!r}" if name else "not an object"))


def _dataclass(kind: Any, values: dict, place: str, name: str) -> Any:
    hints, arguments = typing.get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        hint, full_name = hints[field.name], _below(name, field.name)
        if field.name in values:
            arguments[field.name] = from_json(hint, values[field.name], place, full_name)
        elif types.NoneType in typing.get_args(hint):
            arguments[field.name] = None  # older files lack fields that came later
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecipeError(f"{place}: no field {full_name!r}")
    return kind(**arguments)


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
