"""The classes and functions that a recipe names: `!new:mixers.XNOR`."""

import functools
import inspect
import pydoc

from recipes.config.messages import nearest
from recipes.errors import RecipeError

CALLABLE_TAGS = ("!new:", "!name:", "!apply:")


@functools.cache
def accepted_keywords(tag: str) -> tuple[str, ...] | None:
    """The keyword arguments that the class or function of a `!new:`, `!name:` or `!apply:` tag takes.

    None where any will do: `**kwargs`, no signature (some built-ins), or another tag.
    Raises RecipeError where there is no such class or function, or its module cannot be imported."""
    kind, _, target = tag.partition(":")
    if f"{kind}:" not in CALLABLE_TAGS:
        return None
    thing = locate(target)
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (ValueError, TypeError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(parameter.name for parameter in parameters if parameter.kind in by_name)


def locate(target: str) -> object:
    """The class or function at a dotted import path. Raises RecipeError, with the nearest name."""
    try:
        thing = pydoc.locate(target)
        if thing is not None:
            return thing
        parent, _, name = target.rpartition(".")
        holder = pydoc.locate(parent) if parent else None
    except pydoc.ErrorDuringImport as error:
        raise RecipeError(f"cannot import '{target}': {error.value}") from error
    if holder is None:
        raise RecipeError(f"cannot find '{target}': there is no module '{parent or target}'")
    raise RecipeError(f"there is no '{name}' in '{parent}'{nearest(name, dir(holder))}")
