"""Plots as SVG: positions, ticks, names, gaps."""

import re
import subprocess
import sys
from itertools import combinations, pairwise
from xml.etree import ElementTree

import matplotlib
import pytest

from recipes.reports.labels import Box
from recipes.reports.plots import WIDTH, Point, Series, line_plot, number_text, round_ticks, scatter_plot
from recipes.reports.svg import standalone


def plot(*series: Series, **options) -> ElementTree.Element:
    options = {"title": "Loss", "x_label": "epoch", "y_label": "loss", **options}
    return ElementTree.fromstring(line_plot(series, **options))


def scatter(*points: Point, **options) -> ElementTree.Element:
    return ElementTree.fromstring(scatter_plot(points, **{"title": "t", "x_label": "x", "y_label": "y", **options}))


def texts(svg: ElementTree.Element) -> list[str]:
    return [text.text for text in svg.iter("text")]


def markers(svg: ElementTree.Element) -> dict[str, tuple[float, float]]:
    """The place of each point by what is shown under the pointer."""
    return {
        group.find("title").text: (float(group.find(".//use").get("x")), float(group.find(".//use").get("y")))
        for group in svg.iter("g")
        if group.find("title") is not None
    }


def lines(svg: ElementTree.Element) -> list[list[list[tuple[float, float]]]]:
    """The line of each series as its uninterrupted pieces."""
    paths = [group.find("path").get("d") for group in svg.iter("g") if group.get("class") == "line"]
    return [[coordinates(piece) for piece in path.split("M")[1:]] for path in paths]


