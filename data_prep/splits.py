"""Where a corpus in LibriSpeech's layout lies, and which of its splits serve for training, validation and test."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from data_prep.errors import DataError
from data_prep.files import expand_user

SPLIT_NAME = re.compile(r"(train|dev|valid|validation|val|test)([-_].+)?")


class Roles(NamedTuple):
    """Split names by use; `note` is a sentence for the screen, or empty."""

    train: list[str]
    valid: list[str]
    test: list[str]
    note: str


def available_splits(folder) -> list[str]:
    """Names of the split folders (train*, dev* or val*, test*) directly in `folder`, sorted."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if SPLIT_NAME.fullmatch(path.name) and path.is_dir())


def find_corpus(data_folder) -> Path:
    """The folder that directly holds the splits: `data_folder/LibriSpeech` or `data_folder` itself.

    Raises DataError when neither holds a split.
    """
    data_folder = expand_user(data_folder)
    for folder in (data_folder / "LibriSpeech", data_folder):
        if available_splits(folder):
            return folder.absolute()
    if not data_folder.is_dir():
        raise DataError(f"no data folder {data_folder}: give the folder that holds LibriSpeech's splits, or its parent")
    is_split = SPLIT_NAME.fullmatch(data_folder.name)
    hint = f"; {data_folder.name} is a split itself, give its parent" if is_split else ""
    raise DataError(
        f"no LibriSpeech in {data_folder}: expected folders train*, dev* (or valid*) or test* there or in its"
        f" LibriSpeech/{hint}"
    )


def choose_splits(available: Iterable[str], train="auto", valid="auto", test="auto") -> Roles:
    """Which of the available splits to train on, to validate on and to test on.

    `train`, `valid` and `test` are a list of names, a comma- or space-separated string, or "auto": all train*;
    all dev-clean*, or where there is none all dev*, or all val* (valid, validation); all test*, or all dev* and val*
    (with a note). Raises DataError for a name that is not available, and for an "auto" without such a split ([] asks
    for none).
    """
    available = sorted(available)

    def starting(*prefixes):
        return [name for name in available if name.startswith(prefixes)]

    def choose(use, wanted, default, pattern):
        if wanted != "auto":
            return named_splits(available, wanted)
        if not default:
            raise DataError(f"no {pattern} split among: {_list(available)}; name the {use} splits, or [] for none")
        return default

    note, held_out = "", starting("dev", "val")
    if test == "auto" and not starting("test") and held_out:
        note = f"No test* split here, so testing is on the dev splits: {', '.join(held_out)}."
    return Roles(
        choose("train", train, starting("train"), "train*"),
        choose("valid", valid, starting("dev-clean") or starting("dev") or starting("val"), "dev* or valid*"),
        choose("test", test, starting("test") or held_out, "test*, dev* or valid*"),
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
