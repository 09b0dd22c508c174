"""Where two recipes differ in settings that weights do not show, and that change what the weights compute."""

from collections.abc import Mapping

from recipes.config.keys import Role, keys_of
from recipes.config.names import CALLABLE_TAGS

# Mixers by layer and the number of outputs show in the weights; dropout and masks are of training alone.
NOT_COMPARED = {"mixer", "vocab_size", "token_type", "dropout", "_seeded"}
AUGMENTATION, DROPOUT = "model.augment", "dropout"
SHOWN = 8


def differing(theirs: Mapping, ours: Mapping) -> str:
    """`heads 8 there, 4 here; …` for two recipes' contents (`recipes.config.content`); empty where they agree.

    Of mixers, those that both have are compared.
    """
    first, second = settings(theirs), settings(ours)
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    shared = set(theirs.get("mixers", {})) & set(ours.get("mixers", {}))
    names = [name for name in names if not name.startswith("mixers.") or name.split(".")[1] in shared]
    listed = [f"{name} {first.get(name, 'unset')} there, {second.get(name, 'unset')} here" for name in names]
    return "; ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")


def settings(content: Mapping) -> dict[str, object]:
    """The single values that say what the model computes, by dotted name; of an object, also its tag."""
    found: dict[str, object] = {}

    def collect(name: str, value: object) -> None:
        if name.startswith(AUGMENTATION) or name.endswith(DROPOUT):
            return
        if isinstance(value, list) and value and str(value[0]).startswith(CALLABLE_TAGS):
            found[name], value = value
            value = value or {}  # it may have no arguments
        if isinstance(value, dict):
            for key, below in value.items():
                collect(f"{name}.{key}", below)
        else:
            found[name] = value

    for key in sorted(keys_of(Role.MODEL) & content.keys() - NOT_COMPARED):
        collect(key, content[key])
    return found
