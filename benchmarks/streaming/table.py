"""The tables of a file of results."""

import statistics
from pathlib import Path

from recipes.describe.tables import markdown
from recipes.errors import RecipeError
from recipes.files import read_json

NAMES = ("recipe", "mixer", "search")  # of a row of errors


def read(file: Path) -> dict:
    """The results in a file. Raises RecipeError for a file of another kind, or of an earlier form."""
    results = read_json(file)
    if not isinstance(results, dict) or not {"errors", "cost"} & results.keys():
        raise RecipeError(f"{file} is no file of this benchmark: it has neither 'errors' nor 'cost'; --out makes one")
    missing = [name for row in results.get("errors", []) for name in NAMES if name not in row]
    if missing:
        raise RecipeError(f"{file} has rows without '{missing[0]}', as they once were: measure them again, with --out")
    return results


def tables(results: dict) -> str:
    """Of what ``read`` gives: errors by context, a table for each recipe and search; costs."""
    rows = results.get("errors", [])
    parts = []
    for recipe, search in dict.fromkeys((row["recipe"], row["search"]) for row in rows):
        own = [row for row in rows if (row["recipe"], row["search"]) == (recipe, search)]
        splits = " / ".join(dict.fromkeys(row["split"] for row in own))
        parts.append((f"WER of {recipe}, text by {search}, {splits}:", errors(own)))
    if "cost" in results:
        parts.append(("State and CPU time of a chunk:", costs(results["cost"])))
    return "\n\n".join("\n".join([title, "", *markdown(lines)]) for title, lines in parts)


def errors(rows: list[dict]) -> list[dict[str, str]]:
    """A line for each context, a column for each mixer: WER of the test sets, a slash between them.

    Of several seeds mean ± standard deviation.
    """
    rates: dict[tuple, dict[str, list[float]]] = {}  # by context and mixer, then by test set
    for row in rows:
        splits = rates.setdefault((row["chunk"], row["left_chunks"], row["mixer"]), {})
        splits.setdefault(row["split"], []).append(row["wer"])
    shown = []
    for chunk, left_chunks in dict.fromkeys(key[:2] for key in rates):
        line = {"chunk": "whole utterance" if chunk is None else str(chunk)}
        line["left chunks"] = "" if chunk is None else "all" if left_chunks is None else str(left_chunks)
        for mixer in dict.fromkeys(key[2] for key in rates):
            wers = rates.get((chunk, left_chunks, mixer), {}).values()
            line[f"`{mixer}`"] = " / ".join(mean_and_deviation(seeds) for seeds in wers) or "–"
        shown.append(line)
    return shown


def mean_and_deviation(rates: list[float]) -> str:
    mean = f"{statistics.mean(rates):.2f}"
    return f"{mean} ± {statistics.stdev(rates):.2f}" if len(rates) > 1 else mean


def costs(rows: list[dict]) -> list[dict[str, str]]:
    """State and CPU time of a chunk, by the minutes that have passed."""
    shown = []
    streams = list(dict.fromkeys(stream_of(row) for row in rows))
    several = len({(recipe, chunk, left) for recipe, _, chunk, left in streams}) > 1
    for stream in streams:
        recipe, mixer, chunk, left = stream
        of = f", {recipe}, chunks of {chunk}, {'all' if left is None else left} to the left" if several else ""
        line = {"mixer": f"`{mixer}`{of}"}
        own = [row for row in rows if stream_of(row) == stream]
        line |= {f"state after {row['minutes']:g} min": f"{row['state_bytes'] / 1e3:,.0f} kB" for row in own}
        line |= {f"a chunk after {row['minutes']:g} min": f"{row['chunk_ms']:.1f} ms" for row in own}
        shown.append(line)
    return shown


def stream_of(row: dict) -> tuple:
    """What the costs of a row are those of, at some age."""
    return row["recipe"], row["mixer"], row["chunk"], row["left_chunks"]
