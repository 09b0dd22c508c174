"""The figures of `benchmarks.long_recordings.cost` as a table and as plots."""

from collections.abc import Callable, Iterable
from pathlib import Path

NAMES = {"pass": "one pass", "windows": "windows of {window:g} s", "stream": "stream, chunks of 16"}


def groups(rows: Iterable[dict]) -> dict[str, dict[float, dict]]:
    """The rows by mixer and mode in words, then by minutes."""
    rows, grouped = list(rows), dict[str, dict[float, dict]]()
    several = len({row["recipe"] for row in rows}) > 1
    for row in sorted(rows, key=lambda row: row["minutes"]):
        name = f"{row['mixer']}, {NAMES[row['mode']].format_map(row)}" + ", huge pages" * row.get("huge_pages", False)
        if several:
            name = f"{row['recipe']}, {name}"
        grouped.setdefault(name, {})[row["minutes"]] = row
    return grouped


def markdown(rows: list[dict]) -> str:
    """A line for each mixer and mode: by minutes of audio, CPU seconds a minute, peak memory, numbers kept."""
    lengths = sorted({row["minutes"] for row in rows})
    header = ["mixer, mode"]
    header += [f"s a minute at {length:g} min" for length in lengths]
    header += [f"MB at {length:g} min" for length in lengths]
    header += [f"numbers that a stream keeps after {lengths[0]:g} min", "after the longest measured"]
    lines = [line(header), "|---" * len(header) + "|"]
    for name, by_length in groups(rows).items():
        chosen = [by_length.get(length) for length in lengths]
        cells = [name]
        cells += [cell(row, lambda row: f"{row['cpu_seconds'] / row['minutes']:.2f}") for row in chosen]
        cells += [cell(row, lambda row: f"{row['memory_mb']:,.0f}") for row in chosen]
        measured = [row for row in by_length.values() if "problem" not in row]
        states = [row.get("state") for row in (measured[0], measured[-1])] if measured else [None, None]
        cells += ["–" if state is None else f"{state:,}" for state in states]
        lines.append(line(cells))
    return "\n".join(lines)


def cell(row: dict | None, text: Callable[[dict], str]) -> str:
    if row is None:
        return "–"
    return row.get("problem") or text(row)


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def draw(rows: list[dict], folder: Path) -> None:
    """Time and memory against minutes, as SVG files."""
    from recipes.reports.plots import Series, line_plot
    from recipes.reports.svg import standalone

    folder.mkdir(parents=True, exist_ok=True)
    for file, key, label in [
        ("long_form_time", "cpu_seconds", "CPU seconds on one thread"),
        ("long_form_memory", "memory_mb", "memory beside the model, MB"),
    ]:
        series = [
            Series(name, [row["minutes"] for row in measured], [row[key] for row in measured])
            for name, by_length in groups(rows).items()
            if (measured := [row for row in by_length.values() if "problem" not in row])
        ]
        plot = line_plot(series, title=label, x_label="minutes of audio", y_label=label, zero_y=True)
        (folder / f"{file}.svg").write_text(standalone(plot), encoding="utf-8")
