"""One self-contained page of HTML: skeleton, style, tables that sort and scroll. It loads nothing else.

Text given to these functions is escaped unless it is ``Html`` already.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

# Sorting is all that the script does; the page is whole without it.
SCRIPT = """
for (const table of document.querySelectorAll('table.sortable'))
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement('button');
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const number = head.classList.contains('number'), column = head.cellIndex;
      const falling = head.ariaSort ? head.ariaSort === 'ascending' : number;
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      head.ariaSort = falling ? 'descending' : 'ascending';
      const key = row => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const order = (a, b) =>
        number ? key(a) - key(b) : key(a).localeCompare(key(b), 'en', {numeric: true});
      const rows = [...table.tBodies[0].rows].sort((a, b) => falling ? order(b, a) : order(a, b));
      table.tBodies[0].append(...rows);
    };
  }
"""


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


class Number(NamedTuple):
    """A cell with a number. None is shown as a dash; share in 0..1 draws a bar of that length behind it."""

    value: float | None
    digits: int = 0
    share: float | None = None


def text(value: object) -> Html:
    """Escaped, for content and for attributes in quotes."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def join(parts: Sequence[str]) -> Html:
    return Html("".join(text(part) for part in parts))


def page(title: str, body: Html) -> str:
    """The whole file; body goes into <main>."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n'
        f"<body>\n<main>\n{body}\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def section(anchor: str, heading: str, *parts: str) -> Html:
    return Html(f'<section id="{text(anchor)}">\n<h2>{text(heading)}</h2>\n{join(parts)}\n</section>\n')


def paragraph(content: str, look: str = "") -> Html:
    return Html(f'<p class="{look}">{text(content)}</p>\n' if look else f"<p>{text(content)}</p>\n")


def columns(parts: Sequence[str], look: str = "") -> Html:
    """Side by side where there is room, one below the other where there is not. look "wide": two at most."""
    inner = "".join(f"<div>{text(part)}</div>" for part in parts)
    return Html(f'<div class="{f"columns {look}".strip()}">{inner}</div>\n')


def figure(caption: str, svg: str) -> Html:
    """A plot of `recipes.reports.plots` under its caption."""
    return Html(f"<figure><figcaption>{text(caption)}</figcaption>{svg}</figure>\n")


def facts(pairs: Sequence[tuple[str, str]]) -> Html:
    """Names and values."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs)
    return Html(f'<dl class="facts">{rows}</dl>\n')


def table(label: str, heads: Sequence[str], rows: Sequence[Sequence[str | Number]], sortable: bool = True) -> Html:
    """A table that scrolls within its own frame. A column is numeric where its first cell is a Number.

    label: what the table holds, for those who hear the page.
    """
    looks = map(_look, rows[0]) if rows else [""] * len(heads)
    head = "".join(f'<th scope="col" class="{look}">{text(name)}</th>' for name, look in zip(heads, looks, strict=True))
    body = "\n".join(f"<tr>{''.join(_cell(cell, at == 0) for at, cell in enumerate(row))}</tr>" for row in rows)
    kind = ' class="sortable"' if sortable and len(rows) > 1 else ""
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}"><table{kind}>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n"
    )


def number(value: float | None, digits: int = 0) -> str:
    """1,234.5; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def _look(cell: str | Number) -> str:
    """CSS class of a cell."""
    if not isinstance(cell, Number):
        return ""
    return "number" if cell.share is None else "number bar"


def _cell(cell: str | Number, first: bool) -> str:
    if isinstance(cell, Number):
        bar = "" if cell.share is None else f' style="--share:{100 * cell.share:.0f}%"'
        key = "" if cell.value is None else f"{cell.value:g}"
        return f'<td class="{_look(cell)}"{bar} data-sort="{key}">{number(cell.value, cell.digits)}</td>'
    return f'<th scope="row">{text(cell)}</th>' if first else f"<td>{text(cell)}</td>"
