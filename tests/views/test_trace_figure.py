"""Figures: the images are the activations, and the same trace yields the same drawing."""

import base64
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from poetgen.inspection.result import GradientComparison, GradientDecay, Trace
from poetgen.inspection.trace import trace
from poetgen.model.file import ModelBundle
from poetgen.views.trace_figure import gradient_figure, trace_figure

TEXT = "床前明月光。"


@pytest.fixture
def found(tiny_model: ModelBundle) -> Trace:
    return trace(tiny_model, TEXT)


def decode(image: ElementTree.Element) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(codes, palette) of an embedded image."""
    prefix, data = (image.get("href") or "").split(",")
    assert prefix == "data:image/png;base64"
    png = base64.b64decode(data)
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        name, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(name + content)
        chunks[name] = content
        at += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    return rows[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(256, 3)


def test_trace_figure_labels(found: Trace) -> None:
    svg = ElementTree.fromstring(trace_figure(found))
    texts = [text.text for text in svg.iter("text")]
    assert texts[-7:] == ["＾", *TEXT]
    assert {"nats", "layer 1", "layer 2", "forget", "input", "output", "cell", "hidden"} <= set(
        texts
    )
    assert "candidate" not in texts
    bars = [float(bar.get("height") or 0) for bar in svg.iter("rect")]
    nats = [nats or 0.0 for nats in found.nats]
    assert bars == pytest.approx([110 * n / max(nats) for n in nats], abs=0.06)


def test_trace_figure_images_are_activations(found: Trace) -> None:
    svg = ElementTree.fromstring(trace_figure(found))
    images = {image.get("aria-label"): image for image in svg.iter("image")}
    codes_HT, palette = decode(images["layer 1 forget"])
    assert codes_HT.shape == (16, 7)
    assert palette[255].tolist() == [18, 128, 127]
    forget_TH = found.layers[0]["forget"]
    order = np.argsort(-forget_TH.mean(axis=0), kind="stable")
    np.testing.assert_allclose(codes_HT.T / 255, forget_TH[:, order], rtol=0, atol=0.5 / 255 + 1e-6)
    assert (np.diff(codes_HT.mean(axis=1)) < 1).all()  # sorted, to rounding
    codes_HT, palette = decode(images["layer 2 cell"])
    cell_TH = found.layers[1]["cell"]
    bound = np.quantile(np.abs(cell_TH), 0.995)
    order = np.argsort(-cell_TH.mean(axis=0), kind="stable")
    expected = (np.clip(cell_TH[:, order], -bound, bound) / bound + 1) / 2
    np.testing.assert_allclose(codes_HT.T / 255, expected, rtol=0, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(palette[127], [243, 237, 224], atol=2)


def test_trace_figure_is_reproducible(tiny_model: ModelBundle, found: Trace) -> None:
    assert trace_figure(trace(tiny_model, TEXT)) == trace_figure(found)


def test_gradient_figure_has_a_curve_per_model() -> None:
    norms = tuple(0.5**k for k in range(12))
    decays = (GradientDecay("a (lstm, trained)", norms), GradientDecay("rnn, fresh", (*norms, 0.0)))
    svg = ElementTree.fromstring(gradient_figure(GradientComparison(TEXT, decays)))
    trained, _, fresh, _ = svg.findall("polyline")  # each followed by its sample in the legend
    assert len((trained.get("points") or "").split()) == 12
    assert len((fresh.get("points") or "").split()) == 12  # without the zero
    assert (trained.get("stroke-dasharray"), fresh.get("stroke-dasharray")) == ("none", "6 4")
