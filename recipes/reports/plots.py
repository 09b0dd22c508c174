"""The plots of reports, drawn by matplotlib and legible on a phone: lines with bands, and points with their names."""

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from markupsafe import Markup

from recipes.reports.labels import Box, place_labels
from recipes.reports.svg import COLOURS, MUTED, style, to_svg

WIDTH, HEIGHT = 440, 250  # units: about a pixel in a column of a page, 0.82 of one on a phone of 360 pixels
MARKERS_UP_TO = 40  # points of a line; more would hide it
DASHES = ("-", (0, (3.5, 1.5)), (0, (1, 1.5)), (0, (4.5, 1.5, 1, 1.5)))


class Series(NamedTuple):
    """A line, with a band where low and high are given. None, NaN and infinity stand for a missing value."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None

    def rows(self) -> list[tuple[float, float, float, float]]:
        """(x, y, low, high) in the order of x, NaN where a value is missing."""
        missing = [None] * len(self.x)
        columns = [
            [finite_or_nan(value) for value in column]
            for column in (self.x, self.y, self.low or missing, self.high or missing)
        ]
        rows = [row for row in zip(*columns, strict=True) if not math.isnan(row[0])]
        return sorted(rows, key=lambda row: row[0])


class Point(NamedTuple):
    """A labelled point, with intervals (low, high) where they are known. A group shares a colour."""

    label: str
    x: float
    y: float
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None
    group: int = 0


def line_plot(series: Sequence[Series], *, title: str, x_label: str, y_label: str, zero_y: bool = False) -> Markup:
    """Lines with a legend where there are several. Labels name their units; zero_y: the axis begins at 0.

    Raises ValueError where there is no value to draw.
    """
    rows = [line.rows() for line in series]
    values = [(x, value) for line in rows for x, *ys in line for value in ys if not math.isnan(value)]
    with style(title):
        plot = Plot(title, values, x_label, y_label, zero_y)
        for number, (line, points) in enumerate(zip(series, rows, strict=True)):
            plot.line(line.label, points, number)
        if len(series) > 1:
            plot.legend()
        return plot.svg()


def scatter_plot(points: Sequence[Point], *, title: str, x_label: str, y_label: str, zero_y: bool = False) -> Markup:
    """Points with their names beside them, and error bars where intervals are given.

    Raises ValueError where there is no point.
    """
    values = [pair for p in points for pair in product((p.x, *(p.x_interval or ())), (p.y, *(p.y_interval or ())))]
    with style(title):
        plot = Plot(title, values, x_label, y_label, zero_y, x_margin=0.06)
        for point in points:
            plot.point(point)
        plot.names(points)
        return plot.svg()


class Plot:
    """A drawing, to be made within `style`. Its units are those of the SVG."""

    def __init__(self, title, values, x_label: str, y_label: str, zero_y: bool, x_margin: float = 0):
        from matplotlib.figure import Figure

        if not values or not all(map(math.isfinite, (number for pair in values for number in pair))):
            raise ValueError("a plot needs at least one point, and finite values")
        self.title = title
        self.hints: dict[str, str] = {}  # by the gid of a marker
        self.lines: dict[tuple[int, str], object] = {}  # drawn lines by number and label
        self.figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72, frameon=False)
        self.axes = self.figure.add_subplot(title=y_label)
        self.axes.set_xlabel(x_label, loc="right")
        self.axes.patch.set_visible(False)
        xs, ys = zip(*values, strict=True)
        x_ticks, y_ticks = round_ticks(xs), round_ticks([*ys, *[0] * zero_y])
        margin = x_margin * (x_ticks[-1] - x_ticks[0])
        self.axes.set_xticks(x_ticks, map(number_text, x_ticks))
        self.axes.set_yticks(y_ticks, map(number_text, y_ticks))
        self.axes.set(xlim=(x_ticks[0] - margin, x_ticks[-1] + margin), ylim=(y_ticks[0], y_ticks[-1]))

    def line(self, label: str, rows: Sequence[tuple[float, float, float, float]], number: int) -> None:
        """A line with its band, interrupted where a value is missing; each point has its value under the pointer."""
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[(number + number // len(COLOURS)) % len(DASHES)]
        xs, ys, low, high = zip(*rows, strict=True) if rows else [()] * 4
        self.axes.fill_between(xs, low, high, facecolor=colour, alpha=0.16, linewidth=0)
        (self.lines[number, label],) = self.axes.plot(xs, ys, color=colour, linestyle=dash, gid="line")
        missing = [True, *map(math.isnan, ys), True]
        for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
            alone = missing[i] and missing[i + 2]
            if not math.isnan(y) and (alone or len(rows) <= MARKERS_UP_TO):
                self.marker(x, y, colour, 5, f"{label}: {number_text(x)}, {value_text(y)}")

    def point(self, point: Point) -> None:
        """A point and its error bars."""
        colour = COLOURS[point.group % len(COLOURS)]
        if point.x_interval:
            self.axes.plot(point.x_interval, [point.y] * 2, color=colour, linewidth=1.5, alpha=0.6)
        if point.y_interval:
            self.axes.plot([point.x] * 2, point.y_interval, color=colour, linewidth=1.5, alpha=0.6)
        self.marker(point.x, point.y, colour, 9, f"{point.label}: {value_text(point.x)}, {value_text(point.y)}")

    def marker(self, x: float, y: float, colour: str, size: float, hint: str) -> None:
        name = f"hint{len(self.hints)}"
        self.hints[name] = hint
        self.axes.plot([x], [y], "o", color=colour, markersize=size, markeredgewidth=0, gid=name)

    def names(self, points: Sequence[Point]) -> None:
        """The label of each point, with a line to it where it stands far away."""
        self.figure.draw_without_rendering()  # settles where the axes are
        offset = {"textcoords": "offset points", "in_layout": False}
        place = self.axes.transData.transform
        texts = [self.axes.annotate(point.label, (point.x, point.y), (0, 0), gid="name", **offset) for point in points]
        sizes = [text.get_window_extent().size for text in texts]
        bars = [place([(point.x, y) for y in point.y_interval]) for point in points if point.y_interval]
        bars = [Box(x - 1, low, x + 1, high) for (x, low), (_, high) in bars]
        centres = [tuple(place((point.x, point.y))) for point in points]
        room = Box(self.axes.bbox.x0, self.axes.bbox.y0, WIDTH, self.axes.bbox.y1 + 8)  # up to the title
        for point, text, (x, y), label in zip(
            points, texts, centres, place_labels(centres, sizes, bars, room), strict=True
        ):
            text.set_position((label.box.left - x, label.box.bottom - y))
            if label.line_end is not None:
                end = (label.line_end[0] - x, label.line_end[1] - y)
                look = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4}
                self.axes.annotate("", (point.x, point.y), end, arrowprops=look, **offset)

    def legend(self) -> None:
        """Above the plot, in as many columns as fit; the drawing grows where the rows are many."""
        labels = [label for _, label in self.lines]
        for columns in range(len(labels), 0, -1):
            legend = self.figure.legend(self.lines.values(), labels, loc="outside upper left", ncols=columns)
            box = legend.get_window_extent()
            if box.width <= WIDTH or columns == 1:
                self.figure.set_figheight((HEIGHT + max(0, box.height - 18)) / 72)
                return
            legend.remove()

    def svg(self) -> Markup:
        return to_svg(self.figure, self.title, self.hints)


def finite_or_nan(value: float | None) -> float:
    return math.nan if value is None or not math.isfinite(value) else value


def round_ticks(values: Sequence[float]) -> list[float]:
    """Round values that enclose all of these; whole ones for whole numbers."""
    from matplotlib.ticker import MaxNLocator

    low, high, whole = min(values), max(values), all(value == int(value) for value in values)
    if low == high:
        around = 1 if whole else abs(low) / 2
        low, high = low - around, high + around
    return MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high).tolist()


def value_text(value: float) -> str:
    """A measured value, to four digits."""
    return number_text(float(f"{value:.4g}"))


def number_text(value: float) -> str:
    """A number as an axis shows it: 1,500; 0.002; 25 M; 1.5 G; 5×10⁻⁵."""
    size = abs(value)
    if 1e6 <= size < 1e12:
        text = f"{value / 1e6:,.6g} M" if size < 1e9 else f"{value / 1e9:,.6g} G"
    elif 1e-4 <= size < 1e6 or value == 0:
        text = f"{value:,.6f}".rstrip("0").rstrip(".")
    else:
        digits, power = f"{value:.4e}".split("e")
        raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        text = f"{digits.rstrip('0').rstrip('.')}×10{raised}".removeprefix("1×")
    return text.replace("-", "−")
