"""What a recipe trains, apart from how it is written: as plain values, and as a hash."""

import hashlib
import json

from ruamel.yaml.nodes import MappingNode

from recipes.config.keys import Role, came_later, keys_of
from recipes.config.layer_mixers import resolve
from recipes.config.source import Source, compose, plain
from recipes.errors import RecipeError

# Where things lie, how a run is executed and kept, and what is for readers: not what is trained.
LEFT_OUT = keys_of(Role.WHERE, Role.KEPT, Role.ABOUT)


def recipe_hash(source: Source) -> str:
    """12 hexadecimal digits of the SHA-256 of what a flattened recipe trains (see `recipe_content`)."""
    content = json.dumps(_content(source), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def recipe_content(text: str, name: str = "recipe") -> dict:
    """What a flattened recipe trains, as plain values by top-level key.

    Comments, spelling (`1e-3`, `0.001`), the order of keys, LEFT_OUT and the mixers that no layer uses do not
    count. Raises RecipeError, with the name, for a text that is no recipe."""
    root = compose(text, name)
    if not isinstance(root, MappingNode):
        raise RecipeError(f"{name} is no recipe: it must consist of `key: value` lines")
    return _content(Source(name, text, root))


def _content(source: Source) -> dict:
    content = {key.value: plain(value) for key, value in source.root.value if key.value not in LEFT_OUT}
    content = {key: value for key, value in content.items() if value is not None or not came_later(key)}
    if isinstance(source.find("mixers"), MappingNode):
        used = resolve(source)
        content["mixers"] = {name: value for name, value in content["mixers"].items() if name in used}
        content["mixer"] = used
    return content
