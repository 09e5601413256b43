"""SVG elements as text, and the palette of all pages and plots.

Lines and text take the color of the surrounding text by default, so that plots are readable on light and
dark pages.
"""

from collections.abc import Iterable
from html import escape

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999933", "#882255")
"""Distinguishable for color-blind readers (after Okabe & Ito 2008)."""

FONTS = (
    "system-ui, Arial, Noto Sans CJK SC, Source Han Sans SC, PingFang SC, Hiragino Sans GB, "
    "Microsoft YaHei, WenQuanYi Micro Hei, SimSun, Arial Unicode MS, sans-serif"
)


def color(index: int) -> str:
    """Return the color of series `index`; colors repeat after the last of `PALETTE`."""
    return PALETTE[index % len(PALETTE)]


def element(tag: str, content: str = "", /, **attributes: str | float) -> str:
    """Return an element that contains `content`, which is SVG; "_" in a name of `attributes` means "-".

    >>> element("circle", r=2.0, stroke_width=1)
    '<circle r="2" stroke-width="1"/>'
    """
    written = (
        f' {name.replace("_", "-")}="{escape(value if isinstance(value, str) else f"{value:g}")}"'
        for name, value in attributes.items()
    )
    end = f">{content}</{tag}>" if content else "/>"
    return f"<{tag}{''.join(written)}{end}"


def document(title: str, width: float, height: float, parts: Iterable[str]) -> str:
    content = element("title", escape(title)) + "".join(parts)
    box = f"0 0 {width:g} {height:g}"
    return element("svg", content, viewBox=box, width=width, height=height, role="img")


def standalone(drawing: str) -> str:
    """Return a drawing as the content of an SVG file: dark on white, with fonts for Chinese."""
    start = f'<svg xmlns="http://www.w3.org/2000/svg" color="#22201c" font-family="{FONTS}" '
    return drawing.replace("<svg ", start + 'style="background:#fff" ', 1)


def line(x1: float, y1: float, x2: float, y2: float, **style: str | float) -> str:
    style.setdefault("stroke", "currentColor")
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **style)


def text(
    x: float,
    y: float,
    content: str,
    *,
    anchor: str = "start",
    size: float = 12,
    **style: str | float,
) -> str:
    style = {"text_anchor": anchor, "fill": "currentColor", **style}
    return element("text", escape(content), x=x, y=y, font_size=size, **style)


def rect(x: float, y: float, width: float, height: float, **style: str | float) -> str:
    return element("rect", x=x, y=y, width=width, height=height, **style)


def circle(x: float, y: float, radius: float, **style: str | float) -> str:
    return element("circle", cx=x, cy=y, r=radius, **style)
