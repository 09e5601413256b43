"""Plots: where things lie, and that the text is well-formed."""

from xml.etree import ElementTree

import pytest

from poetgen.evaluation.plots import (
    COLOURS,
    Curve,
    Interval,
    Row,
    Spot,
    _range,
    _ticks,
    colour,
    interval_plot,
    log_log_plot,
    spot_plot,
)


def test_a_dot_lies_where_its_figure_is_and_is_filled_if_marked() -> None:
    rows = [
        Row("对 & 粘", Interval(0.5, 0.4, 0.6), [Interval(0.25, 0.2, 0.3, marked=True), None]),
        Row("rhyme", None, [None, Interval(0.75, 0.7, 0.8)]),
    ]
    svg = ElementTree.fromstring(interval_plot("figures", rows))
    # The axis runs from 170 to 700.
    first, second = svg.findall("circle")
    assert (first.get("cx"), first.get("fill")) == ("302.5", COLOURS[0])
    assert (second.get("cx"), second.get("fill")) == ("567.5", "none")
    (band,) = svg.findall("rect")
    assert (band.get("x"), band.get("width")) == ("382.0", "106.0")
    assert "对 & 粘" in [text.text for text in svg.iter("text")]
    assert svg.findtext("title") == "figures"


def test_curves_lie_on_logarithmic_axes() -> None:
    curves = [Curve("real", [[1, 0.1], [10, 0.01], [100, 0.001]], "red"), Curve("none", [], "blue")]
    svg = ElementTree.fromstring(log_log_plot("ranks", curves, "rank", "share"))
    line, empty = svg.findall("polyline")
    points = [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]
    # From 70 to 700 for two powers of ten, from 24 to 340 for three below 1.
    assert [x for x, _ in points] == pytest.approx([70, 385, 700])
    assert [y for _, y in points] == pytest.approx([24 + 316 / 3, 24 + 632 / 3, 340], abs=0.1)
    assert empty.get("points") == ""


@pytest.mark.parametrize("num", [1, 3])
def test_spots_lie_within_their_axes(num: int) -> None:
    spots = [Spot(f"model {i}", 0.9 + i / 100, 0.5 - i / 10, colour(i)) for i in range(num)]
    svg = ElementTree.fromstring(spot_plot("quality", spots, "x", "y"))
    places = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in svg.findall("circle")]
    assert len(places) == num
    assert all(70 < x < 700 and 24 < y < 340 for x, y in places)
    assert places == sorted(places)  # more to the right is lower, and low is a larger y


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.905, 0.925, [0.905, 0.91, 0.915, 0.92, 0.925]),
        (0.13, 0.61, [0.2, 0.3, 0.4, 0.5, 0.6]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    found = _ticks(low, high)
    inner = [tick for tick in expected if low < tick < high]
    assert [tick for tick in found if low < tick < high] == pytest.approx(inner)


def test_a_range_has_a_margin_and_is_never_empty() -> None:
    assert _range([0.2, 0.4]) == pytest.approx((0.17, 0.43))
    assert _range([0.5]) == pytest.approx((0.495, 0.505))


def test_colours_begin_again_after_the_last() -> None:
    assert colour(len(COLOURS)) == colour(0)
