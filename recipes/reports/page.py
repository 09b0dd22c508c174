"""Reports as HTML: the templates beside this file, filled in. A page is one file, and all text in it is escaped."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from data_prep.segments import parse_segment

TEMPLATES = Path(__file__).with_name("templates")


class Column(NamedTuple):
    """A column of a table: text, or numbers where `digits` is given. full: the value of a bar of full length."""

    head: str
    digits: int | None = None
    full: float | None = None

    @property
    def look(self) -> str:
        """The CSS classes of its cells."""
        if self.digits is None:
            return ""
        return "number bar" if self.full else "number"


class Table(NamedTuple):
    """label: what the table holds. empty: what is said instead of a table without rows. None is shown as a dash."""

    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | float | None]]
    empty: str = ""
    sortable: bool = True


class Figure(NamedTuple):
    """A plot of `recipes.reports.plots` and its caption."""

    caption: str
    svg: Markup


def render(template: str, **values) -> str:
    """The whole page of a template. Raises jinja2.UndefinedError for a value that the template asks for in vain."""
    return environment().get_template(template).render(**values)


@functools.cache
def environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=duration,
        interval=interval_text,
        kinds_of_errors=kinds_of_errors,
        number=number_text,
        quoted_path=quoted_path,
        sort_key=sort_key,
    )
    return environment


def number_text(value: float | None, digits: int = 0) -> str:
    """1,234.5; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def sort_key(value: float | None) -> str:
    """What the sorting script reads; empty for None."""
    return "" if value is None else f"{value:g}"


def interval_text(interval: tuple[float, float] | None) -> str:
    """Low and high of an interval, on one line; a dash for None."""
    return f"{interval[0]:.2f}\u00a0–\u00a0{interval[1]:.2f}" if interval else "–"


def duration(seconds: float) -> str:
    """286 → 4 min 46 s; 90061 → 25 h 1 min."""
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def kinds_of_errors(counts: tuple[int, int, int]) -> str:
    """(1, 0, 2) → 1 substitution, 2 insertions."""
    kinds = zip(counts, ("substitution", "deletion", "insertion"), strict=True)
    return ", ".join(f"{count} {kind}{'s' * (count > 1)}" for count, kind in kinds if count)


def quoted_path(audio: str) -> str:
    """A path for a browser: a colon or a percent sign stays part of the file's name, a segment stays a segment."""
    segment = parse_segment(audio)
    return quote(segment.path) + audio[len(segment.path) :]
