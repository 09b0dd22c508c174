"""Where a LibriSpeech corpus lies, and which of its splits serve for training, validation and test."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from data_prep.errors import DataError

SPLIT_NAME = re.compile(r"(train|dev|test)([-_].+)?")


class Roles(NamedTuple):
    """Split names by use; `note` is a sentence for the screen, or empty."""

    train: list[str]
    valid: list[str]
    test: list[str]
    note: str


def available_splits(folder) -> list[str]:
    """Names of the split folders (train*, dev*, test*) directly in `folder`, sorted."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    return sorted(each.name for each in folder.iterdir() if SPLIT_NAME.fullmatch(each.name) and each.is_dir())


def find_corpus(data_folder) -> Path:
    """The folder that directly holds the splits: `data_folder/LibriSpeech` or `data_folder` itself.

    Raises DataError when neither holds one.
    """
    given = Path(data_folder).expanduser()
    for folder in (given / "LibriSpeech", given):
        if available_splits(folder):
            return folder.absolute()
    if not given.is_dir():
        raise DataError(f"no data folder {given}: give the folder that holds LibriSpeech's splits, or its parent")
    hint = f"; {given.name} is a split itself, give its parent" if SPLIT_NAME.fullmatch(given.name) else ""
    raise DataError(
        f"no LibriSpeech in {given}: expected folders train-*, dev-* or test-* there or in its LibriSpeech/{hint}"
    )


def choose_splits(available: Iterable[str], train="auto", valid="auto", test="auto") -> Roles:
    """Which of the available splits serve for what.

    Each of `train`, `valid`, `test` is a list of names, a comma- or space-separated string, or "auto": all
    train*; dev-clean* when there, else all dev*; all test*, else all dev* (with a note). Raises DataError for
    a name that isn't available, and for an "auto" that finds nothing ([] asks for nothing).
    """
    available = sorted(available)

    def starting(prefix):
        return [name for name in available if name.startswith(prefix)]

    def chosen(use, wanted, found, pattern):
        if wanted != "auto":
            return named_splits(available, wanted)
        if not found:
            raise DataError(f"no {pattern} split among: {_listed(available)}; name the {use} splits, or [] for none")
        return found

    note = ""
    if test == "auto" and not starting("test") and starting("dev"):
        note = f"No test* split here, so testing is on the dev splits: {', '.join(starting('dev'))}."
    return Roles(
        chosen("train", train, starting("train"), "train*"),
        chosen("valid", valid, starting("dev-clean") or starting("dev"), "dev*"),
        chosen("test", test, starting("test") or starting("dev"), "test* or dev*"),
        note,
    )


def named_splits(available: Iterable[str], wanted: str | Iterable[str]) -> list[str]:
    """The wanted names in their order, each once. DataError when one isn't there: it lists those that are."""
    available = sorted(available)
    names = re.split(r"[,\s]+", wanted) if isinstance(wanted, str) else wanted
    names = [name for name in dict.fromkeys(names) if name]
    for name in names:
        if name not in available:
            near = difflib.get_close_matches(name, available, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise DataError(f"no split '{name}' among: {_listed(available)}{hint}")
    return names


def _listed(names):
    return ", ".join(names) or "(none)"
