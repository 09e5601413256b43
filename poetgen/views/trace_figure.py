"""A trace and gradient decay as single drawings: heat maps of all units, and curves."""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from poetgen.inspection.result import SERIES, SIGNED, GradientComparison, Trace
from poetgen.views.charts import Curve, line_chart
from poetgen.views.svg import color, document, element, line, rect, text

_LEFT, _RIGHT, _COLUMN, _HEIGHT, _GAP = 80, 70, 24, 110, 16
"""Sizes of a heat map and its margins; `_COLUMN` is the width of a character."""
_ZERO, _ONE, _NEGATIVE, _POSITIVE = (243, 237, 224), (18, 128, 127), (39, 102, 168), (178, 58, 42)


def trace_figure(trace: Trace) -> str:
    """Return the surprise above and, per layer, a heat map (units × characters) of each gate and state.

    Layer 1 is the lowest; the units of each map are ordered by their mean, largest first.
    """
    parts = _surprise_bars(trace)
    y = 2 * _GAP + _HEIGHT
    for layer, series in enumerate(trace.layers, start=1):
        for name in [name for name in SERIES if name in series and name != "candidate"]:
            parts += _heat_map(series[name], layer, name, y)
            y += _HEIGHT + _GAP
    for position, character in enumerate(trace.characters):
        x = _LEFT + _COLUMN * (position + 0.5)
        parts.append(text(x, y + 6, character, anchor="middle", size=16))
    width = _LEFT + _COLUMN * len(trace.characters) + _RIGHT
    return document(trace.text, width, y + 2 * _GAP, parts)


def gradient_figure(comparison: GradientComparison) -> str:
    """Return the gradient norms over steps back, on a logarithmic axis; fresh models are dashed."""
    curves = [
        Curve(decay.name, list(enumerate(decay.norms)), color(i), is_dashed="fresh" in decay.name)
        for i, decay in enumerate(comparison.decays)
    ]
    y_label = "gradient at the whole state, relative to the last step"
    return line_chart("Gradient decay", curves, "steps back", y_label, log_y=True)


def _surprise_bars(trace: Trace) -> list[str]:
    nats = [value or 0.0 for value in trace.nats]
    largest = max(*nats, 1.0)
    bottom = _GAP + _HEIGHT
    right = _LEFT + _COLUMN * len(nats)
    parts = [text(_LEFT - 10, _GAP + _HEIGHT / 2, "nats", anchor="end")]
    for tick in (0.0, largest):
        y = bottom - _HEIGHT * tick / largest
        parts += [line(_LEFT, y, right, y, opacity=0.3), text(right + 8, y + 4, f"{tick:.1f}")]
    for position, value in enumerate(nats):
        height = _HEIGHT * value / largest
        x = _LEFT + _COLUMN * (position + 0.1)
        parts.append(rect(x, bottom - height, 0.8 * _COLUMN, height, fill=color(1)))
    return parts


def _heat_map(values_TH: NDArray[np.float32], layer: int, name: str, y: float) -> list[str]:
    """Return the image of a series at height `y`, with its name on the left and its scale on the right."""
    low, high, stops = 0.0, 1.0, [_ZERO, _ONE]
    if name in SIGNED:
        # 99.5% of the values are below this bound; a few outliers would make all others pale.
        high = float(np.quantile(np.abs(values_TH), 0.995)) or 1.0
        low, stops = -high, [_NEGATIVE, _ZERO, _POSITIVE]
    # Neighboring units are unrelated, so they can be sorted.
    order = np.argsort(-values_TH.mean(axis=0), kind="stable")
    shares_HT = (values_TH[:, order].T - low) / (high - low)
    scale = np.linspace(1, 0, 256)[:, None]
    width = _COLUMN * len(values_TH)
    right = _LEFT + width + 8
    return [
        text(_LEFT - 10, y + _HEIGHT / 2 - 4, f"layer {layer}", anchor="end"),
        text(_LEFT - 10, y + _HEIGHT / 2 + 12, name, anchor="end"),
        _image(shares_HT, stops, f"layer {layer} {name}", x=_LEFT, y=y, width=width),
        _image(scale, stops, "scale", x=right, y=y, width=8),
        text(right + 12, y + 10, f"{high:.2g}", size=11),
        text(right + 12, y + _HEIGHT, f"{low:.2g}", size=11),
    ]


def _image(
    shares: NDArray[np.floating], stops: list[tuple[int, int, int]], label: str, **box: float
) -> str:
    """Return an SVG image: a pixel per share (rows × columns), colored linearly between `stops`."""
    codes = np.clip(shares * 255, 0, 255).round().astype(np.uint8)
    positions = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(positions, range(len(stops)), one) for one in zip(*stops, strict=True)]
    palette = np.stack(channels, axis=1).round().astype(np.uint8).tobytes()
    data = base64.b64encode(_png(codes, palette)).decode("ascii")
    attributes = {
        "preserveAspectRatio": "none",
        "style": "image-rendering:pixelated",
        "aria_label": label,
        "href": f"data:image/png;base64,{data}",
    }
    return element("image", height=_HEIGHT, **box, **attributes)


def _png(codes: NDArray[np.uint8], palette: bytes) -> bytes:
    """Return an 8-bit PNG image of `codes` (rows × columns) in the colors of `palette`."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    num_rows, num_columns = codes.shape
    header = struct.pack(">IIBBBBB", num_columns, num_rows, 8, 3, 0, 0, 0)  # 3: palette
    rows = b"".join(b"\0" + row.tobytes() for row in codes)  # 0: no filter
    chunks = {b"IHDR": header, b"PLTE": palette, b"IDAT": zlib.compress(rows, 9), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks.items())
