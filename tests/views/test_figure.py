"""Saved drawings, with resvg where it is installed; errors where it or a font is missing."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from poetgen.errors import OutputError, PoetgenError, UsageError
from poetgen.views import figure
from poetgen.views.figure import check_output, save_figure
from poetgen.views.svg import document, line, text

DRAWING = document("title", 60, 40, [line(0, 0, 60, 40), text(5, 20, "床")])
NO_RESVG = "resvg_py (the extra `plot`) is not installed"


def test_save_figure_svg_is_self_contained(tmp_path: Path) -> None:
    save_figure(DRAWING, tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "Noto Sans CJK SC" in (root.get("font-family") or "")
    assert root.get("color")


def test_save_figure_png_size(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason=NO_RESVG)
    save_figure(DRAWING, tmp_path / "a.PNG")
    content = (tmp_path / "a.PNG").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[16:24] == b"\0\0\0\x78\0\0\0\x50"  # 120 × 80: two pixels per unit


def test_save_figure_html_is_unchanged(tmp_path: Path) -> None:
    save_figure("<p>床", tmp_path / "a.HTML")
    assert (tmp_path / "a.HTML").read_text(encoding="utf-8") == "<p>床"


def test_check_output_without_resvg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    for name in ("a.svg", "a.html"):
        check_output(tmp_path / name, has_chinese=True)
    with pytest.raises(PoetgenError, match="resvg_py") as caught:
        check_output(tmp_path / "a.png", has_chinese=False)
    assert "poetgen[plot]" in caught.value.fix
    assert ".html" in caught.value.fix


def test_check_output_without_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "_rasterize", lambda _: b"two empty boxes")
    check_output(tmp_path / "a.png", has_chinese=False)
    with pytest.raises(PoetgenError, match="needs a font with Chinese") as caught:
        check_output(tmp_path / "a.png", has_chinese=True)
    assert "gates.html" in caught.value.fix


def test_resvg_draws_nothing_without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    resvg_py = pytest.importorskip("resvg_py", reason=NO_RESVG)
    original = resvg_py.svg_to_bytes

    def without_fonts(**arguments: object) -> bytes:
        return bytes(original(**arguments, skip_system_fonts=True))

    monkeypatch.setattr(resvg_py, "svg_to_bytes", without_fonts)
    with pytest.raises(PoetgenError, match="needs a font with Chinese"):
        check_output(Path("a.png"), has_chinese=True)


def test_check_output_refuses_paths(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none of \.html \.png \.svg"):
        check_output(tmp_path / "a.pdf", has_chinese=False)
    (tmp_path / "a.svg").mkdir()
    with pytest.raises(OutputError):
        check_output(tmp_path / "a.svg", has_chinese=False)
