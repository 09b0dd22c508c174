"""The hyperparams.yaml of a release, by which SpeechBrain's own interfaces load it."""

import re

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from recipes.config.merge import dump
from recipes.config.references import REFERENCE_TAGS
from recipes.config.source import STANDARD, Source
from recipes.errors import RecipeError
from recipes.release_files import LM_WEIGHTS, TOKENIZER, WEIGHTS

HEAD = """\
# For SpeechBrain's EncoderASR (greedy CTC) and EncoderDecoderASR (the search below):
#     EncoderDecoderASR.from_hparams(source="this folder")
# The packages mixers and recipes of the project must be importable (PYTHONPATH).

"""
INTERFACE = """
tokenizer: !new:sentencepiece.SentencePieceProcessor
decoding_function: !name:recipes.inference.in_speechbrain.greedy_decoding
  recogniser: !ref <model>
  tokenizer: !ref <tokenizer>
modules:
  encoder: !new:recipes.inference.in_speechbrain.Encoder
    recogniser: !ref <model>
{encoder}  decoder: !new:recipes.inference.in_speechbrain.Decoder
    recogniser: !ref <model>
    tokenizer: !ref <tokenizer>
{decoder}"""
# Arguments by keys of the recipe, where these are given.
OF_ENCODER = {"test_chunk": "chunk", "test_left_chunks": "left_chunks"}
OF_DECODER = {"test_search": "search", "language_model": "language_model"}
TEXT, NUMBERS = f"{STANDARD}str", (f"{STANDARD}int", f"{STANDARD}float")
FILES = {"model": WEIGHTS, "tokenizer": TOKENIZER, "language_model": LM_WEIGHTS}


def hyperparams(recipe: Source) -> str:
    """The text of the file: what the recipe says of model and search, and how SpeechBrain comes by them.

    recipe: of a release.
    """
    given = [key for key in (*OF_ENCODER, *OF_DECODER) if is_given(recipe.find(key))]
    needed = needed_keys(recipe, ["model", *given])
    pairs = [(key, value) for key, value in recipe.root.value if key.value in needed]
    encoder, decoder = (
        "".join(f"    {name}: !ref <{key}>\n" for key, name in arguments.items() if key in given)
        for arguments in (OF_ENCODER, OF_DECODER)
    )
    files = [key for key in FILES if key in ("model", "tokenizer", *given)]
    # Without brackets: HyperPyYAML fails on some, see recipes.config.recipe.
    model = dump(MappingNode(recipe.root.tag, pairs), brackets=False)
    return HEAD + model + INTERFACE.format(encoder=encoder, decoder=decoder) + pretrainer(files)


def pretrainer(keys: list[str]) -> str:
    """What reads the files of these keys, when all is built."""

    def lines(values: dict[str, str]) -> str:
        return "".join(f"    {key}: {value}\n" for key, value in values.items())

    return (
        "pretrainer: !new:recipes.inference.in_speechbrain.FilesOfRelease\n"
        f"  loadables:\n{lines({key: f'!ref <{key}>' for key in keys})}"
        f"  paths:\n{lines({key: FILES[key] for key in keys})}"
        "  custom_hooks:\n"
        + lines({key: "!name:recipes.inference.in_speechbrain.put_weights" for key in keys if key != "tokenizer"})
    )


def is_given(node: Node | None) -> bool:
    return node is not None and node.tag != f"{STANDARD}null"


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


def resolved(node: Node, recipe: Source) -> Node:
    """The value with the values themselves in the place of its references to top-level keys. Raises RecipeError."""
    if isinstance(node, ScalarNode):
        if node.tag not in REFERENCE_TAGS:
            return node
        key = re.fullmatch(r"<(\w+)>", node.value)
        value = recipe.find(key[1]) if key else calculated(node, recipe)
        return node if value is None else resolved(value, recipe)
    if isinstance(node, MappingNode):
        return MappingNode(node.tag, [(key, resolved(value, recipe)) for key, value in node.value], flow_style=False)
    return SequenceNode(node.tag, [resolved(item, recipe) for item in node.value], flow_style=True)


def calculated(node: ScalarNode, recipe: Source) -> ScalarNode:
    """The number that an expression such as `<d_model> * 4` stands for. Raises RecipeError for what is no number."""
    found = {name: recipe.find(name) for name in references(node)}
    values = {name: resolved(value, recipe) for name, value in found.items() if value is not None}
    pairs = [(ScalarNode(TEXT, name), value) for name, value in values.items() if value.tag in NUMBERS]
    # Written out by YAML's own rules, and read without what builds objects: a text among the values stays a text.
    text = dump(MappingNode(recipe.root.tag, [*pairs, (ScalarNode(TEXT, "result"), node)], flow_style=False))
    try:
        result = load_hyperpyyaml(text, loader=type("Loader", (ruamel.yaml.SafeLoader,), {}))["result"]
    except Exception as error:  # whatever the expression makes HyperPyYAML do
        raise RecipeError(f"{node.value}: {error}") from None
    if isinstance(result, bool) or not isinstance(result, int | float):
        raise RecipeError(f"{node.value} in the language model's recipe is no number: write what it stands for")
    return ScalarNode(f"{STANDARD}{type(result).__name__}", repr(result))
