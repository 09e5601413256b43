"""A verse under inspection, and gradients, as tables for a terminal.

Bars are made of block characters, so that they can be read without colours too.
"""

from collections.abc import Sequence
from typing import TypeAlias

from rich.table import Table
from rich.text import Text

from poetgen.inspection.gradients import Reach, lags
from poetgen.inspection.verse import NUM_NEXT, SIGNS, Verse

COLOURS = {
    "forget": "cyan",
    "input": "yellow",
    "output": "magenta",
    "reset": "cyan",
    "update": "yellow",
    "cell": "green",
    "hidden": "green",
}
_BLOCKS = " ▏▎▍▌▋▊▉█"
_CHARACTER, _NATS, _NEXT = 3, 6, 5
"""Columns of the terminal that a character, its surprise, and a next character take, with gaps."""
_NARROWEST, _WIDEST = 2, 16
_NAME, _LAG = 16, 8
"""Columns that a model's name takes at least, and one of its numbers."""

_Bar: TypeAlias = tuple[str, str, list[float]]
"""Heading, colour, share at each place."""


def bar(share: float, width: int) -> str:
    """`share`, from 0 to 1, as a bar of `width` columns, to an eighth of a column."""
    full, rest = divmod(round(min(max(share, 0.0), 1.0) * width * 8), 8)
    return ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(width)


def verse_tables(verse: Verse, *, width: int = 80) -> list[Table]:
    """A row per character: surprise, likeliest next ones, and each layer's gates and state as bars.

    On a narrow terminal fewer next ones are shown, then the upper layers in tables of their own.
    """
    layers = _bars(verse)
    num_next, num_layers = _fitting(len(layers), len(layers[0]), width)
    at_once = max(1, (width - _CHARACTER) // (len(layers[0]) * (_NARROWEST + 1)))
    further = [layers[at : at + at_once] for at in range(num_layers, len(layers), at_once)]
    return [
        _table(verse, layers[:num_layers], num_next, width),
        *(_table(verse, some, 0, width) for some in further),
    ]


def _fitting(num_layers: int, num_bars: int, width: int) -> tuple[int, int]:
    """(next characters, layers) of the first table: as many layers as fit, then next ones."""
    for layers in range(num_layers, -1, -1):
        room = width - _CHARACTER - _NATS - 1 - layers * num_bars * (_NARROWEST + 1)
        if room >= _NEXT or layers == 0:
            return max(1, min(NUM_NEXT, room // _NEXT)), layers
    raise AssertionError


def _table(verse: Verse, layers: Sequence[Sequence[_Bar]], num_next: int, width: int) -> Table:
    """Without next characters (0) without the surprise too."""
    bars = [one for layer in layers for one in layer]
    used = _CHARACTER + (_NATS + _NEXT * num_next + 1 if num_next else 0)
    room = (width - used) // max(1, len(bars)) - 1
    bar_width = min(max(room, _NARROWEST), _WIDEST)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    if num_next:
        table.add_column("nats", justify="right", no_wrap=True)
        table.add_column("next, in %" if num_next > 1 else "next", no_wrap=True)
    for heading, _, _ in bars:
        table.add_column(heading, no_wrap=True, min_width=bar_width)
    for place, character in enumerate(verse.characters):
        cells = [Text(character, "bold")]
        if num_next:
            cells += [_nats(verse.nats[place]), _following(verse.following[place][:num_next])]
        cells += [Text(bar(shares[place], bar_width), colour) for _, colour, shares in bars]
        table.add_row(*cells)
    return table


def verse_notes(verse: Verse) -> list[str]:
    """What the tables' columns mean, and the figures that they have no room for."""
    recording = verse.recording
    notes = [
        f"{verse.nats_per_character:.2f} nats per character. nats: the surprise at the character; "
        f"next: what the model expects after it. {'; '.join(_signs(verse))}."
    ]
    largest = ", ".join(
        f"{max(recording.norm(layer, recording.state)):.1f} in layer {layer + 1}"
        for layer in range(len(recording.layers))
    )
    state = recording.state if recording.state == "cell" else "hidden state"
    note = f"{state[0]}: norm of its {state}, a full bar is {largest}. Layer 1 is the lowest."
    if recording.gates:
        *names, last = recording.gates
        letters = " ".join(name[0] for name in recording.gates)
        gates = f"{', '.join(names)} and {last}"
        note = f"{letters}: mean {gates} gate of a layer, a full bar is 1 (open); {note}"
    return [*notes, note]


def gradient_table(reaches: Sequence[Reach], *, width: int = 80) -> Table:
    """The gradients' norms some steps back, a row per model, relative to that at the last step."""
    shown = lags(min(len(one.norms) for one in reaches))
    while len(shown) > 2 and _NAME + _LAG * len(shown) > width:
        shown = [*shown[:-1:2], shown[-1]]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("steps back", overflow="fold")
    for lag in shown:
        table.add_column(str(lag), justify="right", no_wrap=True, min_width=_LAG - 1)
    for one in reaches:
        table.add_row(one.name, *(f"{one.norms[lag]:.1e}" for lag in shown))
    return table


def _bars(verse: Verse) -> list[list[_Bar]]:
    """The bars of each layer, the lowest first."""
    recording = verse.recording
    layers = []
    for layer in range(len(recording.layers)):
        number = layer + 1
        bars = [(f"{g[0]}{number}", COLOURS[g], recording.mean(layer, g)) for g in recording.gates]
        name = recording.state
        norms = recording.norm(layer, name)
        largest = max(norms) or 1.0
        bars.append((f"{name[0]}{number}", COLOURS[name], [n / largest for n in norms]))
        layers.append(bars)
    return layers


def _signs(verse: Verse) -> list[str]:
    """What the signs mean that are no characters of a poem, as far as they occur."""
    shown = {symbol for best in verse.following for symbol, _ in best}.union(verse.characters)
    return [f"{sign} {meaning}" for sign, meaning in SIGNS.items() if sign in shown]


def _nats(nats: float | None) -> Text:
    if nats is None:
        return Text("")
    return Text(f"{nats:.2f}", "green" if nats < 2 else "yellow" if nats < 6 else "red")


def _following(best: Sequence[tuple[str, float]]) -> Text:
    text = Text()
    for symbol, probability in best:
        text.append(symbol)
        text.append(f"{min(99, round(100 * probability)):<2d} ", "dim")
    return text
