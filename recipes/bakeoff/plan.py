"""What a comparison runs: entries, seeds and budget, checked before the first run.

Runs lie in `FOLDER/runs/NAME/SEED`; `FOLDER/comparison.json` records data, recipe, budget and entries.
"""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from speechbrain.utils.run_opts import RunOptions

from data_prep.corpus import Corpus
from data_prep.files import checksum
from recipes.bakeoff.entries import Entry, make_entries, make_seeds
from recipes.bakeoff.recipe import build, content_of
from recipes.bakeoff.record import ComparisonRecord, EntryRecord, check_entry_name, check_same, joined
from recipes.bakeoff.runs import run_folder
from recipes.bakeoff.sizes import match_sizes
from recipes.config.arguments import parse_arguments
from recipes.config.keys import Role, keys_of
from recipes.errors import RecipeError

OWN_OPTIONS = {"mixer": "--mixers", "output_folder": "--out"}  # recipe keys, and what to give instead
ENTRY_KEYS = keys_of(Role.FILLED) | {"mixer", "mixers", "seed"}  # what differs between the runs anyway


class Run(NamedTuple):
    """A training run of the entry `name`: `arguments` are those of train.py."""

    name: str
    seed: int
    folder: Path
    arguments: list[str]


@dataclass
class Plan:
    """arguments: recipe and keys that all entries share."""

    folder: Path
    arguments: list[str]
    entries: list[Entry]
    seeds: list[int]
    record: ComparisonRecord

    def runs(self) -> list[Run]:
        """Seed by seed, so that a comparison that was stopped has equally many runs of each entry."""
        return [self.run(entry, seed) for seed in self.seeds for entry in self.entries]

    def run(self, entry: Entry, seed: int) -> Run:
        folder = run_folder(self.folder, entry.name, seed)
        arguments = [*self.arguments, *entry.arguments, f"--seed={seed}", f"--output_folder={folder}"]
        arguments.append("--noprogressbar")
        if self.record.seconds:
            # No epoch has less than one step: the limit ends training, not the number of epochs.
            steps = self.record.mixers[entry.name].steps
            arguments += [f"--optimizer_step_limit={steps}", f"--number_of_epochs={steps}"]
        return Run(entry.name, seed, folder, arguments)

    def save(self) -> None:
        """Write the record, and a folder for each entry: all entries stand in the table, begun or not."""
        for entry in self.entries:
            (self.folder / "runs" / entry.name).mkdir(parents=True, exist_ok=True)
        self.record.write(self.folder)


def make_plan(
    arguments: Sequence[str],
    mixers: Sequence[str],
    seeds: Sequence[int],
    *,
    folder: Path,
    baseline: str | None = None,
    seconds: float | None = None,
    match_parameters: bool = False,
) -> Plan:
    """Check all that can be checked before the first run; returns what is to be run.

    arguments: recipe and keys as for train.py. mixers: entries. seeds: one number N for the recipe's seed and
    the N - 1 that follow, or several seeds. baseline: an entry; None for `attention`, or else the first.
    Raises RecipeError or DataError, one line each, for whatever train.py would refuse, for entries and seeds
    that make no comparison, and for a folder that holds another comparison.
    """
    recipe = parse_arguments(arguments)
    for key in OWN_OPTIONS.keys() & recipe.overrides.keys():
        raise RecipeError(f"a comparison sets --{key} itself: give {OWN_OPTIONS[key]}")
    check_run_options(recipe.run_options)
    content = content_of(arguments)
    entries = make_entries(arguments, mixers)
    for entry in entries:
        check_seconds(seconds, step_limit((*arguments, *entry.arguments)))
    hparams = build(tuple(arguments)).hparams
    check_trains(arguments, entries)
    seeds = make_seeds(seeds, hparams["seed"])
    before = ComparisonRecord.read(folder)
    baseline = choose_baseline(baseline, entries, before)
    prepared = Corpus.named_by(hparams).prepare(
        folder / "manifests",
        train=hparams["train_splits"],
        valid=hparams["valid_splits"],
        test=hparams["test_splits"],
        progress=sys.stderr.isatty(),
    )
    if match_parameters:
        check_entry_name("--match_parameters", baseline, [entry.name for entry in entries])
        entries = match_sizes(arguments, entries, baseline)
    record = ComparisonRecord(
        recipe=hparams.get("recipe") or recipe.recipe.stem,
        content=plain({key: value for key, value in content.items() if key not in ENTRY_KEYS}),
        data={
            use: {name: checksum(path) for name, path in getattr(prepared, use).items()}
            for use in ("train", "valid", "test")
        },
        seconds=seconds,
        match_parameters=baseline if match_parameters else None,
        optimizer_step_limit=step_limit(arguments),
        run_options=plain(changed_options(recipe.run_options)),
        baseline=baseline,
        mixers={entry.name: entry_record(arguments, entry, content, seeds) for entry in entries},
    )
    if before is not None:
        check_same(folder, before, record)
        record = joined(before, record)
    return Plan(folder, list(arguments), entries, seeds, record)


