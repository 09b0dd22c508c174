"""What a comparison's folder compares: FOLDER/comparison.json, by which later runs are known to fit."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from data_prep.files import contents
from recipes.config.messages import nearest
from recipes.errors import RecipeError
from recipes.files import COMPARISON, LOCK, write_json

RECORD = COMPARISON
BUDGET = ("seconds", "match_parameters", "optimizer_step_limit", "run_options")
SECONDS = 10  # of the utterance whose multiply-adds are counted
SIZE_TOLERANCE = 0.005  # of the number of parameters, where all are to have as many


@dataclass
class EntryRecord:
    """A mixer with settings of its own.

    settings: recipe keys and their YAML texts. content: all that it trains otherwise than the others. steps: the
    limit of optimizer steps; None where epochs end a run. multiply_adds_10s: of the encoder and CTC for SECONDS.
    """

    mixer: str
    settings: dict[str, str]
    content: dict
    steps: int | None
    parameters: int
    multiply_adds_10s: int
    seeds: list[int]


@dataclass
class ComparisonRecord:
    """What all runs of a comparison share, and its entries by name.

    content: the recipe as plain values. data: checksums of the manifests by use and split. seconds,
    optimizer_step_limit: budgets of a run; None for the recipe's epochs. match_parameters: the entry whose size all
    have. run_options: of SpeechBrain, those that differ from its defaults. machines: that runs were made on.
    """

    recipe: str
    content: dict
    data: dict[str, dict[str, str | None]]
    seconds: float | None
    match_parameters: str | None
    optimizer_step_limit: int | None
    baseline: str
    mixers: dict[str, EntryRecord]
    run_options: dict = field(default_factory=dict)
    command: str = ""
    machines: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What the folder compares, without entries whose runs were removed; None for a new folder.

        Raises RecipeError for a folder that holds something else, and for a record that cannot be read.
        """
        path = folder / RECORD
        if not path.is_file():
            if contents(folder) - {"manifests", LOCK}:
                raise RecipeError(f"{folder} holds other files than a comparison: give another --out")
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            entries = {name: EntryRecord(**entry) for name, entry in values.pop("mixers").items()}
            entries = {name: entry for name, entry in entries.items() if (folder / "runs" / name).is_dir()}
            return cls(**values, mixers=entries)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RecipeError(f"{path} is unreadable: give another --out, or remove {folder}") from None

    def write(self, folder: Path) -> None:
        write_json(folder / RECORD, asdict(self))

    def settings(self, name: str) -> dict:
        """All that an entry's runs are made by. Steps that were timed are no setting."""
        entry = self.mixers[name]
        limit = {} if self.seconds else {"optimizer_step_limit": entry.steps}
        return {**self.content, **entry.content, **limit}


def check_same(folder: Path, before: ComparisonRecord, now: ComparisonRecord) -> None:
    """Raises RecipeError, naming the difference, where runs of both could not stand in one table."""
    if not before.mixers:
        return
    advice = "give another --out, or remove that folder"
    splits = [
        name
        for use in now.data
        for name in {**before.data[use], **now.data[use]}
        if before.data[use].get(name) != now.data[use].get(name)
    ]
    if splits:
        splits = ", ".join(dict.fromkeys(splits))
        raise RecipeError(f"{folder} holds a comparison on other data (it differs in {splits}): {advice}")
    shared = [
        {**record.content, **{name: getattr(record, name) or None for name in BUDGET}} for record in (before, now)
    ]
    if difference := differences(*shared):
        raise RecipeError(f"{folder} holds a comparison of another recipe (it differs in {difference}): {advice}")
    for name in before.mixers.keys() & now.mixers.keys():
        if difference := differences(before.settings(name), now.settings(name)):
            raise RecipeError(
                f"{folder} holds runs of '{name}' with other settings (they differ in {difference}): name "
                f"the new ones otherwise, as in {name}_2=…, or remove {folder / 'runs' / name}"
            )


def differences(before: dict, now: dict) -> str:
    """The keys in which two groups of settings differ, with both values where they are short; else empty."""
    texts = []
    for key in sorted(before.keys() | now.keys()):
        values = [settings.get(key) for settings in (before, now)]
        if values[0] != values[1]:
            shown = [json.dumps(value) if isinstance(value, (list, dict)) else str(value) for value in values]
            short = all(len(text) <= 20 for text in shown)
            texts.append(f"{key}: {shown[0]} there, {shown[1]} here" if short else key)
    return ", ".join(texts)


def joined(before: ComparisonRecord, now: ComparisonRecord) -> ComparisonRecord:
    """`now` with what the folder had before: other entries, other seeds, machines, and steps that were timed."""
    entries = dict(before.mixers)
    for name, entry in now.mixers.items():
        seeds, steps = (entries[name].seeds, entries[name].steps) if name in entries else ([], None)
        entries[name] = replace(entry, seeds=sorted({*seeds, *entry.seeds}), steps=entry.steps or steps)
    return replace(now, mixers=entries, command=before.command, machines=before.machines)


def check_entry_name(option: str, name: str, names: Sequence[str]) -> None:
    """Raises RecipeError, with the nearest name, where no entry is named so."""
    if name not in names:
        hint = nearest(name, names) or ";"
        raise RecipeError(f"{option}: no entry '{name}' in this comparison{hint} entries: {', '.join(names)}")
