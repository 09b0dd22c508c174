"""From `mixer: summarymixing`, or a hybrid like `[summarymixing*10, attention*2]`, to one mixer per layer."""

import itertools
import re

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.config.messages import nearest
from recipes.config.source import STANDARD, Source, child, written
from recipes.errors import RecipeError


def resolve(source: Source) -> list[str]:
    """The mixer of each layer, first to last, from the recipe's `mixers` (a table), `mixer` and `layers`.

    `mixer` is a name of the table for all layers, or a hybrid: a list of NAME or NAME*COUNT (no count means
    1), also written `summarymixing*10+attention*2`. Raises RecipeError for a mixer that is not in the table,
    and for counts that do not add up to `layers`."""
    table, mixer, layers = (source.find(name) for name in ("mixers", "mixer", "layers"))
    known_mixers = [key.value for key, _ in table.value]
    if mixer is None or layers is None:
        raise RecipeError(f"{source.name}: beside the table 'mixers' must stand 'mixer' and 'layers'")
    if layers.tag != f"{STANDARD}int" or int(layers.value) < 1:
        raise RecipeError(f"{source.name}: layers must be a whole number from 1 up, not {written(layers)}")
    names, count = [], int(layers.value)
    entries = _entries(mixer)
    for entry in entries:
        parts = re.fullmatch(r"(?P<name>[^*\s]+)\s*(?:\*\s*(?P<count>[1-9]\d*))?", entry)
        if not parts:
            hint = f"must be NAME or NAME*COUNT, such as {known_mixers[0]}*2"
            raise RecipeError(f"{source.name}: mixer: '{entry}' {hint}")
        name = parts["name"]
        if name not in known_mixers:
            listed = f"mixers: {', '.join(sorted(known_mixers))}"
            hint = nearest(name, known_mixers) or ";"
            raise RecipeError(f"{source.name}: mixer: no such mixer '{name}'{hint} {listed}")
        if child(table, name).tag == f"{STANDARD}null":
            raise RecipeError(f"{source.name}: mixer: mixers.{name} is null, no mixer to use")
        in_all_layers = isinstance(mixer, ScalarNode) and len(entries) == 1 and not parts["count"]
        names += [name] * (count if in_all_layers else int(parts["count"] or 1))
    if len(names) != count:
        described = f"{written(mixer)} describes {len(names)} layers, but layers is {count}"
        raise RecipeError(f"{source.name}: mixer: {described}")
    return names


def mixer_name(names: list[str]) -> str:
    """A name for the mixers of all layers, fit for a folder: `xnor`, or `summarymixing10+attention2`."""
    runs = [(name, len(list(run))) for name, run in itertools.groupby(names)]
    return runs[0][0] if len(runs) == 1 else "+".join(f"{name}{count}" for name, count in runs)


def filled(source: Source) -> dict[str, Node]:
    """The values that the loader fills in; none where the recipe has no table `mixers`. Raises what `resolve` does."""
    table, place = source.find("mixers"), source.find("layer_mixers")
    if not isinstance(table, MappingNode):
        return {}
    names = resolve(source)
    if place is not None and place.start_mark.index < table.start_mark.index:
        raise RecipeError(f"{source.name}: 'layer_mixers' must stand below the table 'mixers'")
    references = [ScalarNode("!ref", f"<mixers[{name}]>") for name in names]
    return {
        # In brackets, for HyperPyYAML fails where comments follow a list of lines with such references;
        # and below the table, for it misreads references in brackets to what comes after.
        "layer_mixers": SequenceNode(f"{STANDARD}seq", references, flow_style=True),
        "mixer_name": ScalarNode(f"{STANDARD}str", mixer_name(names)),
    }


def _entries(mixer: Node) -> list[str]:
    if isinstance(mixer, SequenceNode):
        return [written(item).strip() for item in mixer.value]
    return [part.strip() for part in written(mixer).split("+")]
