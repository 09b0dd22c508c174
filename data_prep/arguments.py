"""The parser of command lines."""

import argparse
from pathlib import Path

from data_prep.errors import DataError
from data_prep.files import expand_user


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, whose mistakes are one line as all others: it raises DataError in place of printing its usage.

    Arguments of `type=Path` may begin with `~`, as those of a recipe may: `--out=~/x` is not replaced by a shell. No
    text and no path may be empty: `"$UNSET"` would be the current folder.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register("type", None, _not_empty)  # of arguments without a type
        self.register("type", Path, _users_path)

    def error(self, message):
        raise DataError(f"{message}; see {self.prog} --help")


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: give a value (the current folder is .)")
    return text


def _users_path(text: str) -> Path:
    try:
        return expand_user(_not_empty(text))
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
