"""A trace and gradient decay as single drawings: bars per character, and curves."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from poetgen.inspection.result import GradientComparison, Trace
from poetgen.language import tr
from poetgen.prosody.marks import MARKS
from poetgen.views.charts import Curve, line_chart
from poetgen.views.svg import color, document, line, rect, text
from poetgen.views.trace_texts import GRADIENT_AXIS, SERIES_NAMES, gradient_label

_LEFT, _RIGHT, _TOP = 104, 44, 10
"""Margins; the names of the rows are on the left, their scales on the right."""
_COLUMN, _BAR, _GAP, _CHARACTERS, _HEADING = 29, 40, 9, 36, 20
"""Width of a column; heights of bars, of the gaps between rows, of the characters and of a heading."""
_MOST_COLUMNS = 32
_MIN_WIDTH = 620
"""The note below fits in it."""
_SURPRISE = "#b23a2a"
_COLORS = {
    "forget": "#12807f",
    "input": "#8f5a05",
    "output": "#6a55c8",
    "reset": "#12807f",
    "update": "#8f5a05",
    "hidden": "#4d7a35",
}


class _Row(NamedTuple):
    """A value per position, drawn as bars from 0 to `most`."""

    name: str
    color: str
    values: Sequence[float]
    heading: str = ""

    @property
    def most(self) -> float:
        return max(*self.values, 1e-9)


def trace_figure(trace: Trace) -> str:
    """Return the characters, the surprise at each, and per layer the mean of each gate, as bars.

    Punctuation is shaded.  Each row has a scale of its own, from 0 to its largest value.  A long text is
    broken after a mark.  A plain RNN has no gates; its rows are norms of the hidden state.
    """
    rows = _rows(trace)
    parts, y, width = [], float(_TOP), float(_MIN_WIDTH)
    for positions in _bands(trace.characters):
        drawn, height = _draw_band(trace.characters, positions, rows, y)
        parts += drawn
        y += height + 2 * _GAP
        width = max(width, _LEFT + _COLUMN * len(positions) + _RIGHT)
    note = (
        tr(
            "Bars: mean over a layer's units, from 0 to the value on the right. Shaded: punctuation."
        )
        if trace.gates
        else tr("Bars: norm of a layer, from 0 to the value on the right. Shaded: punctuation.")
    )
    parts.append(text(_LEFT, y + 4, note, size=11))
    return document(trace.text, width, y + 14, parts)


def gradient_figure(comparison: GradientComparison) -> str:
    """Return the gradient norms over steps back, on a logarithmic axis; fresh models are dashed."""
    curves = [
        Curve(
            gradient_label(decay),
            list(enumerate(decay.norms)),
            color(index),
            is_dashed=decay.model is None,
        )
        for index, decay in enumerate(comparison.decays)
    ]
    return line_chart(tr("Gradient decay"), curves, tr("steps back"), tr(GRADIENT_AXIS), log_y=True)


def _rows(trace: Trace) -> list[_Row]:
    """Return the surprise, then the rows of each layer, lowest first; without the start of the text."""
    nats = [value for value in trace.nats if value is not None]
    rows = [_Row(tr("surprise, nats"), _SURPRISE, nats)]
    for layer in range(len(trace.layers)):
        heading = tr("layer {layer}", layer=layer + 1)
        for name in trace.gates or ("hidden",):
            values = trace.mean(layer, name) if trace.gates else trace.state_norms(layer)
            rows.append(_Row(tr(SERIES_NAMES[name]), _COLORS[name], values[1:], heading))
            heading = ""
    return rows


def _bands(characters: Sequence[str]) -> Iterator[range]:
    """Yield ranges of positions, each at most `_MOST_COLUMNS` long and broken after a mark if possible."""
    start, end = 1, len(characters)
    while end - start > _MOST_COLUMNS:
        breaks = range(start + _MOST_COLUMNS, start, -1)
        stop = next((at for at in breaks if characters[at - 1] in MARKS), breaks[0])
        yield range(start, stop)
        start = stop
    yield range(start, end)


def _draw_band(
    characters: Sequence[str], positions: range, rows: Sequence[_Row], top: float
) -> tuple[list[str], float]:
    """Return the drawing of some positions from height `top` down, and its height."""
    parts, y = [], top + _CHARACTERS
    for row in rows:
        y += _HEADING if row.heading else 0
        if row.heading:
            parts.append(text(10, y - 2, row.heading, size=13, font_weight="bold"))
        parts += _draw_row(row, characters, positions, y)
        y += _BAR + _GAP
    height = y - top
    shades = []
    for column, position in enumerate(positions):
        x = _LEFT + _COLUMN * column
        if characters[position] in MARKS:
            shades.append(rect(x, top, _COLUMN, height, fill="currentColor", opacity=0.08))
        middle = x + _COLUMN / 2
        parts.append(text(middle, top + 25, characters[position], anchor="middle", size=22))
    return shades + parts, height


def _draw_row(row: _Row, characters: Sequence[str], positions: range, top: float) -> list[str]:
    right = _LEFT + _COLUMN * len(positions)
    parts = [
        text(_LEFT - 10, top + _BAR / 2 + 5, row.name, anchor="end"),
        text(right + 6, top + 9, f"{row.most:.2g}", size=11),
        line(_LEFT, top + _BAR, right, top + _BAR, opacity=0.5),
    ]
    for column, position in enumerate(positions):
        value = row.values[position - 1]
        height = _BAR * value / row.most
        is_mark = characters[position] in MARKS
        parts.append(
            rect(
                _LEFT + _COLUMN * (column + 0.14),
                top + _BAR - height,
                0.72 * _COLUMN,
                height,
                fill=row.color,
                opacity=1.0 if is_mark else 0.45,
            )
        )
    return parts
