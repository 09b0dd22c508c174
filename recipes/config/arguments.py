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

from recipes.config.inherit import read_recipe
from recipes.config.limits import check_values
from recipes.config.overrides import COMMAND_LINE
from recipes.config.source import Source
from recipes.config.split import split
from recipes.errors import RecipeError

LIST_OPTIONS = ("jit_module_keys", "compile_module_keys")  # they take any number of values
JIT, PROFILER, PARALLEL = ("jit", "jit_module_keys"), "profile_", "data_parallel_"
UNSUPPORTED = {
    **dict.fromkeys(JIT, "TorchScript cannot compile these models; --compile takes torch.compile instead"),
    # What the kept recipe would not tell.
    "auto_mix_prec": "give --precision fp16, which the recipe keeps",
    "bfloat16_mix_prec": "give --precision bf16, which the recipe keeps",
    "remove_vector_weight_decay": "the recipe would not keep it; --opt_class.weight_decay is for all weights",
    # What nothing would come of.
    **dict.fromkeys([name for name in vars(RunOptions()) if name.startswith(PROFILER)], "there is torch.profiler"),
    "log_config": "a run's log is its log.txt",
    "tqdm_colored_bar": "the progress bar is the project's own",
    **dict.fromkeys(
        [name for name in vars(RunOptions()) if name.startswith(PARALLEL)],
        "several GPUs are for torchrun --nproc_per_node N",
    ),
}
# Run options that change what is trained: each must be a key of the recipe, which keeps them.
KEPT = ("precision", "max_grad_norm", "grad_accumulation_factor", "optimizer_step_limit")
TRUST = "trust"  # ours
FLAGS = (TRUST, *(name for name in HELP_TEXTS if getattr(RunOptions(), name) is False))  # they take none


class Arguments(NamedTuple):
    """A parsed command line: `load(arguments.source, arguments.overrides)` builds what it asks for."""

    recipe: Path
    source: Source  # the recipe, read with its bases
    run_options: RunOptions  # for `Brain(run_opts=…)`; reads like a dict
    overrides: dict[str, object]  # keys of the recipe


def parse_arguments(
    argv: Sequence[str] | None = None, description: str = "", usage: str | None = None, key: str = ""
) -> Arguments:
    """Split a command line (sys.argv where None) into the recipe, SpeechBrain's run options and recipe keys.

    Forms: `--key value`, `--key=value`, and `--key` alone for true. The last of several wins. An option that
    is also a key of the recipe (`precision`) sets both, so that the kept recipe tells what was run.
    `--help` prints a help text and leaves with status 0. usage: of a program that takes something else first.
    key: of the recipes that the program is for, which are listed; all are without it.

    Raises RecipeError for no recipe, more than one, one that cannot be read, a bad value of a run option, or one that
    the recipe would not keep.
    Whether recipe keys and their values fit is checked by `recipes.config.load`."""
    argv, usage = list(sys.argv[1:] if argv is None else argv), usage or _usage()
    if "--help" in argv or "-h" in argv:
        print(help_text(description, key))
        raise SystemExit(0)
    recipes, values = split(argv, usage=usage, flags=FLAGS, lists=LIST_OPTIONS)
    if not recipes:
        raise RecipeError(f"no recipe given; usage: {usage}; recipes: {_recipe_names(key)}")
    if len(recipes) > 1:
        raise RecipeError(f"'{recipes[1]}' is one argument too many; usage: {usage}")
    recipe = Path(recipes[0])
    trust = values.pop(TRUST, False)
    if not isinstance(trust, bool):
        raise RecipeError(f"--{TRUST} takes no value: '{trust}'")
    source = read_recipe(recipe, trust=trust)
    run_options = _with_implied(
        {name: value for name, value in values.items() if name in HELP_TEXTS or name in LIST_OPTIONS}
    )
    values |= run_options
    overrides = {
        name: value for name, value in values.items() if name not in run_options or source.find(name) is not None
    }
    options = _run_options(recipe, run_options)
    for name in KEPT:
        if name in run_options and source.find(name) is None:
            message = "is no key of the recipe, so that the run would not tell what it was trained with"
            raise RecipeError(f"{COMMAND_LINE}: {name} {message}: write `{name}: …` into {recipe}")
    return Arguments(recipe, source, options, overrides)


