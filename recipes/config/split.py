"""The words of a command line as values by name: `--key value`, `--key=value`, and `--key` alone for true."""

from collections.abc import Collection, Sequence

from recipes.errors import RecipeError


def split(
    argv: Sequence[str], *, usage: str, flags: Collection[str] = (), lists: Collection[str] = ()
) -> tuple[list[str], dict[str, object]]:
    """The arguments without a name, and the value (text, True, or a list of texts) of each name; the last one wins.

    usage: of the program; flags: names that take no value; lists: names that take any number of values. Raises
    RecipeError for an option without a name.
    """
    unnamed, values, arguments = [], dict[str, object](), list(argv)
    while arguments:
        argument = arguments.pop(0)
        if not argument.startswith("--"):
            unnamed.append(argument)
            continue
        name, equals, value = argument[2:].partition("=")
        if not name:
            raise RecipeError(f"'{argument}' has no key; usage: {usage}")
        values.pop(name, None)
        if equals:
            values[name] = [value] if name in lists else value
        elif name in lists:
            end = next((index for index, text in enumerate(arguments) if text.startswith("--")), len(arguments))
            values[name], arguments = arguments[:end], arguments[end:]
        elif name in flags or not arguments or arguments[0].startswith("--"):
            values[name] = True
        else:
            values[name] = arguments.pop(0)
    return unnamed, values
