"""Plots: positions of their elements, and well-formed text."""

from xml.etree import ElementTree

import pytest

from poetgen.views.charts import (
    Curve,
    Interval,
    Row,
    Spot,
    _Scale,
    interval_plot,
    line_chart,
    log_log_plot,
    side_by_side,
    spot_plot,
)
from poetgen.views.svg import PALETTE, color


def test_interval_plot_fills_flagged_dots() -> None:
    rows = [
        Row("对 & 粘", Interval(0.5, 0.4, 0.6), [Interval(0.25, 0.2, 0.3, flagged=True), None]),
        Row("rhyme", None, [None, Interval(0.75, 0.7, 0.8)]),
    ]
    svg = ElementTree.fromstring(interval_plot("metrics", rows))
    # The axis runs from 170 to 700.
    first, second = svg.findall("circle")
    assert (first.get("cx"), first.get("fill")) == ("302.5", PALETTE[0])
    assert (second.get("cx"), second.get("fill")) == ("567.5", "none")
    (band,) = svg.findall("rect")
    assert (band.get("x"), band.get("width")) == ("382", "106")
    assert "对 & 粘" in [text.text for text in svg.iter("text")]
    assert svg.findtext("title") == "metrics"


def polyline(chart: str, index: int = 0) -> list[tuple[float, ...]]:
    """The points of a polyline; the even ones are curves, each followed by its sample in the legend."""
    drawn = ElementTree.fromstring(chart).findall("polyline")[index].get("points", "")
    return [tuple(map(float, point.split(","))) for point in drawn.split()]


def test_log_log_plot_has_logarithmic_axes() -> None:
    curves = [Curve("real", [[1, 0.1], [10, 0.01], [100, 0.001]], "red"), Curve("none", [], "blue")]
    chart = log_log_plot("ranks", curves, "rank", "share")
    assert polyline(chart) == [(70, 44), (385, 192), (700, 340)]
    assert polyline(chart, 2) == []
    texts = [text.text for text in ElementTree.fromstring(chart).iter("text")]
    assert {"real", "none", "rank", "share (%)", "0.1", "10", "100"} <= set(texts)


def test_line_chart_linear_axes() -> None:
    curve = Curve("error & loss", [(0, -1), (5, 0), (10, 1)], "red", has_dots=True)
    chart = line_chart("curve", [curve], "step", "loss")
    assert polyline(chart) == [(70, 340), (385, 192), (700, 44)]
    svg = ElementTree.fromstring(chart)
    assert [dot.get("cx") for dot in svg.findall("circle")[:3]] == ["70", "385", "700"]
    texts = [text.text for text in svg.iter("text")]
    assert {"curve", "step", "loss", "error & loss", "-0.5", "10"} <= set(texts)


def test_line_chart_logarithmic_axes() -> None:
    curve = Curve("norm", [(1, 1), (10, 0.1), (100, 0.0), (100, 0.01)], "red", is_dashed=True)
    chart = line_chart("curve", [curve], "x", "y", log_x=True, log_y=True)
    assert polyline(chart) == [(70, 44), (385, 192), (700, 340)]  # without the zero
    assert 'stroke-dasharray="6 4"' in chart


def test_line_chart_leaves_out_points_beyond_the_range() -> None:
    curves = [Curve("a", [(0, 0.5), (1, 7), (2, 1)], "red"), Curve("none", [], "blue")]
    chart = line_chart("curve", curves, "x", "y", y_range=(0, 1))
    assert polyline(chart) == [(70, 192), (700, 44)]
    assert polyline(chart, 2) == []
    constant = Curve("constant", [(3, 5), (4, 5)], "red")
    assert polyline(line_chart("curve", [constant], "x", "y")) == [(70, 192), (700, 192)]
    line_chart("nothing", [], "x", "y", log_y=True)


def test_side_by_side() -> None:
    curves = [Curve(str(i), [(0, 1), (1, 2)], "red") for i in range(3)]
    charts = [line_chart("one", curves[:1], "x", "y"), line_chart("three", curves, "x", "y")]
    both = ElementTree.fromstring(side_by_side("both", charts))
    assert (both.get("width"), both.get("height")) == ("1440", "426")
    assert [chart.get("x") for chart in both.findall("svg")] == ["0", "720"]


@pytest.mark.parametrize("num", [1, 3])
def test_spot_plot_labels_spots_within_the_axes(num: int) -> None:
    spots = [Spot(f"model {i}", 0.9 + i / 100, 0.5 - i / 10, color(i)) for i in range(num)]
    svg = ElementTree.fromstring(spot_plot("quality", spots, "x", "y"))
    # Each spot is followed by its sample in the legend.
    dots = svg.findall("circle")[::2]
    positions = [(float(dot.get("cx", 0)), float(dot.get("cy", 0))) for dot in dots]
    assert [dot.get("fill") for dot in dots] == [spot.color for spot in spots]
    assert all(70 <= x <= 700 and 44 <= y <= 340 for x, y in positions)
    assert positions == sorted(positions)  # more to the right is lower, and low is a larger y
    texts = [text.text for text in svg.iter("text")]
    assert {"x (%)", "y (%)", *(spot.label for spot in spots)} <= set(texts)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ([0.904, 0.926], [0.905, 0.91, 0.915, 0.92, 0.925]),
        ([0.13, 0.61], [0.2, 0.3, 0.4, 0.5, 0.6]),
        ([0.5], [-0.5, 0, 0.5, 1, 1.5]),
    ],
)
def test_ticks_are_round_numbers(values: list[float], expected: list[float]) -> None:
    assert _Scale(values, 0, 1).ticks() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.02, 30], [0.01, 0.1, 1, 10, 100]),
        ([1e-16, 1e6], [1e-15, 1e-10, 1e-5, 1, 1e5]),
        ([1], [0.1, 1, 10]),
    ],
)
def test_ticks_are_powers_of_ten(values: list[float], expected: list[float]) -> None:
    assert _Scale(values, 0, 1, is_log=True).ticks() == pytest.approx(expected)


def test_color_repeats_after_the_last() -> None:
    assert color(len(PALETTE)) == color(0)
