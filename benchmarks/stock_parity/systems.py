"""What is trained: stock SpeechBrain, our mixers, and our mixers with one thing made as SpeechBrain has it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarks.stock_parity.stock_model import StockAugment, stock_modules, weights_under_our_names
from recipes.config.messages import nearest
from recipes.errors import RecipeError

STOCK = "stock"
# The published augmentation, as keys of the recipe.
AUGMENTATION = {
    "dropout": 0.1,
    "speeds": [95, 100, 105],
    "model.augment.time_masks": 4,
    "model.augment.time_width": [15, 25],
    "model.augment.freq_masks": 4,
    "model.augment.freq_width": [10, 20],
    "model.augment.warp": 5,
}


def take_initial_values(hparams: Mapping) -> None:
    weights = weights_under_our_names(stock_modules(hparams), hparams["model"])
    hparams["model"].load_state_dict(weights, strict=False)  # the normalisation is measured later


def take_features(hparams: Mapping) -> None:
    features = hparams["model"].features
    features.floor, features.range_db = 10 ** (-100 / 10), 80.0


def take_mixer_dropout(hparams: Mapping) -> None:
    for block in hparams["model"].encoder.blocks:
        block.dropout.p = 0.0


def take_masks(hparams: Mapping) -> None:
    hparams["model"].augment = StockAugment(hparams["model"].augment)


def take_rate(hparams: Mapping) -> None:
    ours = hparams["lr_schedule"]
    hparams["lr_schedule"] = lambda step, total: ours(step - 1, total) if step > 1 else 1.0


class Change(NamedTuple):
    """One thing made as SpeechBrain has it: keys of the recipe, and what is done to the built model."""

    meaning: str
    keys: Mapping[str, object] = {}
    model: Callable[[Mapping], None] | None = None


CHANGES = {
    "initial_values": Change("SpeechBrain's initial weights of the same seed", model=take_initial_values),
    "features": Change("the clamp at 80 dB below the loudest band, floor -100 dB", model=take_features),
    "ends": Change("convolutions of the front end that reflect", keys={"model.frontend.ends": "reflect"}),
    "rate": Change("the first step at the highest rate, the others a step late", model=take_rate),
    "mixer_dropout": Change("no dropout behind the mixer", model=take_mixer_dropout),
    "masks": Change("SpeechBrain's masks and warp", model=take_masks),
}


class System(NamedTuple):
    """mixer: a name of the recipe's table, or STOCK; changes: names in CHANGES."""

    name: str
    mixer: str
    changes: tuple[str, ...] = ()

    def keys(self) -> dict[str, object]:
        """Of the recipe."""
        keys: dict[str, object] = {"mixer": "relpos_attention" if self.mixer == STOCK else self.mixer}
        for change in self.changes:
            keys |= CHANGES[change].keys
        return keys

    def change(self, hparams: Mapping) -> None:
        """Change the model that the recipe has built."""
        for name in self.changes:
            change = CHANGES[name].model
            if change is not None:
                change(hparams)


def parse_system(name: str) -> System:
    """`stock`, `MIXER`, or `MIXER:change+change`. Raises RecipeError for a change that there is not."""
    mixer, _, listed = name.partition(":")
    changes = tuple(listed.split("+")) if listed else ()
    for change in changes:
        if change not in CHANGES:
            raise RecipeError(f"--systems {name}: no change '{change}'{nearest(change, list(CHANGES))}")
    if mixer == STOCK and changes:
        raise RecipeError(f"--systems {name}: changes make ours like stock; stock itself has none")
    return System(name, mixer, changes)
