"""What a comparison runs: its entries, seeds and budget; and its record, by which it knows itself again.

An entry is one mixer with settings of its own, written `[NAME=]MIXER[,KEY=VALUE…]`: `xnor`,
`xnor,lr=5e-4,warmup_steps=300`, `half=summarymixing*2+attention*2`. Its runs lie in
`FOLDER/runs/NAME/SEED`; FOLDER/comparison.json records data, recipe, budget and entries.
"""

import functools
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from speechbrain.utils.run_opts import RunOptions
from torch._subclasses.fake_tensor import FakeTensorMode

from data_prep import librispeech
from data_prep.files import checksum
from recipes.bakeoff.record import RECORD, check_same, joined, read_record
from recipes.config import flatten, load, recipe_content, recipe_hash
from recipes.config.arguments import parse_arguments
from recipes.config.keys import Role, keys_of
from recipes.config.source import Source, compose, nearest
from recipes.cost import encoder_multiply_adds, parameter_count
from recipes.errors import RecipeError
from recipes.files import write_json

# What belongs to the comparison as a whole, or to one of its runs.
SHARED_KEYS = keys_of(Role.WHERE, Role.DATA) | {"seed", "mixer"}
OWN_OPTIONS = {"mixer": "--mixers", "output_folder": "--out"}  # and what to give instead
# Of a recipe: what differs between the runs anyway, and what changes no result.
ENTRY_KEYS = keys_of(Role.WHERE, Role.KEPT, Role.FILLED, Role.ABOUT) | {"mixer", "mixers", "seed"}
WIDTHS = ("d_ffn", "csgu_units")  # of an encoder: what makes it larger without touching its mixers
SIZE_TOLERANCE = 0.005
MOST_SEEDS = 100
SECONDS = 10  # of the utterance whose multiply-adds are counted


class Entry(NamedTuple):
    """One mixer with settings of its own. `settings` are recipe keys and their YAML texts."""

    name: str
    mixer: str
    settings: dict[str, str]

    @property
    def arguments(self) -> list[str]:
        return [f"--mixer={self.mixer}", *(f"--{key}={value}" for key, value in self.settings.items())]


class Run(NamedTuple):
    """One training run: `arguments` are those of train.py."""

    name: str
    seed: int
    folder: Path
    arguments: list[str]


@dataclass
class Plan:
    """`arguments`: recipe and keys that all entries share. `record` is what FOLDER/comparison.json holds."""

    folder: Path
    arguments: list[str]
    entries: list[Entry]
    seeds: list[int]
    record: dict

    def runs(self) -> list[Run]:
        """Seed by seed, so that a comparison that was stopped has equally many runs of each entry."""
        return [self.run(entry, seed) for seed in self.seeds for entry in self.entries]

    def run(self, entry: Entry, seed: int) -> Run:
        folder = self.folder / "runs" / entry.name / str(seed)
        arguments = [
            *self.arguments,
            *entry.arguments,
            f"--seed={seed}",
            f"--output_folder={folder}",
            "--noprogressbar",
        ]
        if self.record["seconds"]:
            # No epoch has less than one step: the limit ends training, not the number of epochs.
            steps = self.record["mixers"][entry.name]["steps"]
            arguments += [f"--optimizer_step_limit={steps}", f"--number_of_epochs={steps}"]
        return Run(entry.name, seed, folder, arguments)

    def save(self) -> None:
        for entry in self.entries:  # what is asked for is in the table, begun or not
            (self.folder / "runs" / entry.name).mkdir(parents=True, exist_ok=True)
        write_json(self.folder / RECORD, self.record)


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
    """Check everything that can be checked before the first run, and say what is to be run.

    arguments: recipe and keys as for train.py. mixers: entries. seeds: one number N for the recipe's seed and
    the N - 1 that follow, or several seeds. baseline: an entry; None for `attention`, or else the first.
    Raises RecipeError or DataError, one line each, for whatever train.py would refuse, for entries and seeds
    that make no comparison, and for a folder that holds another comparison.
    """
    recipe = parse_arguments(arguments)
    for key in OWN_OPTIONS.keys() & recipe.overrides.keys():
        raise RecipeError(f"a comparison sets --{key} itself: give {OWN_OPTIONS[key]}")
    check_run_options(recipe.run_options)
    limit = recipe.run_options.optimizer_step_limit
    if seconds is not None and (limit is not None or not seconds > 0):
        problem = "is one budget too many beside --optimizer_step_limit" if limit else "must be above 0"
        raise RecipeError(f"--seconds {seconds:g} {problem}")
    content = content_of(arguments)
    entries = make_entries(arguments, mixers)
    hparams = build(tuple(arguments)).hparams
    seeds = make_seeds(seeds, hparams["seed"])
    before = read_record(folder)
    names = list(dict.fromkeys([*(entry.name for entry in entries), *(before or {"mixers": ()})["mixers"]]))
    if baseline is None:
        first = before["baseline"] if before else "attention"
        baseline = first if first in names else names[0]
    check_known_name("--baseline", baseline, names)
    prepared = librispeech.prepare(
        hparams["data_folder"],
        folder / "manifests",
        train=hparams["train_splits"],
        valid=hparams["valid_splits"],
        test=hparams["test_splits"],
        progress=sys.stderr.isatty(),
    )
    if match_parameters:
        check_known_name("--match_parameters", baseline, [entry.name for entry in entries])
        entries = match_sizes(arguments, entries, baseline)
    record = {
        "recipe": hparams["recipe"],
        "content": {key: value for key, value in content.items() if key not in ENTRY_KEYS},
        "data": {
            use: {name: checksum(path) for name, path in getattr(prepared, use).items()}
            for use in ("train", "valid", "test")
        },
        "seconds": seconds,
        "match_parameters": baseline if match_parameters else None,
        "optimizer_step_limit": limit,
        "run_options": changed_options(recipe.run_options),
        "baseline": baseline,
        "mixers": {entry.name: entry_record(arguments, entry, content) for entry in entries},
    }
    for one in record["mixers"].values():
        one["seeds"] = seeds
    record = json.loads(json.dumps(record, default=str))  # as it will be read again
    if before is not None:
        check_same(folder, before, record)
        record = joined(before, record)
    return Plan(folder, list(arguments), entries, seeds, record)


