"""Plots as inline SVG: text that a browser draws, without a script or a file beside it.

They know nothing of poems: numbers and labels in, one `<svg>` element out.  Axes and letters have the
colour of the text around them, so that they can be read on light and dark pages.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999933", "#882255")
"""Told apart by colour-blind eyes too (after Okabe & Ito 2008)."""

_WIDTH = 720


class Interval(NamedTuple):
    """A figure from 0 to 1 with its interval."""

    value: float
    low: float
    high: float
    marked: bool = False


class Row(NamedTuple):
    """A line of an interval plot: a band, and a dot with whiskers for each series (None: no figure)."""

    label: str
    band: Interval | None
    dots: Sequence[Interval | None]


class Curve(NamedTuple):
    """Points in their order."""

    label: str
    points: Sequence[Sequence[float]]
    colour: str


class Spot(NamedTuple):
    """A labelled point."""

    label: str
    x: float
    y: float
    colour: str


def colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def interval_plot(title: str, rows: Sequence[Row]) -> str:
    """Rows over one axis from 0 to 100%: grey bands, coloured dots; a dot that is marked is filled."""
    left, right, top = 170, 20, 24
    tall = 8 + 11 * max((len(row.dots) for row in rows), default=1)
    height = top + tall * len(rows) + 24

    def x(share: float) -> float:
        return left + (_WIDTH - left - right) * share

    parts = []
    for tick in range(0, 101, 20):
        parts.append(_line(x(tick / 100), top, x(tick / 100), height - 20, opacity=0.2))
        parts.append(_text(x(tick / 100), height - 6, f"{tick}%", anchor="middle"))
    for number, row in enumerate(rows):
        y = top + tall * number
        parts.append(_text(left - 10, y + tall / 2 + 4, row.label, anchor="end"))
        if row.band is not None:
            wide = max(2.0, x(row.band.high) - x(row.band.low))
            parts.append(
                f'<rect x="{x(row.band.low):.1f}" y="{y + 2}" width="{wide:.1f}" '
                f'height="{tall - 4}" fill="currentColor" fill-opacity="0.25"/>'
            )
        for series, dot in enumerate(row.dots):
            if dot is None:
                continue
            middle = y + 9.5 + 11 * series
            stroke = f'stroke="{colour(series)}"'
            fill = colour(series) if dot.marked else "none"
            parts.append(
                f'<line x1="{x(dot.low):.1f}" y1="{middle}" x2="{x(dot.high):.1f}" y2="{middle}" '
                f'{stroke} stroke-width="2"/>'
                f'<circle cx="{x(dot.value):.1f}" cy="{middle}" r="4" {stroke} stroke-width="2" '
                f'fill="{fill}"/>'
            )
    return _svg(title, height, parts)


def log_log_plot(title: str, curves: Sequence[Curve], x_label: str, y_label: str) -> str:
    """Curves of positive numbers over two logarithmic axes, with a legend."""
    points = [point for curve in curves for point in curve.points]
    left, right, top, bottom, height = 70, 20, 24, 40, 380
    last_x = math.ceil(math.log10(max([10.0, *(x for x, _ in points)])))
    first_y = math.floor(math.log10(min([0.1, *(y for _, y in points)])))

    def x(value: float) -> float:
        return left + (_WIDTH - left - right) * math.log10(value) / last_x

    def y(value: float) -> float:
        return top + (height - top - bottom) * math.log10(value) / first_y

    parts = []
    for power in range(last_x + 1):
        parts.append(_line(x(10**power), top, x(10**power), height - bottom, opacity=0.2))
        parts.append(_text(x(10**power), height - bottom + 16, f"{10**power:,}", anchor="middle"))
    for power in range(first_y, 1):
        parts.append(_line(left, y(10.0**power), _WIDTH - right, y(10.0**power), opacity=0.2))
        parts.append(_text(left - 6, y(10.0**power) + 4, f"{100 * 10.0**power:g}%", anchor="end"))
    parts.append(_text(_WIDTH / 2, height - 6, x_label, anchor="middle"))
    parts.append(_text(left + 6, top + 12, y_label))
    for number, curve in enumerate(curves):
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in curve.points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{curve.colour}" stroke-width="2"/>'
        )
        low = height - bottom - 12 - 16 * (len(curves) - 1 - number)
        parts.append(_line(left + 10, low - 4, left + 34, low - 4, stroke=curve.colour, width=2))
        parts.append(_text(left + 40, low, curve.label))
    return _svg(title, height, parts)


def spot_plot(title: str, spots: Sequence[Spot], x_label: str, y_label: str) -> str:
    """Labelled points over axes that fit them, in per cent."""
    left, right, top, bottom, height = 70, 20, 24, 40, 380
    x_range, y_range = (_range(values) for values in zip(*((s.x, s.y) for s in spots), strict=True))

    def x(value: float) -> float:
        return left + (_WIDTH - left - right) * (value - x_range[0]) / (x_range[1] - x_range[0])

    def y(value: float) -> float:
        scale = (value - y_range[0]) / (y_range[1] - y_range[0])
        return height - bottom - (height - top - bottom) * scale

    parts = []
    for tick in _ticks(*x_range):
        parts.append(_line(x(tick), top, x(tick), height - bottom, opacity=0.2))
        parts.append(_text(x(tick), height - bottom + 16, f"{100 * tick:.3g}%", anchor="middle"))
    for tick in _ticks(*y_range):
        parts.append(_line(left, y(tick), _WIDTH - right, y(tick), opacity=0.2))
        parts.append(_text(left - 6, y(tick) + 4, f"{100 * tick:.3g}%", anchor="end"))
    parts.append(_text(_WIDTH / 2, height - 6, x_label, anchor="middle"))
    parts.append(_text(left + 6, top + 12, y_label))
    for spot in spots:
        on_right = x(spot.x) > (left + _WIDTH) / 2
        parts.append(
            f'<circle cx="{x(spot.x):.1f}" cy="{y(spot.y):.1f}" r="5" fill="{spot.colour}"/>'
        )
        parts.append(
            _text(
                x(spot.x) + (-9 if on_right else 9),
                y(spot.y) + 4,
                spot.label,
                anchor="end" if on_right else "start",
            )
        )
    return _svg(title, height, parts)


def _range(values: Iterable[float]) -> tuple[float, float]:
    """The values' range with a margin, at least a hundredth wide."""
    known = list(values)
    low, high = min(known), max(known)
    margin = max(0.005, 0.15 * (high - low))
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`."""
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _svg(title: str, height: float, parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:g}" width="{_WIDTH}" height="{height:g}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    *,
    stroke: str = "currentColor",
    width: float = 1,
    opacity: float = 1,
) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
        f'stroke-width="{width:g}" stroke-opacity="{opacity:g}"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" '
        f'fill="currentColor">{escape(text)}</text>'
    )
