"""Self-contained HTML pages: a trace with animation and clamped gates, and gradient decay.

`templates/trace.html` draws a trace; this module turns traces into its data, with each
activation rounded to 8 bits.  The page runs no network: every run in it was computed beforehand.
Its texts are part of the data, in the current language.
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
from poetgen.language import current_language, tr, tr_noop
from poetgen.sampling.options import Options
from poetgen.views.trace_figure import gradient_figure
from poetgen.views.trace_texts import (
    EXPLANATIONS,
    GRADIENT_METHOD,
    SERIES_NAMES,
    gradient_rows,
    gradient_source,
)

MAX_BYTES = 6_000_000
"""Limit of activations in a page; above it, only every second unit (or third …) is drawn."""

TEXTS = {
    "text": tr_noop("Text"),
    "surprise": tr_noop("Below each character its surprise in nats; red: unexpected"),
    "parts": tr_noop("What each part of a unit does"),
    "units": tr_noop("All units"),
    "layer": tr_noop("layer"),
    "series": tr_noop("series"),
    "sort": tr_noop("sort units by"),
    "map": tr_noop("heat map: characters from left to right, units from top to bottom"),
    "next": tr_noop("Most probable next characters"),
    "chart": tr_noop("means along the text"),
    "clamped": tr_noop("Clamped gates"),
    "clamping": tr_noop(
        "Choose a gate to see the model without it. Shut: 0 in every unit at every character; open: 1. "
        "Everything else is computed as usual."
    ),
    "continuation": tr_noop("Continuation by the unmodified model"),
    "animation": tr_noop("animation"),
    "first": tr_noop("to the start"),
    "back": tr_noop("one step back"),
    "play": tr_noop("play"),
    "pause": tr_noop("pause"),
    "forward": tr_noop("one step forward"),
    "last": tr_noop("to the end"),
    "position": tr_noop("position in the text"),
    "speed": tr_noop("speed"),
    "per_second": tr_noop("{speed} per second"),
    "keys": tr_noop("Space: play · ← →: step · Home, End · + −: speed"),
    "by_index": tr_noop("index"),
    "by_mean": tr_noop("mean"),
    "by_change": tr_noop("total change"),
    "by_position": tr_noop("correlation with the position in the line"),
    "by_marks": tr_noop("difference at punctuation"),
    "shut": tr_noop("shut"),
    "open": tr_noop("open"),
    "reading": tr_noop("{character}  unit {unit}  {series} {value}"),
    "map_size": tr_noop("{characters} characters × {units} units"),
    "map_stride": tr_noop(" (1 in {stride} of {units})"),
    "map_scroll": tr_noop("; scroll sideways for the rest"),
    "forget": tr_noop("forget"),
    "input": tr_noop("input"),
    "output": tr_noop("output"),
    "previous": tr_noop("previous"),
    "before": tr_noop("Before the first character"),
    "now": tr_noop("{character}  {nats} nats, layer {layer}"),
    "flow": tr_noop("means over the units of layer {layer}:"),
    "chart_title": tr_noop("Layer {layer} along the text, over all units"),
    "layer_number": tr_noop("layer {layer}"),
    "clamp": tr_noop("layer {layer}: {gate} {value}"),
    "unmodified": tr_noop("unmodified"),
    "nothing": tr_noop("(nothing)"),
    "rate": tr_noop("{nats} nats per character of the text"),
    "with": tr_noop("With {clamp}"),
    "where": tr_noop("{character} · {position} of {last}"),
    "rings": tr_noop("Rings: means over the layer's units."),
    "bars": tr_noop("Bars: the {state} of each unit, in the order of the map."),
    "facts": tr_noop(
        "{model} · {cell}, {layers} × {units} units, layer 1 is the lowest · {nats} nats per character"
    ),
    "unknown": tr_noop("not in the vocabulary"),
    "dotted": tr_noop("dotted: not in the vocabulary"),
    "mean": tr_noop("mean {series}"),
    "norm": tr_noop("norm of the {state} (1: largest of the unmodified model)"),
    "greedy": tr_noop("Gray: the prompt. The most probable character follows each time."),
    "sampled": tr_noop(
        "Gray: the prompt. The rest is sampled at temperature {temperature} with seed {seed}, from the "
        "same random numbers each time."
    ),
}
"""The texts of `templates/trace.html` by the names that it uses."""


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
    data = {
        "texts": {name: tr(text) for name, text in TEXTS.items()},
        "names": {name: tr(text) for name, text in SERIES_NAMES.items()},
        "explanations": {name: tr(text) for name, text in EXPLANATIONS[trace.cell].items()},
        "model": model,
        "cell": trace.cell,
        "note": "" if trace.cell == "lstm" else _note(*result.explain(trace.cell)),
        "characters": trace.characters,
        "unknown": sorted(trace.unknown),
        "signs": {sign: tr(text) for sign, text in result.SIGNS.items()},
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
    rows = gradient_rows(comparison, comparison.lags)
    headings, *rows = ([escape(cell) for cell in row] for row in rows)
    table = f"<tr><th>{'</th><th>'.join(headings)}</th></tr>"
    for name, *cells in rows:
        table += f"<tr><th>{name}</th><td>{'</td><td>'.join(cells)}</td></tr>"
    return _fill(
        "gradients.html",
        TITLE=escape(tr("Gradient decay")),
        METHOD=escape(tr(GRADIENT_METHOD)),
        SOURCE=escape(gradient_source(comparison)),
        CHART=gradient_figure(comparison),
        TABLE=table,
    )


def _fill(template: str, **parts: str) -> str:
    page = (Path(__file__).parent / "templates" / template).read_text(encoding="utf-8")
    language = {"en": "en", "zh": "zh-Hans"}[current_language()]
    for name, content in {"LANG": language, **parts}.items():
        page = page.replace(f"__{name}__", content)
    return page


def _note(why: str, shown: str) -> str:
    return tr("{why}. {shown}", why=why[0].upper() + why[1:], shown=shown)


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


def _pack(values_TH: NDArray[np.float64], stride: int) -> dict[str, Any]:
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
    # base64 writes three bytes as four letters.
    num_bytes = num_series * trace.layers[0]["hidden"].size * 4 // 3
    return max(1, -(-num_bytes // MAX_BYTES))


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]
