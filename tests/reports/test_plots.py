"""Plots are SVG that says what it was given: positions, ticks, names, gaps."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from recipes.reports.plot_axis import Axis, tick_text
from recipes.reports.plots import WIDTH, Point, Series, line_plot, scatter_plot, standalone


def plot(*series: Series, **options) -> ElementTree.Element:
    options = {"title": "Loss", "x_label": "epoch", "y_label": "loss", **options}
    return ElementTree.fromstring(line_plot(series, **options))


def texts(svg: ElementTree.Element) -> list[str]:
    return [one.text for one in svg.iter("text")]


def circles(svg: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(one.get("cx")), float(one.get("cy"))) for one in svg.iter("circle")]


def lines(svg: ElementTree.Element) -> list[str]:
    return [one.get("d") for one in svg.iter("path") if one.get("fill") == "none"]


def bands(svg: ElementTree.Element) -> list[str]:
    return [one.get("d") for one in svg.iter("path") if one.get("d").endswith("Z")]


def test_a_line_goes_where_the_values_are():
    svg = plot(Series("a", [0, 5, 10], [0.0, 30.0, 20.0]))
    (x0, y0), (x5, y5), (x10, y10) = circles(svg)
    assert x5 - x0 == pytest.approx(x10 - x5, abs=0.2)
    assert y0 - y5 == pytest.approx(1.5 * (y0 - y10), abs=0.2)
    assert lines(svg) == [f"M{x0} {y0}L{x5} {y5}L{x10} {y10}"]


def test_logarithmic_axes_space_by_ratio():
    svg = plot(Series("a", [10, 100, 1000], [1.0, 0.1, 0.001]), log_x=True, log_y=True)
    (x1, y1), (x2, y2), (x3, y3) = circles(svg)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y3 - y2 == pytest.approx(2 * (y2 - y1), abs=0.2)
    assert {"10", "100", "1,000", "0.001", "0.1"} <= set(texts(svg))


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")], ids=["none", "nan", "infinity"])
def test_a_missing_value_interrupts_the_line(missing):
    svg = plot(Series("a", [1, 2, 3, 4, 5], [1.0, 2.0, missing, 2.0, 1.0]))
    assert [part.count("L") for part in lines(svg)[0].split("M")[1:]] == [1, 1]
    assert len(circles(svg)) == 4


def test_a_point_alone_is_seen_even_among_many():
    values = [None if number % 10 else 1.0 + number for number in range(100)]
    assert len(circles(plot(Series("a", range(100), values)))) == 10
    assert circles(plot(Series("a", range(100), [1.0] * 100))) == []


def test_points_come_in_the_order_of_x():
    assert lines(plot(Series("a", [3, 1, 2], [3.0, 1.0, 2.0]))) == lines(plot(Series("a", [1, 2, 3], [1.0, 2.0, 3.0])))


def test_a_band_stands_where_both_ends_are_known():
    svg = plot(Series("a", [1, 2, 3, 4], [2.0] * 4, [1.0, 1.0, None, 1.0], [3.0, 4.0, 4.0, 3.0]))
    assert [band.count("L") for band in bands(svg)] == [3, 1]
    assert bands(plot(Series("a", [1, 2], [2.0, 2.0]))) == []


def test_several_series_have_a_legend_and_differ_in_more_than_colour():
    names = [f"mixer_{number}" for number in range(9)]
    svg = plot(*(Series(name, [1, 2], [1.0, number]) for number, name in enumerate(names)))
    assert [text for text in texts(svg) if text in names] == names
    drawn = [one for one in svg.iter("path") if one.get("fill") == "none"]
    looks = [(one.get("style"), one.get("stroke-dasharray")) for one in drawn]
    assert len(set(looks)) == 9
    assert looks[0][1] != looks[1][1]
    assert "mixer_0" not in texts(plot(Series("mixer_0", [1, 2], [1.0, 2.0])))


def test_zero_can_be_made_part_of_the_axis():
    series = Series("a", [1, 2], [70.0, 80.0])
    assert "0" in texts(plot(series, zero_y=True))
    assert "0" not in texts(plot(series))


def test_names_are_escaped_and_the_plot_has_a_title_for_those_who_hear_it():
    svg = plot(Series("a<b&'c'", [1], [1.0]), Series("d", [1], [2.0]), title='"<WER>"')
    assert svg.get("aria-label") == '"<WER>"' == svg.find("title").text
    assert "a<b&'c'" in texts(svg)


@pytest.mark.parametrize(
    "series, options, said",
    [
        ([], {}, "at least one point"),
        ([Series("a", [1, 2], [None, float("nan")])], {}, "at least one point"),
        ([Series("a", [1, 2], [0.0, 1.0])], {"log_y": True}, "a logarithmic axis cannot show 0"),
        ([Series("a", [-1, 2], [1.0, 1.0])], {"log_x": True}, "a logarithmic axis cannot show -1"),
    ],
    ids=["no series", "no value", "zero on a log axis", "negative on a log axis"],
)
def test_what_cannot_be_drawn(series, options, said):
    with pytest.raises(ValueError, match=said):
        plot(*series, **options)


def test_scatter_names_points_and_draws_intervals():
    points = [
        Point("summarymixing", 2.6e6, 4.0, y_interval=(3.0, 5.0)),
        Point("attention", 2.7e6, 3.0, x_interval=(2.65e6, 2.75e6), group=1),
    ]
    svg = ElementTree.fromstring(scatter_plot(points, title="t", x_label="parameters", y_label="WER, %"))
    assert {"summarymixing", "attention", "WER, %"} <= set(texts(svg))
    (x1, y1), (x2, y2) = circles(svg)
    assert x1 < x2 and y1 < y2
    upright, flat = [one.get("d") for one in svg.iter("path") if "stroke-opacity" in one.attrib][-2:]
    assert re.match(rf"M{x1} ([\d.]+)L{x1} ", upright)
    assert re.match(rf"M[\d.]+ {y2}L[\d.]+ {y2}$", flat)


def test_names_of_crowded_points_do_not_cover_each_other():
    points = [Point("summarymixing", 1 + 0.02 * number, 5 + 0.01 * number) for number in range(4)]
    points.append(Point("far away", 3, 9))
    svg = ElementTree.fromstring(scatter_plot(points, title="t", x_label="x", y_label="y"))
    rows = [float(one.get("y")) for one in svg.iter("text") if one.text == "summarymixing"]
    columns = [one.get("text-anchor") for one in svg.iter("text") if one.text == "summarymixing"]
    assert len(set(zip(rows, columns, strict=True))) == 4


@pytest.mark.parametrize(
    "low, high, ticks",
    [
        (1, 4, ["1", "2", "3", "4"]),
        (0, 80, ["0", "20", "40", "60", "80"]),
        (0, 0.002, ["0", "0.0005", "0.001", "0.0015", "0.002"]),
        (1, 1, ["0", "1", "2"]),
        (2.5, 2.5, ["1", "1.5", "2", "2.5", "3", "3.5", "4"]),
        (-3.5, 4.5, ["−4", "−2", "0", "2", "4", "6"]),
        (3, 120, ["0", "25", "50", "75", "100", "125"]),
    ],
    ids=["epochs", "percent", "learning rate", "one epoch", "one value", "both signs", "many epochs"],
)
def test_ticks_are_round_and_enclose_the_values(low, high, ticks):
    axis = Axis([low, high], log=False)
    assert [tick_text(tick) for tick in axis.ticks] == ticks
    assert 0 <= axis.at(low) <= axis.at(high) <= 1


@pytest.mark.parametrize("low, high", [(1, 1e6), (3e-4, 0.02), (2, 9), (5, 5), (1.01, 1.05)])
def test_logarithmic_ticks(low, high):
    axis = Axis([low, high], log=True)
    assert 3 <= len(axis.ticks) <= 12
    assert 0 <= axis.at(low) <= axis.at(high) <= 1


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
    assert tick_text(value) == text


def test_texts_of_ticks_do_not_touch():
    svg = plot(Series("a", [1000000 * n for n in range(30)], list(range(30))), x_label="parameters")
    ticks = [one for one in svg.iter("text") if (one.text or "").endswith(" M")]
    places = [float(one.get("x")) for one in ticks]
    assert all(b - a > 40 for a, b in pairwise(places))


def test_a_plot_of_its_own_is_an_svg_file():
    svg = ElementTree.fromstring(standalone(line_plot([Series("a", [1], [1.0])], title="t", x_label="x", y_label="y")))
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    left, _, width, _ = map(float, svg.get("viewBox").split())
    assert left < 0 and left + width > WIDTH
