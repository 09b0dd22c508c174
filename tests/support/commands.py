"""The commands on the project's pages, and a check that their programs understand them. Nothing is trained."""

import argparse
import functools
import glob
import re
import runpy
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from recipes.config import flatten
from recipes.config.arguments import parse_arguments
from recipes.describe.__main__ import parse as parse_describe

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = ("python", ".venv/bin/python", "torchrun", "make", "pip")
RUN = "runs/quickstart/summarymixing/1234"
PLACEHOLDERS = {"$RUN": RUN, "RUN": RUN, "FOLDER": "folder", "OUT": "out"}
TAKE_A_RECIPE = ("train.py", "train_lm.py", "recipes.config")  # and hand all of the command line to parse_arguments
# These hand the options that are not their own to parse_arguments.
TAKE_A_RUN = ("evaluate.py", "transcribe.py", "benchmarks.cores")
OTHER_FOLDERS = {"out": "conformer_small"}  # run folders that are not named after their recipe
LINKED = ("Makefile", "hparams", "results", "tests")


class Parsed(BaseException):
    """Raised in place of what a program does once its command line is parsed."""

    def __init__(self, options: argparse.Namespace, remaining: list[str]):
        self.options, self.remaining = options, remaining


def fenced_commands(text: str) -> list[str]:
    """The lines of a page's fenced blocks that call one of PROGRAMS, continued lines joined."""
    blocks = [content for language, content in FENCE.findall(text) if language in ("", "sh", "bash")]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in map(str.strip, lines) if program_of(line) in PROGRAMS]


def program_of(line: str) -> str:
    """The first word that sets no variable: `python` of `DEVICE=cuda python …`."""
    return next((word for word in line.split() if not re.match(r"[A-Z_]+=", word)), "")


def words_of(command: str) -> list[str]:
    """The words of a command line as a shell would give them to the program, placeholders filled."""
    words = shlex.split(command.partition(" > ")[0], comments=True)
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    for placeholder, value in PLACEHOLDERS.items():
        words = [re.sub(rf"(?<!\w){re.escape(placeholder)}(?!\w)", value, word) for word in words]
    return [file for word in words for file in (sorted(glob.glob(word)) if "*.yaml" in word else [word])]


def check_command(command: str, monkeypatch) -> None:
    """Raises SystemExit, RecipeError or AssertionError for a command that its program does not understand.

    To be called in an empty folder that `prepare_folder` filled.
    """
    program, *words = words_of(command)
    if program == "make":
        subprocess.run(["make", "-n", *words], check=True, capture_output=True)
    elif program == "pip":
        assert words[0] == "install"
        files = [file for option, file in pairwise(words) if option == "-r"]
        assert all(Path(file).is_file() for file in files), files
    elif program == "torchrun":
        from torch.distributed.run import get_args_parser

        options = get_args_parser().parse_args(words)
        check_python([options.training_script, *options.training_script_args], monkeypatch)
    else:
        check_python(words, monkeypatch)


def check_python(words: list[str], monkeypatch) -> None:
    program, *argv = words[1:] if words[0] == "-m" else words
    make_run_folders(argv)
    if program == "pytest":
        files = [word for word in argv if word.startswith("tests")]
        assert files and all(Path(file.partition("::")[0]).exists() for file in files)
    elif program == "recipes.describe":
        recipes, _, keys = parse_describe(argv)
        for recipe in recipes:
            flatten(recipe, keys)
    elif program in TAKE_A_RECIPE:
        if argv != ["--help"]:
            check_recipe(argv)
    else:
        options, remaining = parsed(program, argv, monkeypatch)
        if program in TAKE_A_RUN and options.run and not getattr(options, "onnx", None):
            check_recipe([str(Path(options.run) / "recipe.yaml"), *remaining])
        elif program == "compare.py":
            for entry in options.mixers or []:
                mixer, *settings = entry.split(",")
                mixer = mixer.rpartition("=")[2]
                check_recipe([*remaining, f"--mixer={mixer}", *(f"--{setting}" for setting in settings)])
        elif program == "benchmarks.stock_parity":
            check_recipe([str(ROOT / "benchmarks" / "stock_parity" / "recipe.yaml"), *remaining])
        elif program == "benchmarks.streaming":
            for run in vars(options).get("runs", []):
                check_recipe([str(run / "recipe.yaml"), *remaining])
        elif program == "recipes.stock":
            check_recipe([str(options.recipe), *remaining])
        else:
            assert not remaining


def check_recipe(argv: list[str]) -> None:
    """Recipe, run options and keys."""
    check_once(tuple(argv))


@functools.cache  # the entries of several comparisons on the pages are the same
def check_once(argv: tuple[str, ...]) -> None:
    arguments = parse_arguments(argv)
    flatten(arguments.source, arguments.overrides)


def parsed(program: str, argv: list[str], monkeypatch) -> Parsed:
    """What the program's own argparse parser makes of a command line: (options, what it leaves to others)."""
    parse_known_args = argparse.ArgumentParser.parse_known_args

    def stop(parser, args=None, namespace=None):
        raise Parsed(*parse_known_args(parser, args, namespace))

    def stop_or_complain(parser, args=None, namespace=None):
        options, remaining = parse_known_args(parser, args, namespace)
        if remaining:
            parser.error(f"unrecognized arguments: {' '.join(remaining)}")
        raise Parsed(options, [])

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop_or_complain)
        patch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
        patch.setattr(sys, "argv", [program, *argv])
        try:
            if program.endswith(".py"):  # not as `__main__`, where compare.py would take the signals of this process
                runpy.run_path(str(ROOT / program), run_name="program")["main"](argv)
            else:
                runpy.run_module(program, run_name="__main__", alter_sys=True)
        except Parsed as result:
            return result.options, result.remaining
    raise AssertionError(f"{program} has parsed nothing")


def prepare_folder(folder: Path) -> None:
    """Links to what commands name in a checkout."""
    for path in (*ROOT.glob("*.txt"), *ROOT.glob("*.py"), *(ROOT / name for name in LINKED)):
        (folder / path.name).symlink_to(path)


def make_run_folders(argv: list[str]) -> None:
    """The run folders that a command names, `runs/RECIPE/MIXER/SEED` or OTHER_FOLDERS, each with its recipe."""
    for word in argv:
        first, *others = Path(word).parts or [""]
        folder = Path(first, *others[:3]) if first == "runs" and len(others) > 2 else Path(first)
        recipe = others[0] if folder != Path(first) else OTHER_FOLDERS.get(first)
        if recipe and not (folder / "recipe.yaml").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            text = flatten(Path("hparams") / f"{recipe}.yaml", {"data_folder": "data"})
            (folder / "recipe.yaml").write_text(text)