def check_run_options(options: RunOptions) -> None:
    """Raises RecipeError for those with which a run is no training."""
    for name in ("debug", "test_only"):
        if getattr(options, name):
            raise RecipeError(f"--{name}: its runs would be taken for finished ones; leave it out, or use train.py")


def check_trains(arguments: Sequence[str], entries: Sequence[Entry]) -> None:
    """Raises RecipeError for an entry, or the recipe, with whose keys a run is no training."""
    for entry in entries:
        if build((*arguments, *entry.arguments)).hparams.get("find_batch"):
            raise RecipeError("--find_batch true: its runs would train nothing; leave it out, or use train.py")


def check_seconds(seconds: float | None, step_limit: int | None) -> None:
    """Raises RecipeError for a budget that is none, or stands beside another."""
    if seconds is None:
        return
    if step_limit is not None:
        raise RecipeError(f"--seconds {seconds:g} is one budget too many beside --optimizer_step_limit")
    if not 0 < seconds < math.inf:
        raise RecipeError(f"--seconds {seconds:g} must be a number above 0")


def step_limit(arguments: Sequence[str]) -> int | None:
    """After how many optimizer steps a run ends; None where epochs end it. A recipe need not have the key."""
    given = parse_arguments(arguments).run_options.optimizer_step_limit
    return content_of(arguments).get("optimizer_step_limit") if given is None else given


def changed_options(options: RunOptions) -> dict:
    """SpeechBrain's run options that differ from their defaults, without those that change no result."""
    defaults = vars(RunOptions())
    left_out = {"device", "noprogressbar", "param_file", "optimizer_step_limit", "overridden_args"}
    return {
        key: value
        for key, value in vars(options).items()
        if key in defaults and value != defaults[key] and key not in left_out
    }


def choose_baseline(baseline: str | None, entries: Sequence[Entry], before: ComparisonRecord | None) -> str:
    """What was asked for, or the folder's own, or `attention`, or the first entry.

    Raises RecipeError where it is no entry, neither of now nor of before.
    """
    names = list(dict.fromkeys([*(entry.name for entry in entries), *(before.mixers if before else ())]))
    if baseline is None:
        usual = before.baseline if before else "attention"
        return usual if usual in names else names[0]
    check_entry_name("--baseline", baseline, names)
    return baseline


def entry_record(arguments: Sequence[str], entry: Entry, shared: dict, seeds: list[int]) -> EntryRecord:
    """shared: content of the recipe without the entry's settings."""
    arguments = (*arguments, *entry.arguments)
    content, built = content_of(arguments), build(arguments)
    differing = {key for key in content if content[key] != shared.get(key)} | {"mixer", "mixers"}
    return EntryRecord(
        mixer=content["mixer_name"],
        settings=entry.settings,
        content=plain({key: content[key] for key in sorted(differing - {"seed", *keys_of(Role.FILLED)})}),
        steps=step_limit(arguments),
        parameters=built.parameters,
        multiply_adds_10s=built.multiply_adds,
        seeds=seeds,
    )


def plain(values: dict) -> dict:
    """As they will be read again from JSON."""
    return json.loads(json.dumps(values, default=str))
