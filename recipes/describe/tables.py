"""Descriptions as lines in columns, or as Markdown."""

from collections.abc import Sequence

from recipes.describe.description import Description, LanguageModelDescription

WHOLE = "whole utterance"


def cells(description: Description) -> dict[str, str]:
    """What people are shown, by the head of its column."""
    about = description.about
    return {
        "recipe": f"`{description.recipe}`",
        "encoder": f"{description.encoder_type}, {description.mixer}",
        "parameters": _millions(description.parameters) + " M",
        "encoder M": _millions(description.encoder),
        "decoder M": _millions(description.decoder),
        "heads M": _millions(description.heads),
        **{f"10⁹ multiply-adds, {s} s": f"{work / 1e9:.1f}" for s, work in description.multiply_adds.items()},
        "state": WHOLE if description.streaming_state is None else short(description.streaming_state),
        "published": about.published or "none",
        "run by us": about.ours or "–",
    }


def language_model_cells(description: LanguageModelDescription) -> dict[str, str]:
    """The same of a language model."""
    return {
        "recipe": f"`{description.recipe}`",
        "layers": str(description.layers),
        "d_model": str(description.d_model),
        "outputs": f"{description.vocab_size:,}",
        "parameters": _millions(description.parameters) + " M",
        "run by us": description.about.ours or "–",
    }


def short(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.1f} k"


def lines(descriptions: Sequence[Description]) -> list[str]:
    """A line for each recipe, all in columns; the first word is its name, then comes its size."""
    rows = []
    for description in descriptions:
        _, encoder, total, *parts, ten, sixty, state, published, _ = cells(description).values()
        sizes = ", ".join(f"{kind} {part}" for kind, part in zip(("encoder", "decoder", "heads"), parts, strict=True))
        work = f"{ten} / {sixty} G multiply-adds"
        end = f"{encoder}; published: {published}"
        rows.append((description.recipe, total, sizes, work, f"state {state}", end))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def markdown(rows: Sequence[dict[str, str]]) -> list[str]:
    """A Markdown table of cells by the head of their column."""
    table = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return [f"| {' | '.join(row)} |" for row in table]


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f}"
