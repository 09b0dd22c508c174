"""Checks of the options of models and searches, so that a wrong value is one line before anything is computed."""

from typing import Any

from recipes.config.values import Values, number, or_null, whole


def is_odd(value: Any) -> bool:
    return value % 2 == 1


def is_sizes(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(SIZE.fits, value))


def is_range(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(COUNT.fits, value)) and value[0] <= value[1]


def is_span(value: Any) -> bool:
    return is_range(value) and value[0] >= 1


SIZE, COUNT, SHARE = whole(1), whole(0), number(least=0, most=1)
NUMBER = Values("a number", number().fits)
AT_LEAST_ZERO, POSITIVE = number(least=0), number(above=0)
ODD = Values("an odd whole number from 1 up", lambda value: SIZE.fits(value) and is_odd(value))
EVEN = Values("an even whole number from 2 up", lambda value: SIZE.fits(value) and not is_odd(value))
SIZES = Values("a list of whole numbers from 1 up", is_sizes)
RANGE = Values("two whole numbers, the least and the most", is_range)
SPAN = Values("two whole numbers from 1 up, the least and the most", is_span)

__all__ = [
    "AT_LEAST_ZERO",
    "COUNT",
    "EVEN",
    "NUMBER",
    "ODD",
    "POSITIVE",
    "RANGE",
    "SHARE",
    "SIZE",
    "SIZES",
    "SPAN",
    "check_options",
    "or_null",
    "whole",
]


def check_options(owner: str, **options: tuple[object, Values]) -> None:
    """Raises ValueError, naming ``owner``, for the first option whose value is not one of its Values."""
    for name, (value, values) in options.items():
        if not values.accept(value):
            raise ValueError(f"{owner}: {name} must be {values}, not {value!r}")
