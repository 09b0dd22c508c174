"""What a recipe trains, apart from how it is written: as plain values, and as a hash."""

import hashlib
import json

import ruamel.yaml
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from recipes.config.layer_mixers import resolve
from recipes.config.source import STANDARD, Source, compose

# Keys that say where things lie, what they are called or how they are kept, not what is trained: left out of a
# recipe's hash.
WHERE_KEYS = ("data_folder", "output_folder", "recipe", "workers", "tensorboard", "ckpt_interval_minutes")


def recipe_hash(source: Source) -> str:
    """12 hexadecimal digits of the SHA-256 of what a flattened recipe trains (see `recipe_content`)."""
    content = json.dumps(_content(source), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def recipe_content(text: str) -> dict:
    """What a flattened recipe trains, as plain values by top-level key.

    Comments, spelling (`1e-3`, `0.001`), the order of keys, WHERE_KEYS and the mixers that no layer uses do
    not count."""
    return _content(Source("recipe", text, compose(text, "recipe")))


def _content(source: Source) -> dict:
    content = {key.value: plain(value) for key, value in source.root.value if key.value not in WHERE_KEYS}
    if isinstance(source.find("mixers"), MappingNode):
        used = resolve(source)
        content["mixers"] = {name: value for name, value in content["mixers"].items() if name in used}
        content["mixer"] = used
    return content


def plain(node: Node) -> object:
    """The value of a node in plain Python; [tag, value] for an object or a reference."""
    if isinstance(node, MappingNode):
        value = {key.value: plain(below) for key, below in node.value}
    elif isinstance(node, SequenceNode):
        value = [plain(item) for item in node.value]
    elif node.tag.startswith(STANDARD):
        return ruamel.yaml.YAML(typ="safe", pure=True).constructor.construct_object(node)
    else:
        value = node.value
    return value if node.tag.startswith(STANDARD) else [node.tag, value]