def check_run_options(options: RunOptions) -> None:
    """Raises RecipeError for those with which a run is no training."""
    for name in ("debug", "test_only"):
        if getattr(options, name):
            raise RecipeError(f"--{name}: its runs would be taken for finished ones; leave it out, or use train.py")


def changed_options(options: RunOptions) -> dict:
    """SpeechBrain's run options that are not as they come, without those that change no result."""
    plain = vars(RunOptions())
    left_out = {"device", "noprogressbar", "param_file", "optimizer_step_limit", "overridden_args"}
    return {
        key: value
        for key, value in vars(options).items()
        if key in plain and value != plain[key] and key not in left_out
    }


# --- entries and seeds --------------------------------------------------------------------------------------


def make_entries(arguments: Sequence[str], mixers: Sequence[str]) -> list[Entry]:
    """The entries that these texts stand for. Raises RecipeError for a bad one or a name given twice."""
    entries = {}
    for text in mixers:
        entry = parse_entry(text)
        content = content_of([*arguments, *entry.arguments])
        entry = entry._replace(name=entry.name or content["mixer_name"])
        if entry.name in entries:
            raise RecipeError(
                f"--mixers: two entries are named '{entry.name}': name one otherwise, NAME={entry.mixer},…"
            )
        entries[entry.name] = entry
    return list(entries.values())


def parse_entry(text: str) -> Entry:
    """`[NAME=]MIXER[,KEY=VALUE…]`; without NAME= the name is empty. Commas in [ ] and { } divide nothing."""
    mixer, *settings = re.split(r",(?![^\[{]*[\]}])", text)
    name, _, mixer = mixer.rpartition("=")
    pairs = dict(part.partition("=")[::2] for part in settings)
    pairs = {key.strip().removeprefix("--"): value.strip() for key, value in pairs.items()}
    named_well = re.fullmatch(r"[\w.+-]*", name.strip()) and not name.strip().startswith(".")
    if not (mixer.strip() and named_well and all(pairs) and all(pairs.values())):
        raise RecipeError(f"--mixers: '{text}' is not [NAME=]MIXER[,KEY=VALUE…], such as slow=xnor,lr=5e-4")
    for key in pairs:
        if key in SHARED_KEYS:
            raise RecipeError(f"--mixers: '{text}' sets {key}, which all entries of a comparison share")
    return Entry(name.strip(), mixer.strip(), pairs)


