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
    return sorted(path.name for path in folder.iterdir() if SPLIT_NAME.fullmatch(path.name) and path.is_dir())


def find_corpus(data_folder) -> Path:
    """The folder that directly holds the splits: `data_folder/LibriSpeech` or `data_folder` itself.

    Raises DataError when neither holds a split.
    """
    data_folder = Path(data_folder).expanduser()
    for folder in (data_folder / "LibriSpeech", data_folder):
        if available_splits(folder):
            return folder.absolute()
    if not data_folder.is_dir():
        raise DataError(f"no data folder {data_folder}: give the folder that holds LibriSpeech's splits, or its parent")
    is_split = SPLIT_NAME.fullmatch(data_folder.name)
    hint = f"; {data_folder.name} is a split itself, give its parent" if is_split else ""
    raise DataError(
        f"no LibriSpeech in {data_folder}: expected folders train-*, dev-* or test-* there or in its LibriSpeech/{hint}"
    )


def choose_splits(available: Iterable[str], train="auto", valid="auto", test="auto") -> Roles:
    """Which of the available splits to train on, to validate on and to test on.

    `train`, `valid` and `test` are a list of names, a comma- or space-separated string, or "auto": all train*;
    all dev-clean*, or all dev* where there is none; all test*, or all dev* (with a note). Raises DataError for a
    name that is not available, and for an "auto" without such a split ([] asks for none).
    """
    available = sorted(available)

    def starting(prefix):
        return [name for name in available if name.startswith(prefix)]

    def choose(use, wanted, default, pattern):
        if wanted != "auto":
            return named_splits(available, wanted)
        if not default:
            raise DataError(f"no {pattern} split among: {_list(available)}; name the {use} splits, or [] for none")
        return default

    note = ""
    if test == "auto" and not starting("test") and starting("dev"):
        note = f"No test* split here, so testing is on the dev splits: {', '.join(starting('dev'))}."
    return Roles(
        choose("train", train, starting("train"), "train*"),
        choose("valid", valid, starting("dev-clean") or starting("dev"), "dev*"),
        choose("test", test, starting("test") or starting("dev"), "test* or dev*"),
        note,
    )


def named_splits(available: Iterable[str], wanted: str | Iterable[str]) -> list[str]:
    """The wanted names in their order, without repetitions. Raises DataError for a name that is not available."""
    available = sorted(available)
    names = re.split(r"[,\s]+", wanted) if isinstance(wanted, str) else wanted
    names = [name for name in dict.fromkeys(names) if name]
    for name in names:
        if name not in available:
            near = difflib.get_close_matches(name, available, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise DataError(f"no split '{name}' among: {_list(available)}{hint}")
    return names


def _list(names):
    return ", ".join(names) or "(none)"
