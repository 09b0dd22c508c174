"""Utterances that are left out or cannot be recognised correctly: a line on screen for each kind, names in a file."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from data_prep.manifest import read_manifest
from data_prep.tokenizer import UNKNOWN
from recipes.files import write_json
from recipes.training.logger import RunLogger

FILE = "utterances.json"
NAMES_SHOWN, CHARACTERS_SHOWN = 5, 60
TOO_LONG = "longer than max_seconds"
TOO_MANY_TOKENS = "more tokens than frames at the highest speed"
UNKNOWN_CHARACTERS = "characters that the tokenizer has no piece for"


class Remarks:
    """`utterances.json` of a folder: names by split (or use: train, valid) and kind. Written by the main process.

    A file that cannot be read is begun anew.
    """

    def __init__(self, folder: Path, logger: RunLogger):
        self.path, self.logger = folder / FILE, logger
        try:
            self.names: dict[str, dict[str, list[str]]] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.names = {}

    def left_out(self, split: str, kind: str, utterances: Mapping[str, float], total: int, reason: str = "") -> None:
        """Utterances (seconds by name) of `total` that are left out of training or a test."""
        self._keep(split, kind, utterances)
        if utterances:
            self._say(f"left out of {split}", kind, utterances, total, reason)

    def note(self, split: str, kind: str, utterances: Mapping[str, float], total: int, reason: str = "") -> None:
        """Utterances that stay in."""
        self._keep(split, kind, utterances)
        if utterances:
            self._say(f"note on {split}", kind, utterances, total, reason)

    def counts(self) -> dict[str, dict[str, int]]:
        """The number of names, by split and kind."""
        return {split: {kind: len(names) for kind, names in kinds.items()} for split, kinds in self.names.items()}

    def _keep(self, split: str, kind: str, utterances: Collection[str]) -> None:
        """Store the names, in place of those that an earlier start of the run stored."""
        kinds = {other: names for other, names in self.names.get(split, {}).items() if other != kind}
        if utterances:
            kinds[kind] = sorted(utterances)
        names = {other: kinds for other, kinds in self.names.items() if other != split} | (
            {split: kinds} if kinds else {}
        )
        if names != self.names:
            self.names = names
            if self.logger.active:
                write_json(self.path, self.names)

    def _say(self, what: str, kind: str, utterances: Mapping[str, float], total: int, reason: str) -> None:
        shown = ", ".join(list(utterances)[:NAMES_SHOWN]) + (", …" if len(utterances) > NAMES_SHOWN else "")
        hours = sum(utterances.values()) / 3600
        self.logger.info(
            f"{what}: {len(utterances)} of {total} utterances ({hours:.2f} h), {kind}{reason}: {shown} "
            f"(all in {self.path})"
        )


def note_unknown_characters(
    remarks: Remarks, splits: Mapping[str, Path], tokenizer: SentencePieceProcessor
) -> dict[str, set[str]]:
    """Name the utterances of these splits (manifests by name) that the tokenizer cannot spell.

    Returns the characters of each split that it has no piece for.
    """
    unknown = {}
    for split, manifest in splits.items():
        rows = list(read_manifest(manifest))
        characters = unknown[split] = unknown_characters((row["wrd"] for row in rows), tokenizer)
        found = {row["ID"]: float(row["duration"]) for row in rows if not characters.isdisjoint(row["wrd"])}
        remarks.note(split, UNKNOWN_CHARACTERS, found, len(rows), f" ({listed(characters)})")
    return unknown


def listed(characters: Collection[str]) -> str:
    """Characters in a line: those of an alphabet, the first of those of Chinese."""
    return " ".join(sorted(characters)[:CHARACTERS_SHOWN]) + (" …" if len(characters) > CHARACTERS_SHOWN else "")


def unknown_characters(texts: Iterable[str], tokenizer: SentencePieceProcessor) -> set[str]:
    """The characters that no piece of the tokenizer holds."""
    characters = sorted(set().union(*texts) - {" "})
    pieces_of = zip(characters, tokenizer.encode(characters), strict=True)
    return {character for character, pieces in pieces_of if UNKNOWN in pieces}
