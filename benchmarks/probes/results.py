"""The results file: settings and an entry per trained stack, and the table made of it."""

import json
import statistics
from pathlib import Path

from data_prep.errors import DataError
from recipes.files import write_json

Key = tuple[str, str, int]  # mixer, task, seed


def read(path: Path) -> dict:
    """A results file: `settings` by section, `cells`, `machine`. Raises DataError when it is no such file."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if not {"settings", "cells"} <= results.keys():
            raise ValueError("it lacks 'settings' or 'cells'")
    except FileNotFoundError as error:
        raise DataError(
            f"there is no results file '{path}': python -m benchmarks.probes --out {path} makes one"
        ) from error
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path} is no results file of the probes ({error}): give another --out") from error
    return results


def open_results(path: Path, settings: dict[str, dict], machine: str) -> dict:
    """The results in `path`, or new ones, with the sections of `settings` added.

    Raises DataError with the first difference when the cells in the file were made with other settings."""
    settings = json.loads(json.dumps(settings, default=str))  # as they come back from a file
    results = read(path) if path.exists() else {"settings": {}, "cells": []}
    for section in [name for name in settings if name in results["settings"]]:
        before, now = results["settings"][section], settings[section]
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                raise DataError(
                    f"{path} was made with other settings ({section}: {key} was {before.get(key)}, is "
                    f"{now.get(key)} now): give another --out, or remove that file"
                )
    results["settings"].update(settings)
    return {"settings": results["settings"], "machine": machine, "cells": results["cells"]}


def finished(results: dict) -> set[Key]:
    """The cells that need not be trained again."""
    return {(cell["mixer"], cell["task"], cell["seed"]) for cell in results["cells"]}


def write(path: Path, results: dict) -> None:
    """Replace the file as a whole, so that stopping at any moment leaves a readable one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, results)


def markdown(results: dict) -> str:
    """A row per mixer, below the row of chance: accuracy by task, mean ± standard deviation over seeds."""
    settings = results["settings"]
    tasks = [name.removeprefix("task ") for name in settings if name.startswith("task ")]
    mixers = [name.removeprefix("mixer ") for name in settings if name.startswith("mixer ")]
    rows = [["mixer", *(f"{task} %" for task in tasks), "parameters of the mixers", "seconds a seed"]]
    rows.append(["*the frame alone*", *(f"{settings[f'task {task}']['chance']:.0f}" for task in tasks), "", ""])
    seeds = set()
    for mixer in mixers:
        cells = [cell for cell in results["cells"] if cell["mixer"] == mixer]
        groups = [[cell for cell in cells if cell["task"] == task] for task in tasks]
        if not cells:
            continue
        seeds |= {len(group) for group in groups if group}
        seconds = sum(statistics.mean(cell["seconds"] for cell in group) for group in groups if group)
        parameters = f"{settings[f'mixer {mixer}']['parameters']:,}"
        rows.append([mixer, *map(accuracy, groups), parameters, f"{seconds:.0f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([*lines, "", note(seeds)])


def accuracy(cells: list[dict]) -> str:
    values = [cell["accuracy"] for cell in cells]
    if not values:
        return "–"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def note(seeds: set[int]) -> str:
    """What the figures of a table are, and over how many seeds."""
    if not seeds:
        return "No stack has been trained yet."
    if seeds == {1}:
        return "Accuracy on sequences that were not trained on; one seed, so there is no spread to give."
    several = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else f"{max(seeds)}"
    return f"Accuracy on sequences that were not trained on: mean ± standard deviation over {several} seeds."
