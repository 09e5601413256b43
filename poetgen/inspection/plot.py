"""Figures by matplotlib, which is an extra: the heat maps of a verse, and curves of gradients.

matplotlib's figures are made without pyplot, which would keep them in a global list.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poetgen.errors import PoetgenError
from poetgen.files import write_whole
from poetgen.inspection.gates import SERIES, SIGNED
from poetgen.inspection.gradients import Reach
from poetgen.inspection.verse import Verse

FONTS = (
    "Noto Sans CJK SC",
    "Noto Serif CJK SC",
    "Source Han Sans SC",
    "Source Han Serif SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Songti SC",
    "Heiti SC",
    "Microsoft YaHei",
    "SimHei",
    "SimSun",
    "Noto Sans CJK JP",
    "Noto Sans CJK TC",
    "Arial Unicode MS",
)
"""Fonts with Chinese characters, the better ones first."""

_SERIES_SHOWN = tuple(name for name in SERIES if name != "candidate")


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib Figure, in inches.

    Raises:
        PoetgenError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PoetgenError(
            "matplotlib, which draws this, is not installed",
            "Install it (pip install 'poetgen[plot]'), or take a .html file instead.",
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def chinese_font() -> str:
    """The first of `FONTS` that matplotlib finds.

    Raises:
        PoetgenError: none is installed.
    """
    new_figure(1, 1)  # says so if matplotlib is missing
    from matplotlib.font_manager import fontManager

    found = {font.name for font in fontManager.ttflist}
    for name in FONTS:
        if name in found:
            return name
    raise PoetgenError(
        "matplotlib finds no font with Chinese characters: each would be an empty box",
        "Write --output gates.html instead, or install a font (Debian: fonts-wqy-microhei).",
    )


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure whole, in the format that the ending of `path` names.

    Raises:
        OutputError: it cannot be written.
    """
    from matplotlib import rc_context

    kind = path.suffix.removeprefix(".").lower()
    # Without a date, and with names for its parts that are not drawn by chance, the same figure
    # makes the same SVG.
    metadata = {"Date": None} if kind == "svg" else {}
    with rc_context({"svg.hashsalt": "poetgen"}):
        write_whole(
            path, lambda part: figure.savefig(part, format=kind, dpi=150, metadata=metadata)
        )


def verse_figure(verse: Verse) -> Any:
    """Surprise above; below, per layer, a heat map (units × characters) of each gate and the state.

    Layer 1 is the lowest; the units of each map are ordered by their mean.
    """
    font = chinese_font()
    layers = verse.recording.layers
    names = [name for name in _SERIES_SHOWN if name in layers[0]]
    num = len(verse.characters)
    rows = 1 + len(layers) * len(names)
    figure = new_figure(max(6.0, 2.0 + 0.24 * num), 1.2 + 1.35 * (rows - 1))
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    _draw_surprise(axes[0], verse)
    pairs = [(layer, name) for layer in range(len(layers)) for name in names]
    for axis, (layer, name) in zip(axes[1:], pairs, strict=True):
        _draw_heat_map(figure, axis, verse, layer, name)
    axes[-1].set_xticks(range(num), verse.characters, fontfamily=font, fontsize=11)
    return figure


def reach_figure(reaches: Sequence[Reach]) -> Any:
    """The gradients' norms over steps back, logarithmic."""
    figure = new_figure(7.0, 4.2)
    axis = figure.subplots()
    for one in reaches:
        style = "--" if "fresh" in one.name else "-"
        axis.plot(range(len(one.norms)), [n or None for n in one.norms], style, label=one.name)
    axis.set_yscale("log")
    axis.set_xlabel("steps back")
    axis.set_ylabel("gradient at the whole state,\nrelative to the last step")
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    return figure


def _draw_surprise(axis: Any, verse: Verse) -> None:
    axis.bar(range(len(verse.characters)), [nats or 0.0 for nats in verse.nats], color="#c8553d")
    axis.set_ylabel("nats", fontsize=8)
    axis.tick_params(labelsize=7)


def _draw_heat_map(figure: Any, axis: Any, verse: Verse, layer: int, name: str) -> None:
    values_TH = verse.recording.layers[layer][name]
    # In the order of their means: units side by side have nothing to do with each other.
    values_TH = values_TH[:, values_TH.mean(dim=0).argsort(descending=True)]
    is_signed = name in SIGNED
    # What 199 of 200 numbers stay below: a few units far out would turn all others pale.
    bound = float(values_TH.abs().flatten().quantile(0.995)) or 1.0
    image = axis.imshow(
        values_TH.T.tolist(),
        aspect="auto",
        interpolation="nearest",
        cmap="RdBu_r" if is_signed else "viridis",
        vmin=-bound if is_signed else 0.0,
        vmax=bound if is_signed else 1.0,
    )
    axis.set_ylabel(f"layer {layer + 1}\n{name}", fontsize=8)
    axis.set_yticks([])
    figure.colorbar(image, ax=axis, pad=0.01).ax.tick_params(labelsize=6)
