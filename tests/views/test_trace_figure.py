"""Figures: the bars are the means of the trace, and long texts are broken after marks."""

from xml.etree import ElementTree

import pytest

from poetgen.config import Config
from poetgen.inspection.result import GradientComparison, GradientDecay, Trace
from poetgen.inspection.trace import trace
from poetgen.model.file import ModelBundle
from poetgen.views.trace_figure import gradient_figure, trace_figure
from tests.inspection.networks import bundle_with_cell

TEXT = "床前明月光，疑是。"


@pytest.fixture
def found(tiny_model: ModelBundle) -> Trace:
    return trace(tiny_model, TEXT)


def bars(svg: ElementTree.Element) -> list[list[float]]:
    """The heights of the bars, row by row, without the shades behind the marks."""
    heights: dict[float, list[float]] = {}
    for bar in svg.iter("rect"):
        if bar.get("fill") != "currentColor":
            bottom = round(float(bar.get("y") or 0) + float(bar.get("height") or 0), 1)
            heights.setdefault(bottom, []).append(float(bar.get("height") or 0))
    return list(heights.values())


def texts(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter("text")]


def test_trace_figure_bars_are_means(found: Trace) -> None:
    rows = bars(ElementTree.fromstring(trace_figure(found)))
    expected = [list(found.nats)[1:]] + [
        found.mean(layer, gate)[1:] for layer in (0, 1) for gate in ("forget", "input", "output")
    ]
    assert len(rows) == len(expected) == 7
    for heights, values in zip(rows, expected, strict=True):
        shares = [(value or 0.0) / max(v or 0.0 for v in values) for value in values]
        assert [height / 40 for height in heights] == pytest.approx(shares, abs=1e-3)


def test_trace_figure_labels(found: Trace) -> None:
    shown = texts(ElementTree.fromstring(trace_figure(found)))
    assert "".join(shown).count("forget gate") == 2
    assert {"surprise, nats", "layer 1", "layer 2", "input gate", "output gate"} <= set(shown)
    assert [text for text in shown if text in set(TEXT)] == list(TEXT)
    assert f"{max(found.mean(0, 'forget')[1:]):.2g}" in shown
    assert "＾" not in shown


def test_trace_figure_shades_marks(found: Trace) -> None:
    svg = ElementTree.fromstring(trace_figure(found))
    shades = [one for one in svg.iter("rect") if one.get("fill") == "currentColor"]
    marks = [text for text in svg.iter("text") if text.text in ("，", "。")]
    assert len(shades) == len(marks) == 2
    for shade, mark in zip(shades, marks, strict=True):
        left, width = float(shade.get("x") or 0), float(shade.get("width") or 0)
        assert left < float(mark.get("x") or 0) < left + width
    solid = [one for one in svg.iter("rect") if one.get("opacity") == "1"]
    assert len(solid) == 2 * 7  # a bar at each mark in each row


def test_trace_figure_breaks_long_text_after_marks(tiny_model: ModelBundle) -> None:
    text = "昔人已乘黄鹤去，此地空余黄鹤楼。" * 4
    svg = ElementTree.fromstring(trace_figure(trace(tiny_model, text)))
    lines: dict[str, str] = {}
    for one in svg.iter("text"):
        if one.text in set(text):
            lines[one.get("y") or ""] = lines.get(one.get("y") or "", "") + (one.text or "")
    assert list(lines.values()) == [text[:32], text[32:]]
    assert len(bars(svg)) == 2 * 7
    assert float(svg.get("width") or 0) < 1100
    long_line = ElementTree.fromstring(trace_figure(trace(tiny_model, "人" * 40)))
    assert texts(long_line).count("人") == 40


def test_trace_figure_of_other_cells(tiny_config: Config, tiny_model: ModelBundle) -> None:
    gru = trace(bundle_with_cell("gru", tiny_config, tiny_model), TEXT)
    shown = texts(ElementTree.fromstring(trace_figure(gru)))
    assert {"reset gate", "update gate"} <= set(shown)
    rnn = trace(bundle_with_cell("rnn", tiny_config, tiny_model), TEXT)
    svg = ElementTree.fromstring(trace_figure(rnn))
    assert "hidden state" in texts(svg)
    assert any(text.startswith("Bars: norm") for text in texts(svg))
    norms = rnn.state_norms(1)[1:]
    shares = [norm / max(norms) for norm in norms]
    assert [height / 40 for height in bars(svg)[2]] == pytest.approx(shares, abs=1e-3)


def test_trace_figure_is_reproducible(tiny_model: ModelBundle, found: Trace) -> None:
    assert trace_figure(trace(tiny_model, TEXT)) == trace_figure(found)


def test_gradient_figure_has_a_curve_per_model() -> None:
    norms = tuple(0.5**k for k in range(12))
    decays = (GradientDecay("a", "lstm", norms), GradientDecay(None, "rnn", (*norms, 0.0)))
    svg = ElementTree.fromstring(gradient_figure(GradientComparison((TEXT,), False, decays)))
    trained, _, fresh, _ = svg.findall("polyline")  # each followed by its sample in the legend
    assert len((trained.get("points") or "").split()) == 12
    assert len((fresh.get("points") or "").split()) == 12  # without the zero
    assert (trained.get("stroke-dasharray"), fresh.get("stroke-dasharray")) == ("none", "6 4")
    assert {"a (lstm, trained)", "rnn, fresh"} <= set(texts(svg))
