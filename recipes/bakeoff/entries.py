"""The entries of a comparison, as `--mixers` names them, and its seeds.

An entry is a mixer with settings of its own, written `[NAME=]MIXER[,KEY=VALUE…]`: `xnor`,
`xnor,lr=5e-4,warmup_steps=300`, `half=summarymixing*2+attention*2`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from recipes.bakeoff.recipe import content_of
from recipes.config.keys import SEED, Role, keys_of
from recipes.errors import RecipeError

# What belongs to the comparison as a whole, or to one of its runs.
SHARED_KEYS = keys_of(Role.WHERE, Role.DATA) | {"seed", "mixer"}
MOST_SEEDS = 100


class Entry(NamedTuple):
    """A mixer with settings of its own. settings: recipe keys and their YAML texts."""

    name: str
    mixer: str
    settings: dict[str, str]

    @property
    def arguments(self) -> list[str]:
        return [f"--mixer={self.mixer}", *(f"--{key}={value}" for key, value in self.settings.items())]


def make_entries(arguments: Sequence[str], mixers: Sequence[str]) -> list[Entry]:
    """The entries of these texts. Raises RecipeError for one that cannot be read, or a name that stands twice."""
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
    usable_name = re.fullmatch(r"[\w.+-]*", name.strip()) and not name.strip().startswith(".")
    if not (mixer.strip() and usable_name and all(pairs) and all(pairs.values())):
        raise RecipeError(f"--mixers: '{text}' is not [NAME=]MIXER[,KEY=VALUE…], such as slow=xnor,lr=5e-4")
    for key in pairs:
        if key in SHARED_KEYS:
            raise RecipeError(f"--mixers: '{text}' sets {key}, which all entries of a comparison share")
    return Entry(name.strip(), mixer.strip(), pairs)


def make_seeds(numbers: Sequence[int], first: int) -> list[int]:
    """A single number counts them, from the recipe's own seed on; several are the seeds themselves."""
    if len(numbers) == 1 and numbers[0] > MOST_SEEDS:
        raise RecipeError(
            f"--seeds {numbers[0]}: one number says how many; for one seed, --seed {numbers[0]} --seeds 1"
        )
    seeds = list(range(first, first + numbers[0])) if len(numbers) == 1 else list(numbers)
    for seed in seeds:
        if not SEED.accept(seed):
            raise RecipeError(f"--seeds {' '.join(map(str, numbers))}: a seed is {SEED}, not {seed}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise RecipeError(f"--seeds {' '.join(map(str, numbers))}: give how many, or several different ones")
    return seeds
