"""Plots as inline SVG: numbers and labels in, one `<svg>` element out.

No script and no other file is needed.  Axes and text take the color of the surrounding text, so that
plots are readable on light and dark pages.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from poetgen.views.svg import circle, color, document, element, line, rect, text

_WIDTH = 720
_RIGHT = 700


class Interval(NamedTuple):
    """A value from 0 to 1 with its interval."""

    value: float
    low: float
    high: float
    flagged: bool = False


class Row(NamedTuple):
    """A row of an interval plot: a band, and a dot with whiskers for each series (None: no value)."""

    label: str
    band: Interval | None
    dots: Sequence[Interval | None]


class Curve(NamedTuple):
    """Points (x, y) that are joined in order; `has_dots` draws each of them too."""

    label: str
    points: Sequence[Sequence[float]]
    color: str
    is_dashed: bool = False
    width: float = 2
    has_dots: bool = False


class Spot(NamedTuple):
    """A labeled point."""

    label: str
    x: float
    y: float
    color: str


def interval_plot(title: str, rows: Sequence[Row]) -> str:
    """Plot rows over one axis from 0 to 100%: gray bands, colored dots, filled if flagged."""
    left, top = 170, 24
    row_height = 8 + 11 * max((len(row.dots) for row in rows), default=1)
    bottom = top + row_height * len(rows)
    x = _Scale((0, 1), left, _RIGHT)
    parts = []
    for tick in x.ticks():
        parts.append(line(x(tick), top, x(tick), bottom + 4, opacity=0.2))
        parts.append(text(x(tick), bottom + 18, f"{tick:.0%}", anchor="middle"))
    for number, row in enumerate(rows):
        y = top + row_height * number
        parts.append(text(left - 10, y + row_height / 2 + 4, row.label, anchor="end"))
        if row.band is not None:
            low, high = x(row.band.low), x(row.band.high)
            parts.append(rect(low, y + 2, max(2, high - low), row_height - 4, opacity=0.25))
        for series, dot in enumerate(row.dots):
            if dot is not None:
                middle = y + 9.5 + 11 * series
                style = {"stroke": color(series), "stroke_width": "2"}
                fill = color(series) if dot.flagged else "none"
                parts.append(line(x(dot.low), middle, x(dot.high), middle, **style))
                parts.append(circle(x(dot.value), middle, 4, fill=fill, **style))
    return document(title, _WIDTH, bottom + 24, parts)


def log_log_plot(title: str, curves: Sequence[Curve], x_label: str, y_label: str) -> str:
    """Plot curves of shares, in percent, over two logarithmic axes."""
    scaled = [
        curve._replace(points=[(x, 100 * share) for x, share in curve.points]) for curve in curves
    ]
    return line_chart(title, scaled, x_label, f"{y_label} (%)", log_x=True, log_y=True)


def spot_plot(title: str, spots: Sequence[Spot], x_label: str, y_label: str) -> str:
    """Plot points of two shares, in percent, over axes that fit them."""
    curves = [
        Curve(spot.label, [(100 * spot.x, 100 * spot.y)], spot.color, has_dots=True)
        for spot in spots
    ]
    return line_chart(title, curves, f"{x_label} (%)", f"{y_label} (%)")


def line_chart(
    title: str,
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Return curves over linear or logarithmic axes that fit them, with a legend below.

    Points outside the axes are left out: below or above `y_range`, and numbers that are not positive on
    a logarithmic axis.
    """
    left, top, bottom = 70, 44, 340
    points = [point for curve in curves for point in curve.points]
    x = _Scale((point[0] for point in points), left, _RIGHT, is_log=log_x)
    y = _Scale(y_range or (point[1] for point in points), bottom, top, is_log=log_y)
    parts = [text(_WIDTH / 2, 16, title, anchor="middle", size=14), text(left, 36, y_label)]
    for tick in x.ticks():
        parts.append(line(x(tick), top, x(tick), bottom, opacity=0.2))
        parts.append(text(x(tick), bottom + 16, f"{tick:,g}", anchor="middle"))
    for tick in y.ticks():
        parts.append(line(left, y(tick), _RIGHT, y(tick), opacity=0.2))
        parts.append(text(left - 10, y(tick) + 4, f"{tick:,g}", anchor="end"))
    parts.append(text(_WIDTH / 2, bottom + 34, x_label, anchor="middle"))
    for number, curve in enumerate(curves):
        label_x, label_y = left + 330 * (number % 2), bottom + 58 + 18 * (number // 2)
        sample = [(label_x, label_y - 4), (label_x + 26, label_y - 4)]
        parts += _draw(curve, [(x(a), y(b)) for a, b in curve.points if x.has(a) and y.has(b)])
        parts += _draw(curve, sample[: len(curve.points) or 2])
        parts.append(text(label_x + 34, label_y, curve.label))
    return document(title, _WIDTH, bottom + 68 + 18 * ((len(curves) - 1) // 2), parts)


def side_by_side(title: str, charts: Sequence[str]) -> str:
    """Return one drawing of charts of equal width, from left to right."""
    height = max(float(re.findall(r'height="(.+?)"', chart)[0]) for chart in charts)
    moved = (
        chart.replace("<svg ", f'<svg x="{_WIDTH * number}" ', 1)
        for number, chart in enumerate(charts)
    )
    return document(title, _WIDTH * len(charts), height, moved)


class _Scale:
    """A map from numbers, or from their logarithms, to coordinates from `start` to `end`."""

    def __init__(
        self, values: Iterable[float], start: float, end: float, *, is_log: bool = False
    ) -> None:
        """Fit `values`; a logarithmic scale begins and ends at powers of ten."""
        self.start, self.end, self.is_log = start, end, is_log
        shown = [n for n in map(self._number, values) if math.isfinite(n)] or [0.0]
        self.low, self.high = min(shown), max(shown)
        if is_log:
            self.low, self.high = math.floor(self.low), math.ceil(self.high)
        if self.low == self.high:
            self.low, self.high = self.low - 1, self.high + 1

    def __call__(self, value: float) -> float:
        share = (self._number(value) - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * share

    def has(self, value: float) -> bool:
        return self.low <= self._number(value) <= self.high

    def ticks(self) -> list[float]:
        """Return about five round numbers, or powers of ten, within the scale."""
        rough = max((self.high - self.low) / 5, 1 if self.is_log else 0)
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [10.0 ** (step * number) if self.is_log else step * number for number in numbers]

    def _number(self, value: float) -> float:
        if not self.is_log:
            return value
        return math.log10(value) if value > 0 else -math.inf


def _draw(curve: Curve, positions: Sequence[tuple[float, float]]) -> list[str]:
    """Return a line through `positions` in the style of `curve`, and its dots."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in positions)
    style = {"stroke": curve.color, "stroke_dasharray": "6 4" if curve.is_dashed else "none"}
    drawn = element("polyline", points=path, fill="none", stroke_width=curve.width, **style)
    dots = (circle(x, y, 4, fill=curve.color) for x, y in positions if curve.has_dots)
    return [drawn, *dots]
