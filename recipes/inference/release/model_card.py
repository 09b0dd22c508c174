"""The model card of a release: what the model was trained on, how well it does, how it is used."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from ruamel.yaml.nodes import MappingNode

from recipes.config.source import STANDARD, Source, written

TEMPLATES = Path(__file__).with_name("templates")


def model_card(facts: dict, recipe: Source) -> str:
    """The text, in Markdown with the head that model hubs read. facts: those of release.json."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    return environment.get_template("model_card.md.jinja").render(**facts, search=search_of_recipe(recipe))


def search_of_recipe(recipe: Source) -> str:
    """`BeamSearch (beam 8, ctc_weight 0.4)`, or greedy CTC; the context too, where the recipe tests under one."""
    node, chunk = recipe.find("test_search"), recipe.find("test_chunk")
    stream = (
        "" if chunk is None or chunk.tag == f"{STANDARD}null" else f" on a stream in chunks of {written(chunk)} frames"
    )
    if node is None or node.tag == f"{STANDARD}null":
        return f"greedy CTC{stream}"
    name = str(node.tag).rpartition(".")[2]
    options = [f"{key.value} {written(value)}" for key, value in node.value] if isinstance(node, MappingNode) else []
    return (f"{name} ({', '.join(options)})" if options else name) + stream
