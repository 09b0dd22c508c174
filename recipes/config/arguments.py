"""The command line of a program that takes a recipe: `PROGRAM hparams/NAME.yaml [--key value …]`.

A key is one of SpeechBrain's run options (`--device`, `--precision`, `--debug`, …) or a key of the recipe.
SpeechBrain's own parser accepts abbreviations, so it would take a recipe's `--log` or `--optimizer` for an
option of its own that begins so; here it is given nothing but exact names.
"""

import contextlib
import dataclasses
import io
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import speechbrain
from speechbrain.utils.run_opts import HELP_TEXTS, RunOptions

from recipes.config.recipe import recipe_keys
from recipes.errors import RecipeError

LIST_OPTIONS = ("jit_module_keys", "compile_module_keys")  # they take any number of values
FLAGS = tuple(name for name in HELP_TEXTS if getattr(RunOptions(), name) is False)  # they take none


class Arguments(NamedTuple):
    """A parsed command line."""

    recipe: Path
    run_options: RunOptions  # for `Brain(run_opts=…)`; reads like a dict
    overrides: dict[str, object]  # for `recipes.config.recipe.load`


def parse_arguments(argv: Sequence[str] | None = None, description: str = "") -> Arguments:
    """Split a command line (sys.argv where None) into the recipe, SpeechBrain's run options and recipe keys.

    Forms: `--key value`, `--key=value`, and `--key` alone for true. The last of several wins. An option that
    is also a key of the recipe (`precision`) sets both, so that the kept recipe says what was run.
    `--help` prints a help text and leaves with status 0.

    Raises RecipeError for no recipe, more than one, or a bad value of a run option; whether recipe keys and
    their values fit is for `recipes.config.recipe.load` to say."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if "--help" in argv or "-h" in argv:
        print(help_text(description))
        raise SystemExit(0)
    recipes, pairs = _split(argv)
    if not recipes:
        raise RecipeError(f"no recipe given; usage: {_usage()}; recipes: {_known_recipes()}")
    if len(recipes) > 1:
        raise RecipeError(f"'{recipes[1]}' is one argument too many; usage: {_usage()}")
    recipe = Path(recipes[0])
    known = recipe_keys(recipe)
    run_options, overrides = {}, {}
    for name, value in pairs.items():
        if name in HELP_TEXTS or name in LIST_OPTIONS:
            run_options[name] = value
        if name not in run_options or name in known:
            overrides[name] = value
    return Arguments(recipe, _run_options(recipe, run_options), overrides)


def help_text(description: str) -> str:
    """What `--help` prints."""
    lists = {name: f"Names of the modules that '{name.split('_')[0]}' is for." for name in LIST_OPTIONS}
    lines = [
        f"usage: {_usage()}",
        "",
        *textwrap.wrap(description, 100),
        "",
        f"recipes in hparams: {_known_recipes()}",
        "",
        "Any key of the recipe can be given: --lr 1e-3, --mixer xnor, --model.dropout 0.2 for a key inside",
        'another, --mixer "summarymixing*10+attention*2" for a hybrid. Values are YAML (true, null, [1, 2]).',
        "The keys of a recipe, with comments: python -m recipes.config hparams/NAME.yaml",
        "",
        "SpeechBrain's run options:",
    ]
    for name, text in sorted({**HELP_TEXTS, **lists}.items()):
        label = f"  --{name}" + ("" if name in FLAGS else " VALUE")
        lines += textwrap.wrap(text, 100, initial_indent=f"{label:<39} ", subsequent_indent=" " * 40)
    return "\n".join(lines)


def _usage() -> str:
    return f"{Path(sys.argv[0]).name} hparams/NAME.yaml [--key value …]"


def _known_recipes() -> str:
    return ", ".join(sorted(file.stem for file in Path("hparams").glob("*.yaml"))) or "none in ./hparams"


def _split(argv: list[str]) -> tuple[list[str], dict[str, object]]:
    """The arguments without a name, and the value (text, True, or a list of texts) of each name."""
    alone, pairs, rest = [], {}, list(argv)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--"):
            alone.append(argument)
            continue
        name, equals, value = argument[2:].partition("=")
        if not name:
            raise RecipeError(f"'{argument}' has no key; usage: {_usage()}")
        pairs.pop(name, None)  # the last one wins
        if equals:
            pairs[name] = [value] if name in LIST_OPTIONS else value
        elif name in LIST_OPTIONS:
            pairs[name] = []
            while rest and not rest[0].startswith("--"):
                pairs[name].append(rest.pop(0))
        elif name in FLAGS or not rest or rest[0].startswith("--"):
            pairs[name] = True
        else:
            pairs[name] = rest.pop(0)
    return alone, pairs


def _run_options(recipe: Path, given: dict[str, object]) -> RunOptions:
    argv = [str(recipe)]
    for name, value in given.items():
        if isinstance(value, list):
            argv += [f"--{name}", *value]
        else:
            argv += [f"--{name}"] if value is True else [f"--{name}={value}"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            _, options, _ = speechbrain.parse_arguments(argv)
        # SpeechBrain reads this one as text and then compares it with a number.
        if options.optimizer_step_limit is not None:
            options = dataclasses.replace(options, optimizer_step_limit=int(options.optimizer_step_limit))
    except SystemExit as error:
        raise RecipeError(said.getvalue().strip().rpartition("error: ")[2]) from error
    except ValueError as error:
        limit = options.optimizer_step_limit
        raise RecipeError(f"argument --optimizer_step_limit: invalid int value: '{limit}'") from error
    return options
