"""A verse under inspection as one HTML page that needs nothing else: heat maps, animation, what-if.

The page (`page.html`) holds the drawing; here the recordings become its data, each number rounded to
8 bits.  Nothing is computed by a network in the page: what a held gate would do was run beforehand.
"""

import base64
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from poetgen.inspection.gates import GATES, SERIES, no_gates
from poetgen.inspection.gradients import Reach, lags
from poetgen.inspection.verse import SIGNS, Held, Inquiry, Verse, Writing

MAX_BYTES = 6_000_000
"""Of recorded numbers as they stand in a page; above, only every second unit (or third …) is drawn."""

_TEMPLATE = Path(__file__).with_name("page.html")
_LEVELS = 255


def verse_page(
    verse: Verse,
    *,
    model: str,
    cell: str,
    inquiry: Inquiry,
    writing: Writing,
    held: Iterable[Held] = (),
) -> str:
    """The page of a verse, with what the model writes after the inquiry's opening.

    `held` are the runs that the page can be switched to; of each no more is kept than the page shows.
    """
    layers = verse.recording.layers
    num_units = layers[0]["hidden"].shape[1]
    stride = _stride(verse)
    data = {
        "model": model,
        "cell": cell,
        "lacks": "" if cell == "lstm" else " ".join(_sentences(*no_gates(cell))),
        "characters": verse.characters,
        "unknown": sorted(verse.unknown),
        "signs": SIGNS,
        "gates": verse.recording.gates,
        "state": verse.recording.state,
        "num_units": num_units,
        "stride": stride,
        "series": [name for name in SERIES if name in layers[0]],
        "opening": inquiry.opening.text,
        "seed": inquiry.seed,
        "temperature": inquiry.settings.temperature,
        "runs": [
            _run(verse, writing, stride),
            *(
                {"layer": one.layer, "gate": one.gate, "is_open": one.is_open}
                | _run(one.verse, one.writing, stride, one)
                for one in held
            ),
        ],
    }
    title = f"{verse.text[:24]} · poetgen inspect"
    return _filled(_TEMPLATE, title, data)


def gradient_page(reaches: Sequence[Reach], *, on: str) -> str:
    """A page with the curves of gradients, drawn in the page too."""
    data = {
        "on": on,
        "lags": lags(min(len(one.norms) for one in reaches)),
        "curves": [[one.name, [float(f"{n:.4g}") for n in one.norms]] for one in reaches],
    }
    template = _TEMPLATE.with_name("gradients.html")
    return _filled(template, "How far back a gradient reaches · poetgen inspect", data)


def _filled(template: Path, title: str, data: dict[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # "</script>" in a text must not end the element that the data stand in.
    text = text.replace("<", "\\u003c")
    before, after = template.read_text(encoding="utf-8").split("__DATA__")
    return before.replace("__TITLE__", html.escape(title)) + text + after


def _run(verse: Verse, writing: Writing, stride: int, held: Held | None = None) -> dict[str, Any]:
    """What the page replays; layers below a held one read as ever and are left to the first run."""
    first = held.layer if held else 0
    recording = verse.recording
    every = range(len(recording.layers))
    meant = [name for name in (*recording.gates, "candidate") if name in recording.layers[0]]
    return {
        "nats": [None if nats is None else round(nats, 3) for nats in verse.nats],
        "following": [[[c, round(p, 4)] for c, p in best] for best in verse.following],
        "writes": writing.text,
        "ended": writing.ended,
        "means": [
            {name: _rounded(recording.mean(layer, name)) for name in meant} for layer in every
        ],
        "norms": [_rounded(recording.norm(layer, recording.state)) for layer in every],
        "layers": [
            None
            if layer < first
            else {
                name: _packed(values_TH, stride)
                for name, values_TH in recording.layers[layer].items()
            }
            for layer in every
        ],
    }


def _packed(values_TH: Tensor, stride: int) -> dict[str, Any]:
    """{low, high, codes}: a byte per number, place by place, from `low` (0) to `high` (255).

    A series that is one number throughout, as a held gate is, has no codes.
    """
    values_TH = values_TH[:, ::stride].double()
    low, high = float(values_TH.min()), float(values_TH.max())
    if low == high:
        return {"low": low, "high": high}
    codes_TH = ((values_TH - low) / (high - low) * _LEVELS).round()
    codes = bytes(codes_TH.to(torch.uint8).flatten().tolist())
    return {"low": low, "high": high, "codes": base64.b64encode(codes).decode("ascii")}


def _stride(verse: Verse) -> int:
    """How many units go by for one that is drawn, so that the page stays below `MAX_BYTES`.

    Counted for an LSTM with each gate of each layer held, shut and open.
    """
    layers = verse.recording.layers
    num_series = sum(len(layer) for layer in layers)
    if set(GATES) <= set(layers[0]):
        held = (len(above) for start in range(len(layers)) for above in layers[start:])
        num_series += 2 * len(GATES) * sum(held)
    num_bytes = num_series * layers[0]["hidden"].numel() * 4 // 3  # base64: 4 letters for 3 bytes
    return max(1, -(-num_bytes // MAX_BYTES))


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _sentences(why: str, then: str) -> tuple[str, str]:
    return f"{why[0].upper()}{why[1:]}.", then
