"""The whole recipe as one plain HyperPyYAML text, which can be kept, edited and loaded again.

The loader itself fills in `layer_mixers` and `mixer_name` (see `recipes.config.layer_mixers`) where a recipe has
a table `mixers`, and `recipe`, the name of the recipe, where that key is null.
"""

from pathlib import Path

from ruamel.yaml.nodes import ScalarNode

from recipes.config import layer_mixers
from recipes.config.inherit import read_recipe
from recipes.config.limits import check_source, texts
from recipes.config.merge import merge, set_keys
from recipes.config.overrides import Overrides, difference_of
from recipes.config.references import check_references
from recipes.config.source import STANDARD, Source


def flatten(recipe: Path | Source, overrides: Overrides = (), *, trust: bool = False) -> str:
    """The whole recipe as one text, with the base's comments and the recipe's head comment.

    recipe: a file, or what `read_recipe` read of it. `overrides` maps keys (`lr`, `model.dropout`) to values: a
    string is read as YAML (`"1e-3"`, `"[a, b]"`), or kept as it is for keys that hold text; anything else is taken
    as it is. trust: for a file, see `read_recipe`. Flattening a flattened recipe gives the same text.

    Raises RecipeError for a missing file, broken YAML, a key that the base does not have, a keyword that a
    class does not take, a value out of its limits, mixers that do not fit, and a reference to nothing."""
    return flattened(recipe, overrides, trust=trust).text


def flattened(recipe: Path | Source, overrides: Overrides = (), *, trust: bool = False) -> Source:
    """As `flatten`, with the nodes of the text."""
    source = recipe if isinstance(recipe, Source) else read_recipe(recipe, trust=trust)
    difference = difference_of(overrides, source)
    if difference.root.value:
        source = merge(source, difference, source.name)
    source = set_keys(source, texts(source))
    check_source(source)
    values = layer_mixers.filled(source)
    name = source.find("recipe")
    if name is not None and name.tag == f"{STANDARD}null":
        values["recipe"] = ScalarNode(f"{STANDARD}str", Path(source.name).stem)
    source = set_keys(source, values)
    check_references(source)
    return source
