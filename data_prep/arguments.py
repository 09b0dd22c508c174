"""The parser of command lines."""

import argparse
from pathlib import Path

from data_prep.errors import DataError
from data_prep.files import expand_user


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, whose mistakes are one line as all others: it raises DataError in place of printing its usage.

    Arguments of `type=Path` may begin with `~`, as those of a recipe may: `--out=~/x` is not replaced by a shell.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register("type", Path, _users_path)

    def error(self, message):
        raise DataError(f"{message}; see {self.prog} --help")


def _users_path(text: str) -> Path:
    try:
        return expand_user(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