def help_text(description: str, key: str = "") -> str:
    """What `--help` prints."""
    options = {
        **HELP_TEXTS,
        **{name: f"Names of the modules that '{name.split('_')[0]}' is for." for name in LIST_OPTIONS},
    }
    lines = [
        f"usage: {_usage()}",
        "",
        *textwrap.wrap(description, 100),
        "",
        f"recipes in hparams: {_recipe_names(key)}",
        "",
        "Any key of the recipe can be given: --lr 1e-3, --mixer xnor, --model.dropout 0.2 for a key inside",
        'another, --mixer "summarymixing*10+attention*2" for a hybrid. Values are YAML (true, null, [1, 2]).',
        "The keys of a recipe, with comments: python -m recipes.config hparams/NAME.yaml",
        "--trust lets the recipe name any class or function, also of a module beside it: only for recipes that you",
        "know. Without it, there is a short list; see recipes/config/trust.py.",
        "",
        "SpeechBrain's run options:",
    ]
    for name, text in sorted((name, text) for name, text in options.items() if name not in UNSUPPORTED):
        label = f"  --{name}" + ("" if name in FLAGS else " VALUE")
        lines += textwrap.wrap(text, 100, initial_indent=f"{label:<39} ", subsequent_indent=" " * 40)
    return "\n".join(lines)


def _usage() -> str:
    program = Path(sys.argv[0])
    is_package = program.name == "__main__.py"
    name = f"python -m {program.parents[1].name}.{program.parent.name}" if is_package else program.name
    return f"{name} hparams/NAME.yaml [--key value …]"


def _recipe_names(key: str) -> str:
    files = (file for file in Path("hparams").glob("*.yaml") if not key or _has_key(file, key))
    return ", ".join(sorted(file.stem for file in files)) or "none in ./hparams"


def _has_key(file: Path, key: str) -> bool:
    try:
        return read_recipe(file, trust=True).find(key) is not None  # nothing of it is built
    except RecipeError:
        return True  # its own error is for whoever asks for it


def _with_implied(run_options: dict[str, object]) -> dict[str, object]:
    """The run options with those that follow from them. Raises RecipeError for those that cannot work."""
    for name, reason in UNSUPPORTED.items():
        if name in run_options:
            raise RecipeError(f"{COMMAND_LINE}: --{name} is not supported: {reason}")
    implied: dict[str, object] = {}
    if any(name.startswith("compile_") for name in run_options):
        implied["compile"] = True  # without it SpeechBrain ignores them
    if run_options.get("ckpt_interval_steps", "0") != "0":
        if run_options.get("ckpt_interval_minutes", "0") != "0":
            raise RecipeError(f"{COMMAND_LINE}: give one of --ckpt_interval_minutes and --ckpt_interval_steps")
        implied["ckpt_interval_minutes"] = "0"  # SpeechBrain takes only one of them above zero
    return implied | run_options


def _run_options(recipe: Path, values: dict[str, object]) -> RunOptions:
    argv = [str(recipe)]
    for name, value in values.items():
        if isinstance(value, list):
            argv += [f"--{name}", *value]
        else:
            argv += [f"--{name}"] if value is True else [f"--{name}={value}"]
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            _, options, _ = speechbrain.parse_arguments(argv)
        # SpeechBrain reads this option as text and then compares it with a number.
        if options.optimizer_step_limit is not None:
            options = dataclasses.replace(options, optimizer_step_limit=int(options.optimizer_step_limit))
    except SystemExit as error:
        raise RecipeError(stderr.getvalue().strip().rpartition("error: ")[2]) from error
    except ValueError as error:
        limit = options.optimizer_step_limit
        raise RecipeError(f"argument --optimizer_step_limit: invalid int value: '{limit}'") from error
    check_values(COMMAND_LINE, {name: getattr(options, name) for name in values})
    return options
