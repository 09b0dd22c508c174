"""Parts of a model by the dotted names of its state dict: written short, and chosen."""

import re
from collections.abc import Iterable, Sequence

from torch import nn

from recipes.config.messages import nearest
from recipes.errors import RecipeError

RANGE = re.compile(r"(\d+)-(\d+)")


def parts_of(names: Iterable[str], all_names: Iterable[str]) -> list[str]:
    """The shortest list of parts that covers exactly these names: `encoder.blocks.0-3.mixer`, `ctc`."""
    parts = _parts(set(names), list(all_names), 1)
    numbered: dict[tuple[str, str], list[int]] = {}
    for part in parts:
        number = re.search(r"\.(\d+)(?=\.|$)", part)
        key = (part[: number.start(1)], part[number.end(1) :]) if number else (part, "")
        numbered.setdefault(key, []).extend([int(number[1])] if number else [])
    return [f"{before}{span}{after}" for (before, after), numbers in numbered.items() for span in _spans(numbers)]


def parameters_of(model: nn.Module, parts: str | Sequence[str]) -> dict[str, nn.Parameter]:
    """The parameters of these parts by name; `encoder.blocks.0-3` stands for four. Raises RecipeError for others."""
    texts = re.split(r"[,\s]+", parts.strip()) if isinstance(parts, str) else list(parts)
    named, chosen = dict(model.named_parameters(remove_duplicate=False)), {}  # tied weights have several names
    for text in texts:
        for part in _expanded(text):
            below = {name: value for name, value in named.items() if f"{name}.".startswith(f"{part}.")}
            if not below:
                prefixes = {name.rsplit(".", cut)[0] for name in named for cut in range(1, name.count(".") + 1)}
                raise RecipeError(f"the model has no part '{part}' with parameters{nearest(part, sorted(prefixes))}")
            chosen |= below
    return chosen


def _parts(names: set[str], all_names: Sequence[str], depth: int) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name in all_names:
        groups.setdefault(".".join(name.split(".")[:depth]), []).append(name)
    parts = []
    for prefix, group in groups.items():
        if names.issuperset(group):
            parts.append(prefix)
        elif not names.isdisjoint(group):
            parts += _parts(names, group, depth + 1)
    return parts


def _spans(numbers: list[int]) -> list[str]:
    """[0, 1, 2, 5] → 0-2, 5; the empty text for no numbers."""
    if not numbers:
        return [""]
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return [f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans]


def _expanded(text: str) -> list[str]:
    span = RANGE.search(text)
    if span is None:
        return [text]
    first, last = int(span[1]), int(span[2])
    if first > last:
        raise RecipeError(f"freeze: {text} goes from {first} back to {last}")
    return [f"{text[: span.start()]}{number}{text[span.end() :]}" for number in range(first, last + 1)]