def make_seeds(given: Sequence[int], first: int) -> list[int]:
    """One number counts them, from the recipe's own seed on; several are the seeds themselves."""
    if len(given) == 1 and given[0] > MOST_SEEDS:
        raise RecipeError(f"--seeds {given[0]}: one number says how many; for one seed, --seed {given[0]} --seeds 1")
    seeds = list(range(first, first + given[0])) if len(given) == 1 else list(given)
    if not seeds or len(set(seeds)) < len(seeds):
        raise RecipeError(f"--seeds {' '.join(map(str, given))}: give how many, or several different ones")
    return seeds


def check_known_name(option: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        hint = nearest(name, names) or ";"
        raise RecipeError(f"{option}: no entry '{name}' in this comparison{hint} entries: {', '.join(names)}")


# --- recipes ------------------------------------------------------------------------------------------------


def content_of(arguments: Sequence[str]) -> dict:
    """What a run with these arguments trains, as plain values by key."""
    return recipe_content(flat(tuple(arguments)))


def hash_of(arguments: Sequence[str]) -> str:
    """The `recipe_hash` that a run with these arguments writes into its summary."""
    text = flat(tuple(arguments))
    return recipe_hash(Source("recipe", text, compose(text, "recipe")))


@functools.cache  # a comparison asks for the same recipes again and again, and each takes a while
def flat(arguments: tuple[str, ...]) -> str:
    parsed = parse_arguments(arguments)
    return flatten(parsed.source, parsed.overrides)


class Built(NamedTuple):
    """A recipe's keys, and the size and work of its model; multiply-adds of one utterance of SECONDS."""

    hparams: dict
    parameters: int
    multiply_adds: int


@functools.cache
def build(arguments: tuple[str, ...], **overrides) -> Built:
    """Build a recipe's model without memory, of tensors that know their shapes alone, and count it."""
    parsed = parse_arguments(arguments)
    with FakeTensorMode(), torch.no_grad():
        # The features have no parameters, and their filters come from real numbers.
        hparams = load(parsed.source, {**parsed.overrides, "model.features": None, **overrides}).hparams
        model = hparams["model"].eval()
        return Built(hparams, parameter_count(model), encoder_multiply_adds(model, SECONDS))


def entry_record(arguments: Sequence[str], entry: Entry, shared: dict) -> dict:
    arguments = (*arguments, *entry.arguments)
    content, built = content_of(arguments), build(arguments)
    differing = {key for key in content if content[key] != shared.get(key)} | {"mixer", "mixers"}
    return {
        "mixer": content["mixer_name"],
        "settings": entry.settings,
        "content": {key: content[key] for key in sorted(differing - {"seed", *keys_of(Role.FILLED)})},
        "steps": parse_arguments(arguments).run_options.optimizer_step_limit,
        "parameters": built.parameters,
        f"multiply_adds_{SECONDS}s": built.multiply_adds,
    }


def match_sizes(arguments: Sequence[str], entries: list[Entry], baseline: str) -> list[Entry]:
    """Each entry with the feed-forward width at which it has the baseline's number of parameters.

    Only the encoder's layers change, in steps of two, so that decoder and mixers stay what they are. A model
    grows by the same number with each such step: two counts tell the width, a third one makes sure.
    Raises RecipeError where no width comes within SIZE_TOLERANCE.
    """

    def count(entry: Entry, **overrides) -> int:
        return build((*arguments, *entry.arguments), **overrides).parameters

    by_name = {entry.name: entry for entry in entries}
    wanted = count(by_name.pop(baseline))
    for entry in by_name.values():
        encoder = content_of([*arguments, *entry.arguments])["model"][1]["encoder"][1]
        key = next((f"model.encoder.{width}" for width in WIDTHS if width in encoder), None)
        if key is None:
            raise RecipeError(f"--match_parameters: the encoder has none of the widths {', '.join(WIDTHS)}")
        two, four = (count(entry, **{key: width}) for width in (2, 4))
        width = max(2, 2 + 2 * round((wanted - two) / (four - two)))
        found = count(entry, **{key: width})
        if abs(found - wanted) > SIZE_TOLERANCE * wanted:
            raise RecipeError(
                f"--match_parameters: '{entry.name}' has {found:,} parameters at {key} {width}, "
                f"{baseline} has {wanted:,}: no width comes within {100 * SIZE_TOLERANCE:g} %; choose "
                "another --baseline"
            )
        by_name[entry.name] = entry._replace(settings={**entry.settings, key: str(width)})
    return [by_name.get(entry.name, entry) for entry in entries]
