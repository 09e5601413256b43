"""Figures, where matplotlib is; and what is said where it or a font is not."""

import struct
import sys
from pathlib import Path

import pytest

from poetgen.errors import PoetgenError
from poetgen.inspection import plot
from poetgen.inspection.verse import read_verse
from poetgen.model.store import StoredModel

WITHOUT = "matplotlib (the extra `plot`) is not installed"


def test_a_missing_matplotlib_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (lambda: plot.new_figure(1, 1), plot.chinese_font):
        with pytest.raises(PoetgenError, match="matplotlib") as caught:
            call()
        assert "poetgen[plot]" in caught.value.fix
        assert ".html" in caught.value.fix


def test_a_missing_font_is_told_and_html_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason=WITHOUT)
    monkeypatch.setattr(plot, "FONTS", ("No Such Font",))
    with pytest.raises(PoetgenError, match="no font with Chinese") as caught:
        plot.chinese_font()
    assert "gates.html" in caught.value.fix


def test_a_verse_becomes_a_png_without_empty_boxes(tiny_model: StoredModel, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason=WITHOUT)
    try:
        plot.chinese_font()
    except PoetgenError as error:
        pytest.skip(error.why)
    figure = plot.verse_figure(read_verse(tiny_model.model, tiny_model.vocab, "床前明月光。"))
    # A character that the font lacks is a warning of matplotlib's, and warnings are errors here.
    plot.save_figure(figure, tmp_path / "gates.png")
    head = (tmp_path / "gates.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    assert width > 800
    assert height > 800
    names = [axis.get_ylabel() for axis in figure.axes]
    assert {"nats", "layer 1\nforget", "layer 2\ncell", "layer 2\nhidden"} <= set(names)
    (image,) = figure.axes[1].images
    means = image.get_array().mean(axis=1)  # units down, characters across
    assert list(means) == sorted(means, reverse=True)


def test_the_same_figure_is_the_same_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason=WITHOUT)
    for name in ("one.svg", "two.svg"):
        figure = plot.new_figure(2, 2)
        figure.subplots().plot([1, 2], [3, 5], "o", clip_on=True)
        plot.save_figure(figure, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
