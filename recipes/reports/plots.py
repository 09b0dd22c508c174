"""Plots as inline SVG: no library, no script, legible on a phone, in light and in dark.

Colours are CSS variables of the page (``--series-1`` …) with a fallback, after Okabe and Ito's palette, which
colour-blind people can tell apart; the text has the colour of the page. The drawing is ``WIDTH`` units wide
and stretches to its container: a unit is about a pixel in a column of a page, 0.85 of one on a narrow phone.
"""

import math
import re
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from recipes.reports.plot_axis import Axis, tick_text, value_text

WIDTH, HEIGHT = 440, 250
FONT = 12.5  # units; 10 px and more where the plot is at least 360 px wide
LETTER = 0.57 * FONT  # mean width of a letter, for what must fit without measuring
COLOURS = ("#0072b2", "#d55e00", "#008060", "#b0568a", "#a87000", "#3a8fc4", "#6d6d6d", "#7a5cc0")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
MARKERS_UP_TO = 40  # points of a series; more would hide the line
GAP = 8
MUTED = 'fill-opacity="0.75"'
HALO = 'style="paint-order:stroke;stroke:var(--page,#fff);stroke-width:3px"'  # keeps names readable over bars


class Series(NamedTuple):
    """One line, with a band where low and high are given. None or NaN stand for a missing value."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None


class Point(NamedTuple):
    """One labelled point, with intervals (low, high) where they are known. A group shares a colour."""

    label: str
    x: float
    y: float
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None
    group: int = 0


def line_plot(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    zero_y: bool = False,
) -> Markup:
    """Lines with a legend where there are several. Labels name their units; zero_y: the axis begins at 0.

    Raises ValueError where there is nothing to draw, or a value of a logarithmic axis is not positive.
    """
    known = [_known(one) for one in series]
    ys = [value for points in known for _, *values in points for value in values if value is not None]
    x_axis = Axis([x for points in known for x, *_ in points], log_x)
    y_axis = Axis(ys + [0.0] * (zero_y and not log_y), log_y)
    legend = [one.label for one in series] if len(series) > 1 else []
    canvas = Canvas(title, x_axis, y_axis, x_label, y_label, legend)
    for number, points in enumerate(known):
        canvas.bands(points, number)
    for number, (one, points) in enumerate(zip(series, known, strict=True)):
        canvas.line(one.label, number, [(x, y) for x, y, *_ in points])
    return canvas.svg()


def scatter_plot(
    points: Sequence[Point],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    zero_y: bool = False,
) -> Markup:
    """Points with their names beside them, and error bars where intervals are given.

    Raises ValueError where there is nothing to draw, or a value of a logarithmic axis is not positive.
    """
    xs = [value for one in points for value in (one.x, *(one.x_interval or ()))]
    ys = [value for one in points for value in (one.y, *(one.y_interval or ()))]
    x_axis = Axis(xs, log_x, margin=0.06)
    y_axis = Axis(ys + [0.0] * (zero_y and not log_y), log_y)
    canvas = Canvas(title, x_axis, y_axis, x_label, y_label, [])
    canvas.points(points)
    return canvas.svg()


def standalone(svg: str) -> str:
    """The same plot as a file of its own (an image in a README), with its colours, background and font."""
    style = (
        "<style>svg{background:#fff;color:#1d2126;font-family:system-ui,sans-serif}"
        "@media(prefers-color-scheme:dark){svg{background:#15181c;color:#e5e8eb;--page:#15181c;"
        "--series-1:#5db4ea;--series-2:#f0883e;--series-3:#3fc79a;--series-4:#e08bbb;--series-5:#e0b040;"
        "--series-6:#9ad0f5;--series-7:#b5bbc2;--series-8:#b9a2f0}}</style>"
    )
    opening, rest = svg.split(">", 1)
    height = int(re.search(r'viewBox="0 0 \d+ (\d+)"', opening)[1])
    opening = opening.replace(f"0 0 {WIDTH} {height}", f"-12 -8 {WIDTH + 24} {height + 16}")
    return f'{opening} xmlns="http://www.w3.org/2000/svg">{style}{rest}\n'


class Canvas:
    """Axes, grid and legend, and what is drawn into them."""

    def __init__(self, title: str, x: Axis, y: Axis, x_label: str, y_label: str, legend: list[str]):
        self.title, self.x, self.y, self.parts = title, x, y, []
        labels = [tick_text(tick) for tick in y.ticks]
        rows = _rows(legend)
        self.left = 10 + max(map(len, labels)) * LETTER
        # The last tick's text is centred on the axis' end and must not run out of the picture.
        self.right = WIDTH - max(12, len(tick_text(x.ticks[-1])) * LETTER / 2 + 2)
        self.top = 30 + 18 * len(rows)
        # Plots side by side keep their baselines level; only a legend of many rows makes one taller.
        self.bottom = max(HEIGHT - 44, self.top + 130)
        self.height = self.bottom + 44
        self.text(0, 12, y_label, "start", MUTED)
        for row, labelled in enumerate(rows):
            for number, label, left in labelled:
                self.legend_entry(number, label, left, 32 + 18 * row)
        for tick, label in zip(y.ticks, labels, strict=True):
            height = self.place(x.low, tick)[1]
            self.rule(self.left, height, self.right, height)
            self.text(self.left - GAP, height + 4, label, "end")
        for tick in self.spaced(x.ticks):
            across = self.place(tick, y.low)[0]
            self.rule(across, self.bottom, across, self.bottom + 4, 0.6)
            self.text(across, self.bottom + 18, tick_text(tick), "middle")
        self.rule(self.left, self.bottom, self.right, self.bottom, 0.6)
        self.text(self.right, self.bottom + 37, x_label, "end", MUTED)

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = self.left + self.x.at(x) * (self.right - self.left)
        return round(across, 1), round(self.bottom - self.y.at(y) * (self.bottom - self.top), 1)

    def spaced(self, ticks: list[float]) -> list[float]:
        """The ticks whose texts do not touch the one before."""
        chosen, free_from = [], -math.inf
        for tick in ticks:
            across, half = self.place(tick, self.y.low)[0], len(tick_text(tick)) * LETTER / 2
            if across - half >= free_from:
                chosen.append(tick)
                free_from = across + half + GAP
        return chosen

    def text(self, x: float, y: float, text: str, anchor: str, look: str = "") -> None:
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {look}>{escape(text)}</text>')

    def rule(self, x1: float, y1: float, x2: float, y2: float, opacity: float = 0.14) -> None:
        line = f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"
        self.parts.append(f'<path d="{line}" stroke="currentColor" stroke-opacity="{opacity}"/>')

    def legend_entry(self, number: int, label: str, x: float, y: float) -> None:
        self.parts.append(f'<path d="M{x:.1f} {y - 4}h22" {_stroke(number)}/>')
        self.text(x + 28, y, label, "start")

    def bands(self, points: list[tuple], number: int) -> None:
        """The area between low and high, wherever two neighbours have both."""
        for known, stretch in groupby(points, key=lambda point: None not in point[2:]):
            if known:
                stretch = list(stretch)
                around = [self.place(x, high) for x, _, _, high in stretch]
                around += [self.place(x, low) for x, _, low, _ in reversed(stretch)]
                outline = "L".join(f"{x} {y}" for x, y in around)
                self.parts.append(f'<path d="M{outline}Z" style="fill:{colour(number)}" fill-opacity="0.16"/>')

    def line(self, label: str, number: int, points: list[tuple[float, float | None]]) -> None:
        """A line, interrupted where a value is missing; each point tells its value under the pointer."""
        path, pen_down = [], False
        for x, y in points:
            if y is not None:
                path.append("{}{} {}".format("L" if pen_down else "M", *self.place(x, y)))
            pen_down = y is not None
        self.parts.append(f'<path d="{"".join(path)}" fill="none" stroke-linejoin="round" {_stroke(number)}/>')
        values = [None, *(y for _, y in points), None]
        crowded = len(points) > MARKERS_UP_TO
        for (x, y), before, after in zip(points, values, values[2:], strict=False):
            alone = before is None and after is None
            if y is not None and (alone or not crowded):
                told = f"{label}: {tick_text(x)}, {value_text(y)}"
                self.marker(*self.place(x, y), number, told, radius=2.6)

    def marker(self, x: float, y: float, number: int, told: str, radius: float) -> None:
        place = f'cx="{x}" cy="{y}" r="{radius}" style="fill:{colour(number)}"'
        self.parts.append(f"<circle {place}><title>{escape(told)}</title></circle>")

    def points(self, points: Sequence[Point]) -> None:
        for one in points:
            for ends in (
                one.x_interval and [(value, one.y) for value in one.x_interval],
                one.y_interval and [(one.x, value) for value in one.y_interval],
            ):
                if ends:
                    (x1, y1), (x2, y2) = (self.place(*end) for end in ends)
                    style = f'style="stroke:{colour(one.group)}" stroke-width="1.5" stroke-opacity="0.6"'
                    self.parts.append(f'<path d="M{x1} {y1}L{x2} {y2}" {style}/>')
        taken = [_box(*self.place(one.x, one.y), 10, 10) for one in points]
        for own, one in enumerate(points):
            x, y = self.place(one.x, one.y)
            self.marker(x, y, one.group, f"{one.label}: {value_text(one.x)}, {value_text(one.y)}", radius=4.5)
            self.name(one.label, x, y, taken, own)

    def name(self, label: str, x: float, y: float, taken: list, own: int) -> None:
        """The label beside its point, at the place where it covers least of points and earlier labels."""
        wide, best = len(label) * LETTER, None
        places = [(x + GAP, y + 4, "start", x + GAP + wide / 2), (x - GAP, y + 4, "end", x - GAP - wide / 2)]
        places += [(x, y + shift, "middle", x) for shift in (-9, 19, -23, 33)]
        for across, down, anchor, middle in places:
            box = _box(middle, down - 4, wide, FONT)
            outside = max(0, self.left - box[0]) + max(0, box[2] - WIDTH) + max(0, box[3] - self.bottom)
            outside += max(0, self.top - GAP - box[1])
            cost = outside * 50 + sum(_overlap(box, other) for at, other in enumerate(taken) if at != own)
            if best is None or cost < best[0]:
                best = cost, across, down, anchor, box
        _, across, down, anchor, box = best
        taken.append(box)
        self.text(across, down, label, anchor, HALO)

    def svg(self) -> Markup:
        title = escape(self.title)
        size = f'viewBox="0 0 {WIDTH} {self.height:.0f}" width="100%" font-size="{FONT}"'
        return Markup(  # all text in it is escaped
            f'<svg class="plot" {size} fill="currentColor" role="img" aria-label="{title}">'
            f"<title>{title}</title>{''.join(self.parts)}</svg>"
        )


def colour(number: int) -> str:
    """CSS colour of a series: the page's own, or the palette's."""
    number %= len(COLOURS)
    return f"var(--series-{number + 1},{COLOURS[number]})"


def _known(series: Series) -> list[tuple[float, float | None, float | None, float | None]]:
    """(x, y, low, high) of a series, in the order of x, None for what is not a number."""
    nothing = [None] * len(series.x)
    rows = zip(series.x, series.y, series.low or nothing, series.high or nothing, strict=True)
    clean = [tuple(v if v is not None and math.isfinite(v) else None for v in row) for row in rows]
    return sorted((row for row in clean if row[0] is not None), key=lambda row: row[0])


def _rows(legend: list[str]) -> list[list[tuple[int, str, float]]]:
    """(number, label, left edge) of each entry, in as many rows as they need."""
    rows, left = [], WIDTH
    for number, label in enumerate(legend):
        wide = 28 + len(label) * LETTER
        if left + wide > WIDTH:
            rows.append([])
            left = 0
        rows[-1].append((number, label, left))
        left += wide + 2 * GAP
    return rows


def _stroke(number: int) -> str:
    """Colour of a line; a dash of its own as well, for printing in grey and for more lines than colours."""
    dash = DASHES[(number + number // len(COLOURS)) % len(DASHES)]
    return f'style="stroke:{colour(number)}" stroke-width="2"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _box(x: float, y: float, wide: float, high: float) -> tuple[float, float, float, float]:
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


def _overlap(one: tuple, other: tuple) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, wide) * max(0, high)
