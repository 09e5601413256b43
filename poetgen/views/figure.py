"""Saves pages as HTML and drawings as SVG, or as PNG by resvg, which is the extra `plot`."""

from pathlib import Path

from poetgen.errors import PoetgenError, UsageError
from poetgen.files import atomic_write, check_writable, write_text
from poetgen.language import tr
from poetgen.views.svg import document, standalone, text

ENDINGS = (".html", ".png", ".svg")


def save_figure(content: str, path: Path) -> None:
    """Save a page as HTML, or a drawing as PNG or SVG, by the ending of `path`.

    Raises:
        OutputError: the file cannot be written.
        PoetgenError: resvg_py, which makes PNG files, is not installed.
    """
    if path.suffix.lower() == ".png":
        png = _rasterize(content)
        atomic_write(path, lambda part: part.write_bytes(png))
    else:
        write_text(path, content if path.suffix.lower() == ".html" else standalone(content) + "\n")


def check_output(path: Path, *, has_chinese: bool) -> None:
    """Raise before long work the error that `save_figure` would raise after it.

    Raises:
        UsageError: the ending of `path` is not one of `ENDINGS`.
        PoetgenError: see `check_figure_format`.
        OutputError: the file cannot be written.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(
            tr("{path} ends in none of {endings}", path=path, endings=" ".join(ENDINGS)),
            tr("Name a page, such as gates.html, or a figure, such as gates.png."),
        )
    check_figure_format(path, has_chinese=has_chinese)
    check_writable(path)


def check_figure_format(path: Path, *, has_chinese: bool = False) -> None:
    """Raise PoetgenError if `path` is a PNG, and resvg_py or a font for its Chinese text is missing."""
    if path.suffix.lower() != ".png":
        return
    samples = [_rasterize(document(c, 40, 40, [text(4, 30, c, size=30)])) for c in "床月"]
    # Without a font, both are empty or the same box.
    if has_chinese and samples[0] == samples[1]:
        raise PoetgenError(
            tr("a PNG of Chinese text needs a font with Chinese characters, and none is installed"),
            tr("Save gates.svg or gates.html, or install a font (Debian: fonts-wqy-microhei)."),
        )


def _rasterize(drawing: str) -> bytes:
    """Return a drawing as PNG, two pixels per unit."""
    try:
        import resvg_py
    except ImportError as error:
        raise PoetgenError(
            tr("a PNG file needs resvg_py, which is not installed"),
            tr("Install it (pip install 'poetgen[plot]'), or save a .svg or .html file."),
        ) from error
    return bytes(
        resvg_py.svg_to_bytes(svg_string=standalone(drawing), background="#ffffff", zoom=2.0)
    )
