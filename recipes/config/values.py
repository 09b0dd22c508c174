"""What a recipe key may hold, as a test and in words."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Values:
    """The values of a key. `wanted` is what an error says: "a whole number from 1 up"."""

    wanted: str
    fits: Callable[[object], bool]
    null: bool = False
    text: bool = False  # the command line keeps what was typed: a folder may be called 2024
    listed: bool = False  # text, or a list of texts

    def accept(self, value: object) -> bool:
        return self.null if value is None else self.fits(value)

    def __str__(self) -> str:
        return f"{self.wanted}, or null" if self.null else self.wanted


def or_null(values: Values) -> Values:
    return replace(values, null=True)


def whole(least: int, most: int | None = None) -> Values:
    span = f"from {least} up" if most is None else f"from {least} to {most}"
    return Values(f"a whole number {span}", lambda value: _is_whole(value) and least <= value <= (most or math.inf))


def number(*, least: float = -math.inf, most: float = math.inf, above: float = -math.inf) -> Values:
    """A finite number from `least` to `most`, or greater than `above`."""
    span = (
        f"above {above:g}" if above > -math.inf else f"from {least:g} " + (f"to {most:g}" if most < math.inf else "up")
    )

    def fits(value: object) -> bool:
        is_number = isinstance(value, float) or _is_whole(value)
        return is_number and math.isfinite(value) and least <= value <= most and value > above

    return Values(f"a number {span}", fits)


def choice(*names: str) -> Values:
    return Values(f"{', '.join(names[:-1])} or {names[-1]}", lambda value: value in names)


def choices(*names: str) -> Values:
    return Values(
        f"a list of {', '.join(names[:-1])} or {names[-1]}",
        lambda value: isinstance(value, list) and bool(value) and all(name in names for name in value),
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_text_or_list(value: object) -> bool:
    return all(map(_is_text, value)) if isinstance(value, list) else _is_text(value)


def _is_list_of(least: int, most: float = math.inf) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        numbers = value if isinstance(value, list) else []
        return bool(numbers) and all(_is_whole(number) and least <= number <= most for number in numbers)

    return fits


def _is_span(value: object) -> bool:
    return _is_list_of(1)(value) and len(value) == 2 and value[0] <= value[1]


def _is_notes(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_betas(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(SHARE.fits(beta) and beta < 1 for beta in value)


SHARE = number(least=0, most=1)
BETAS = Values("two numbers from 0 to below 1, such as [0.9, 0.98]", _is_betas)
ANY = Values("a value", lambda value: True, null=True)
FLAG = Values("true or false", lambda value: isinstance(value, bool))
TEXT = Values("a text", _is_text, text=True)
TEXTS = Values("a text or a list of texts", _is_text_or_list, text=True, listed=True)
SPEEDS = Values("a list of whole percentages from 50 to 200, such as [95, 100, 105]", _is_list_of(50, 200))
SIZES = Values("a list of whole numbers from 1 up", _is_list_of(1))
SPAN = Values("[least, most], two whole numbers from 1 up", _is_span)
MIXERS = Values("a list of a mixer for each layer", lambda value: isinstance(value, list) and bool(value))
MIXER = Values("a name from the table mixers, or a list of such", lambda value: isinstance(value, str | list))
NOTES = Values("keys with texts", _is_notes)
TABLE = Values("a table of mixers", lambda value: isinstance(value, dict))
OBJECT = Values("an object (!new: or !name:)", lambda value: not isinstance(value, str | int | float | list | dict))
