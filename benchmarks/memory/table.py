"""The Markdown table of a results file."""

import json
from itertools import pairwise
from pathlib import Path

from data_prep.errors import DataError


def markdown(file: Path) -> str:
    """A row per recipe and mixer: peak memory by length, and its growth from each length to the next.

    Raises DataError for a file that is missing or was not written by `--out`.
    """
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no results file of benchmarks.memory ({error}): write it with --out") from None
    lengths = sorted({row["frames"] for row in rows})
    groups: dict[tuple[str, str], dict[int, dict]] = {}
    for row in rows:
        groups.setdefault((row["recipe"], row["mixer"]), {})[row["frames"]] = row
    several_recipes = len({recipe for recipe, _ in groups}) > 1
    of_mixers = any("state" in row for row in rows)
    header = [*(["recipe"] if several_recipes else []), "mixer", "parameters"]
    header += [f"multiply-adds per frame at {lengths[0]:,}", *(f"MB at {frames:,}" for frames in lengths), "growth"]
    header += ["state after 60 s", "paper", "year"] if of_mixers else []
    lines = [_line(header), "|---" * len(header) + "|"]
    for (recipe, mixer), by_length in groups.items():
        row = next((row for row in by_length.values() if "problem" not in row), {})
        peaks = [by_length.get(frames, {}).get("peak_mb") for frames in lengths]
        growth = [f"{after / before:.2f}" for before, after in pairwise(peaks) if before and after]
        cells = [*([recipe] if several_recipes else []), mixer, f"{row.get('parameters', 0):,}"]
        cells += [f"{row.get('multiply_adds_per_frame', 0):,}"]
        cells += [f"{peak:,.0f}" if peak else "does not fit" for peak in peaks] + [", ".join(growth)]
        lines.append(_line(cells + (_mixer_cells(row) if of_mixers else [])))
    return "\n".join(lines)


def _mixer_cells(row: dict) -> list[str]:
    """State, paper and year. A mixer need not have a paper, which is an arXiv identifier or a URL."""
    state = "cannot stream" if row.get("state") is None else f"{row['state']:,}"
    return [state, _link(row.get("paper")), str(row.get("year") or "–")]


def _link(paper: str | None) -> str:
    if not paper:
        return "–"
    return f"[{paper}]({paper})" if "://" in paper else f"[{paper}](https://arxiv.org/abs/{paper})"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