def error_bars(svg: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [coordinates(path.get("d")) for path in svg.iter("path") if "stroke-opacity" in path.get("style", "")]


def bands(svg: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [coordinates(path.get("d")) for path in svg.iter("path") if "fill-opacity" in path.get("style", "")]


def coordinates(path: str) -> list[tuple[float, float]]:
    numbers = list(map(float, re.findall(r"-?[\d.]+", path)))
    return list(zip(numbers[::2], numbers[1::2], strict=True))


# --- lines --------------------------------------------------------------------------------------------------


def test_a_line_goes_where_the_values_are():
    svg = plot(Series("a", [0, 5, 10], [0.0, 30.0, 20.0]))
    (x0, y0), (x5, y5), (x10, y10) = markers(svg).values()
    assert x5 - x0 == pytest.approx(x10 - x5, abs=0.01)
    assert y0 - y5 == pytest.approx(1.5 * (y0 - y10), abs=0.01)
    assert lines(svg) == [[[(x0, y0), (x5, y5), (x10, y10)]]]


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")], ids=["none", "nan", "infinity"])
def test_a_missing_value_interrupts_the_line(missing):
    svg = plot(Series("a", [1, 2, 3, 4, 5], [1.0, 2.0, missing, 2.0, 1.0]))
    assert [len(piece) for piece in lines(svg)[0]] == [2, 2]
    assert list(markers(svg)) == ["a: 1, 1", "a: 2, 2", "a: 4, 2", "a: 5, 1"]


def test_a_point_alone_is_seen_even_among_many():
    values = [None if number % 10 else 1.0 + number for number in range(100)]
    assert len(markers(plot(Series("a", range(100), values)))) == 10
    assert markers(plot(Series("a", range(100), [1.0] * 100))) == {}


def test_points_come_in_the_order_of_x():
    assert lines(plot(Series("a", [3, 1, 2], [3.0, 1.0, 2.0]))) == lines(plot(Series("a", [1, 2, 3], [1.0, 2.0, 3.0])))


def test_a_band_stands_where_both_ends_are_known():
    svg = plot(Series("a", [1, 2, 3, 4], [2.0] * 4, [1.0, 1.0, None, 1.0], [3.0, 4.0, 4.0, 3.0]))
    band, _ = bands(svg)
    (x1, y), (x2, _), _, (x4, _) = markers(svg).values()
    assert {x for x, _ in band} == {x1, x2}
    assert {x for x, _ in bands(svg)[1]} == {x4}
    low, high = max(y for _, y in band), min(y for _, y in band)
    assert y - high == pytest.approx(2 * (low - y), abs=0.01)
    assert bands(plot(Series("a", [1, 2], [2.0, 2.0]))) == []


def test_several_series_have_a_legend_and_differ_in_more_than_colour():
    names = [f"mixer_{number}" for number in range(9)]
    svg = plot(*(Series(name, [1, 2], [1.0, number]) for number, name in enumerate(names)))
    assert [text for text in texts(svg) if text in names] == names
    looks = {path.get("style") for path in svg.iter("path") if "stroke-width: 2" in path.get("style", "")}
    assert len({re.sub(r"; stroke-(linecap|dashoffset): \w+", "", look) for look in looks}) == 9
    assert len({re.search(r"stroke-dasharray: [\d.,]+|$", look)[0] for look in looks}) == 4
    assert "mixer_0" not in texts(plot(Series("mixer_0", [1, 2], [1.0, 2.0])))


def test_a_long_legend_makes_the_plot_higher():
    def height(*names: str) -> float:
        return float(plot(*(Series(name, [1, 2], [1.0, 2.0]) for name in names)).get("viewBox").split()[3])

    assert height("attention") == height("attention", "xnor")
    assert height(*(f"summarymixing{n}+attention{n}" for n in range(9))) > height("attention") + 50


def test_zero_can_be_made_part_of_the_axis():
    series = Series("a", [1, 2], [70.0, 80.0])
    assert "0" in texts(plot(series, zero_y=True))
    assert "0" not in texts(plot(series))


def test_names_are_plain_text_and_the_plot_has_a_title_for_those_who_hear_it():
    names = ["a<b&'c'", "$d$", "_e"]  # to matplotlib, dollars are formulas and an underscore hides
    svg = plot(*(Series(name, [1], [1.0]) for name in names), title='"<WER>"')
    assert svg.get("aria-label") == '"<WER>"' == svg.find("title").text
    assert [text for text in texts(svg) if text in names] == names
    assert list(markers(svg)) == [f"{name}: 1, 1" for name in names]


@pytest.mark.parametrize(
    "series",
    [[], [Series("a", [1, 2], [None, float("nan")])], [Series("a", [], [])]],
    ids=["no series", "no value", "an empty series"],
)
def test_what_cannot_be_drawn(series):
    with pytest.raises(ValueError, match="at least one point"):
        plot(*series)


# --- points -------------------------------------------------------------------------------------------------


def test_scatter_names_points_and_draws_intervals():
    svg = scatter(
        Point("summarymixing", 2.6e6, 4.0, y_interval=(3.0, 5.0)),
        Point("attention", 2.7e6, 3.0, x_interval=(2.65e6, 2.75e6), group=1),
        y_label="WER, %",
    )
    assert {"summarymixing", "attention", "WER, %"} <= set(texts(svg))
    (x1, y1), (x2, y2) = markers(svg).values()
    assert list(markers(svg)) == ["summarymixing: 2.6 M, 4", "attention: 2.7 M, 3"]
    assert x1 < x2 and y1 < y2
    upright, flat = error_bars(svg)
    assert [x for x, _ in upright] == [x1, x1] and [y for _, y in flat] == [y2, y2]
    assert upright[0][1] - y1 == pytest.approx(y1 - upright[1][1], abs=0.01)


def test_names_of_crowded_points_are_moved_apart_and_led_to_their_points():
    crowd = [Point("summarymixing", 1 + 0.02 * number, 5 + 0.01 * number) for number in range(4)]
    svg = scatter(*crowd, Point("far away", 3, 9))
    named = [text for text in svg.iter("text") if text.text == "summarymixing"]
    boxes = [Box(x, y, x + 80, y + 10) for x, y in ((float(text.get("x")), float(text.get("y"))) for text in named)]
    assert len(boxes) == 4 and all(a.overlap(b) == 0 for a, b in combinations(boxes, 2))
    ends = [
        coordinates(path.get("d"))[-1] for path in svg.iter("path") if "stroke: var(--muted)" in path.get("style", "")
    ]
    assert len(ends) >= 2
    places = list(markers(svg).values())
    assert all(min(abs(x - a) + abs(y - b) for a, b in places) < 8 for x, y in ends)


# --- axes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "low, high, ticks",
    [
        (1, 4, ["1", "2", "3", "4"]),
        (0, 80, ["0", "20", "40", "60", "80"]),
        (0, 0.002, ["0", "0.0005", "0.001", "0.0015", "0.002"]),
        (1, 1, ["0", "1", "2"]),
        (2.5, 2.5, ["1", "1.5", "2", "2.5", "3", "3.5", "4"]),
        (-3.5, 4.5, ["−4", "−2", "0", "2", "4", "6"]),
        (3, 120, ["0", "20", "40", "60", "80", "100", "120"]),
    ],
    ids=["epochs", "percent", "learning rate", "one epoch", "one value", "both signs", "many epochs"],
)
def test_ticks_are_round_and_enclose_the_values(low, high, ticks):
    assert [number_text(tick) for tick in round_ticks([low, high])] == ticks


@pytest.mark.parametrize(
    "value, text",
    [
        (0, "0"),
        (1500, "1,500"),
        (0.25, "0.25"),
        (2.59e6, "2.59 M"),
        (1.5e9, "1.5 G"),
        (5e-5, "5×10⁻⁵"),
        (1e-6, "10⁻⁶"),
        (-2, "−2"),
        (1e13, "10¹³"),
    ],
)
def test_numbers_as_text(value, text):
    assert number_text(value) == text


def test_texts_of_ticks_do_not_touch():
    svg = plot(Series("a", [1000000 * n for n in range(30)], list(range(30))), x_label="parameters")
    places = [float(text.get("x")) for text in svg.iter("text") if text.text.endswith(" M")]
    assert len(places) >= 3 and all(b - a > 40 for a, b in pairwise(places))


# --- files --------------------------------------------------------------------------------------------------


def test_the_same_data_give_the_same_bytes():
    series = [Series("a", [1, 2, 3], [1.0, 2.0, 3.0], [0.5, 1, 2], [1.5, 3, 4])]
    labels = {"title": "t", "x_label": "x", "y_label": "y"}
    first = line_plot(series, **labels)
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "red"}):  # a user's own file
        assert line_plot(series, **labels) == first
    names = [set(re.findall(r'id="(.*?)"', line_plot(series, **{**labels, "title": title}))) for title in "tu"]
    assert names[0] and not names[0] & names[1]


def test_the_colours_are_those_of_the_page():
    svg = line_plot([Series("a", [1, 2], [1, 2]), Series("b", [1], [3])], title="t", x_label="x", y_label="y")
    assert {"var(--series-1)", "var(--series-2)", "var(--muted)", "var(--rule)", "currentColor"} <= set(
        re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)
    )
    assert "#0" not in svg and "font-family" not in svg


def test_a_plot_of_its_own_is_an_svg_file():
    text = standalone(line_plot([Series("a", [1], [1.0])], title="t", x_label="x", y_label="y"))
    svg = ElementTree.fromstring(text)
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    left, _, width, _ = map(float, svg.get("viewBox").split())
    assert left < 0 and left + width > WIDTH
    for variable in set(re.findall(r"var\((--[\w-]+)\)", text)):
        assert text.count(f"{variable}: #") == 2  # for light and for dark


def test_matplotlib_is_loaded_to_draw_and_no_earlier():
    code = "import sys, recipes.reports; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
