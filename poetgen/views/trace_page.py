"""Self-contained HTML pages: a trace with animation and clamped gates, and gradient decay.

`templates/trace.html` draws a trace; this module turns traces into its data, with each
activation rounded to 8 bits.  The page runs no network: every run in it was computed beforehand.
"""

import base64
import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poetgen.inspection import result
from poetgen.inspection.result import Continuation, GateAblation, GradientComparison, Trace
from poetgen.sampling.options import Options
from poetgen.views.trace_figure import gradient_figure

MAX_BYTES = 6_000_000
"""Limit of activations in a page; above it, only every second unit (or third …) is drawn."""


def trace_page(
    trace: Trace,
    options: Options,
    continuation: Continuation,
    *,
    model: str,
    ablations: Iterable[GateAblation] = (),
) -> str:
    """Return the page of a trace, with the continuation of the prompt of `options`.

    The page can be switched to each of `ablations`; of these only the data of the page are kept.
    """
    layers, stride = trace.layers, _stride(trace)
    runs = [_run(trace, continuation, stride)]
    for one in ablations:
        clamp = {"layer": one.layer, "gate": one.gate, "is_open": one.is_open}
        runs.append(clamp | _run(one.trace, one.continuation, stride, first_layer=one.layer))
    why, shown = ("", "") if trace.cell == "lstm" else result.explain(trace.cell)
    data = {
        "model": model,
        "cell": trace.cell,
        "note": why and f"{why[0].upper()}{why[1:]}. {shown}",
        "characters": trace.characters,
        "unknown": sorted(trace.unknown),
        "signs": result.SIGNS,
        "gates": trace.gates,
        "state": trace.state,
        "num_units": layers[0]["hidden"].shape[1],
        "stride": stride,
        "series": [name for name in result.SERIES if name in layers[0]],
        "prompt": options.prompt,
        "seed": options.seed,
        "temperature": options.temperature,
        "runs": runs,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # "</script>" in a text must not end the element that holds the data.
    text = text.replace("<", "\\u003c")
    return _fill("trace.html", TITLE=escape(f"{trace.text[:24]} · poetgen inspect"), DATA=text)


def gradient_page(comparison: GradientComparison) -> str:
    """Return a page with curves and a table of gradient decay, without a script."""
    headings, *rows = ([escape(cell) for cell in row] for row in comparison.rows(comparison.lags))
    table = f"<tr><th>{'</th><th>'.join(headings)}</th></tr>"
    for name, *cells in rows:
        table += f"<tr><th>{name}</th><td>{'</td><td>'.join(cells)}</td></tr>"
    title, chart = "Gradient decay · poetgen inspect", gradient_figure(comparison)
    source = escape(comparison.source)
    return _fill("gradients.html", TITLE=title, SOURCE=source, CHART=chart, TABLE=table)


def _fill(template: str, **parts: str) -> str:
    page = (Path(__file__).parent / "templates" / template).read_text(encoding="utf-8")
    for name, content in parts.items():
        page = page.replace(f"__{name}__", content)
    return page


def _run(
    trace: Trace, continuation: Continuation, stride: int, *, first_layer: int = 0
) -> dict[str, Any]:
    """Return the data of a run; layers below `first_layer` equal those of the unmodified run."""
    every = range(len(trace.layers))
    averaged = [name for name in (*trace.gates, "candidate") if name in trace.layers[0]]
    return {
        "nats": [None if nats is None else round(nats, 3) for nats in trace.nats],
        "next": [[[c, round(p, 4)] for c, p in best] for best in trace.next_characters],
        "continuation": continuation.text,
        "ended": continuation.ended,
        "means": [
            {name: _rounded(trace.mean(layer, name)) for name in averaged} for layer in every
        ],
        "norms": [_rounded(trace.state_norms(layer)) for layer in every],
        "layers": [None] * first_layer
        + [
            {name: _pack(values, stride) for name, values in layer.items()}
            for layer in trace.layers[first_layer:]
        ],
    }


def _pack(values_TH: NDArray[np.float32], stride: int) -> dict[str, Any]:
    """Return {low, high, codes}: a byte per number, position by position, from `low` to `high`.

    A constant series, such as a clamped gate, has no codes.
    """
    exact_TH = values_TH[:, ::stride].astype(np.float64)
    low, high = float(exact_TH.min()), float(exact_TH.max())
    if low == high:
        return {"low": low, "high": high}
    codes_TH = ((exact_TH - low) / (high - low) * 255).round().astype(np.uint8)
    return {"low": low, "high": high, "codes": base64.b64encode(codes_TH.tobytes()).decode("ascii")}


def _stride(trace: Trace) -> int:
    """Return n so that drawing every n-th unit keeps the page below `MAX_BYTES`.

    An LSTM is assumed to have all its ablations in the page.
    """
    num_layers, num_series = len(trace.layers), sum(map(len, trace.layers))
    if trace.cell == "lstm":
        # Each gate of a layer is shut, then opened; only this layer and those above it are kept.
        num_series *= 1 + len(result.GATES) * (num_layers + 1)
    num_bytes = (
        num_series * trace.layers[0]["hidden"].size * 4 // 3
    )  # base64: 4 letters for 3 bytes
    return max(1, -(-num_bytes // MAX_BYTES))


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]
