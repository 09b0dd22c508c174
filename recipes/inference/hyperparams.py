"""The hyperparams.yaml of a release, by which SpeechBrain's own interfaces load it."""

import re

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from recipes.config.merge import dump
from recipes.config.references import REFERENCE_TAGS
from recipes.config.source import STANDARD, Source
from recipes.inference.release_folder import TOKENIZER, WEIGHTS

HEAD = """\
# For SpeechBrain's EncoderASR (greedy CTC) and EncoderDecoderASR (the search below):
#     EncoderDecoderASR.from_hparams(source="this folder")
# The packages mixers and recipes of the project must be importable (PYTHONPATH).

"""
INTERFACE = f"""
tokenizer: !new:sentencepiece.SentencePieceProcessor
decoding_function: !name:recipes.inference.in_speechbrain.greedy_decoding
  recogniser: !ref <model>
  tokenizer: !ref <tokenizer>
pretrainer: !new:recipes.inference.in_speechbrain.FilesOfRelease
  loadables:
    recogniser: !ref <model>
    tokenizer: !ref <tokenizer>
  paths:
    recogniser: {WEIGHTS}
    tokenizer: {TOKENIZER}
  custom_hooks:
    recogniser: !name:recipes.inference.in_speechbrain.put_weights
modules:
  encoder: !new:recipes.inference.in_speechbrain.Encoder
    recogniser: !ref <model>
  decoder: !new:recipes.inference.in_speechbrain.Decoder
    recogniser: !ref <model>
    tokenizer: !ref <tokenizer>
"""
SEARCH = "    search: !ref <test_search>\n"  # of the decoder, at the end


def hyperparams(recipe: Source) -> str:
    """The text of the file: what the recipe says of model and search, and how SpeechBrain comes by them."""
    search = recipe.find("test_search")
    has_search = search is not None and search.tag != f"{STANDARD}null"
    needed = needed_keys(recipe, ["model", *(["test_search"] if has_search else [])])
    pairs = [(key, value) for key, value in recipe.root.value if key.value in needed]
    interface = INTERFACE + (SEARCH if has_search else "")
    # Without brackets: HyperPyYAML fails on some, see recipes.config.recipe.
    return HEAD + dump(MappingNode(recipe.root.tag, pairs), brackets=False) + interface


def needed_keys(recipe: Source, keys: list[str]) -> set[str]:
    """These top-level keys, and all that their values refer to."""
    needed, waiting = set(), list(keys)
    while waiting:
        key = waiting.pop()
        if key not in needed:
            needed.add(key)
            waiting += references(recipe.find(key))
    return needed


def references(node: Node | None) -> list[str]:
    """The top-level keys that a value refers to."""
    if isinstance(node, ScalarNode):
        return re.findall(r"<(\w+)", node.value) if node.tag in REFERENCE_TAGS else []
    if isinstance(node, MappingNode):
        return [name for _, value in node.value for name in references(value)]
    return [name for item in node.value for name in references(item)] if node is not None else []
