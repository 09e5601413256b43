"""A trace, and gradient decay, as tables for a terminal.

Bars are block characters, so that they can be read without colors.
"""

from collections.abc import Sequence
from typing import TypeAlias

from rich.console import Group
from rich.table import Table
from rich.text import Text

from poetgen.data.poem import Poem
from poetgen.inspection.result import NUM_NEXT, SIGNS, GradientComparison, Trace
from poetgen.language import tr, tr_noop
from poetgen.views.trace_texts import GRADIENT_METHOD, gradient_rows, gradient_source, wrap

_GATE_COLORS, _STATE_COLOR = ("cyan", "yellow", "magenta"), "green"
_BLOCKS = " ▏▎▍▌▋▊▉█"
_CHARACTER, _NATS, _NEXT = 3, 6, 5
"""Terminal columns of a character, its surprise, and a next character, gaps included."""
_MIN_BAR, _MAX_BAR = 2, 16
_NAME, _LAG = 16, 8
"""Terminal columns of a model's name (at least) and of one number."""

_BAR_NOTES = {
    "lstm": tr_noop(
        "f i o: mean forget, input and output gate of a layer; a full bar is 1 (open). c: norm of its "
        "cell; a full bar is {largest}, from layer 1, the lowest, up."
    ),
    "gru": tr_noop(
        "r u: mean reset and update gate of a layer; a full bar is 1 (open). h: norm of its hidden "
        "state; a full bar is {largest}, from layer 1, the lowest, up."
    ),
    "rnn": tr_noop(
        "h: norm of the hidden state of a layer; a full bar is {largest}, from layer 1, the lowest, up."
    ),
}

_Bar: TypeAlias = tuple[str, str, list[float]]
"""Heading, color, and the share at each position."""


def bar(share: float, width: int) -> str:
    """Return `share`, from 0 to 1, as a bar of `width` columns, to an eighth of a column.

    >>> bar(0.5, 4)
    '██  '
    """
    full, rest = divmod(round(min(max(share, 0.0), 1.0) * width * 8), 8)
    return ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(width)


def trace_report(trace: Trace, *, width: int = 80) -> Group:
    """Return the text of a trace, its tables and their notes, for a terminal of `width` columns."""
    tables = [part for table in trace_tables(trace, width=width) for part in (table, Text())]
    notes = Text("\n\n".join(wrap(note, width) for note in trace_notes(trace)))
    return Group(Text(Poem(trace.text).formatted()), Text(), *tables, notes)


def trace_tables(trace: Trace, *, width: int = 80) -> list[Table]:
    """Return a row per character: surprise, probable next ones, each layer's gates and state as bars.

    On a narrow terminal the first table has fewer next characters, and the upper layers follow in
    further tables.
    """
    layers = [_bars(trace, layer) for layer in range(len(trace.layers))]
    layer_width = len(layers[0]) * (_MIN_BAR + 1)
    room = width - _CHARACTER - _NATS - 1
    num_layers = min(len(layers), max(0, (room - _NEXT) // layer_width))
    num_next = max(1, min(NUM_NEXT, (room - num_layers * layer_width) // _NEXT))
    at_once = max(1, (width - _CHARACTER) // layer_width)
    further = [layers[i : i + at_once] for i in range(num_layers, len(layers), at_once)]
    return [
        _table(trace, layers[:num_layers], num_next, width),
        *(_table(trace, some, 0, width) for some in further),
    ]


def _bars(trace: Trace, layer: int) -> list[_Bar]:
    bars = [
        (f"{gate[0]}{layer + 1}", color, trace.mean(layer, gate))
        for gate, color in zip(trace.gates, _GATE_COLORS, strict=False)
    ]
    norms = trace.state_norms(layer)
    shares = [norm / (max(norms) or 1.0) for norm in norms]
    return [*bars, (f"{trace.state[0]}{layer + 1}", _STATE_COLOR, shares)]


def _table(trace: Trace, layers: Sequence[Sequence[_Bar]], num_next: int, width: int) -> Table:
    """Return a table of bars; with next characters (not 0), it has the surprise too."""
    bars = [one for layer in layers for one in layer]
    used = _CHARACTER + (_NATS + _NEXT * num_next + 1 if num_next else 0)
    room = (width - used) // max(1, len(bars)) - 1
    bar_width = min(max(room, _MIN_BAR), _MAX_BAR)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    if num_next:
        table.add_column(tr("nats"), justify="right", no_wrap=True)
        table.add_column(tr("next, in %") if num_next > 1 else tr("next"), no_wrap=True)
    for heading, _, _ in bars:
        table.add_column(heading, no_wrap=True, min_width=bar_width)
    for position, character in enumerate(trace.characters):
        cells = [Text(character, "bold")]
        if num_next:
            best = Text()
            for symbol, probability in trace.next_characters[position][:num_next]:
                best.append(symbol).append(f"{min(99, round(100 * probability)):<2d} ", "dim")
            nats = trace.nats[position] or 0.0
            style = "green" if nats < 2 else "yellow" if nats < 6 else "red"
            cells += [Text(f"{nats:.2f}", style) if position else Text(), best]
        cells += [Text(bar(shares[position], bar_width), color) for _, color, shares in bars]
        table.add_row(*cells)
    return table


def trace_notes(trace: Trace) -> list[str]:
    """Return the meaning of the tables' columns, and the metrics that they have no room for."""
    shown = {symbol for best in trace.next_characters for symbol, _ in best} | {*trace.characters}
    signs = " · ".join(f"{sign} {tr(meaning)}" for sign, meaning in SIGNS.items() if sign in shown)
    layers = range(len(trace.layers))
    largest = " · ".join(f"{max(trace.state_norms(layer)):.1f}" for layer in layers)
    surprise = tr(
        "{mean:.2f} nats per character. nats: surprise at the character; next: most probable next "
        "characters. {signs}",
        mean=trace.nats_per_character,
        signs=signs,
    )
    return [surprise, tr(_BAR_NOTES[trace.cell], largest=largest)]


def gradient_report(comparison: GradientComparison, *, width: int = 80) -> Group:
    """Return the texts, the method and a row of norms per model, for a terminal of `width` columns."""
    lags = comparison.lags
    while len(lags) > 2 and _NAME + _LAG * len(lags) > width:
        lags = [*lags[:-1:2], lags[-1]]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    heading, *rows = gradient_rows(comparison, lags)
    table.add_column(heading[0], overflow="fold")
    for lag in heading[1:]:
        table.add_column(lag, justify="right", no_wrap=True, min_width=_LAG - 1)
    for row in rows:
        table.add_row(*row)
    return Group(
        Text(gradient_source(comparison)), Text(wrap(tr(GRADIENT_METHOD), width)), Text(), table
    )
