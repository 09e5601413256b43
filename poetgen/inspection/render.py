"""A verse under inspection, and gradients, as tables for a terminal.

Bars are made of block characters, so that they can be read without colours too.
"""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from poetgen.inspection.gates import GATES
from poetgen.inspection.gradients import Reach, lags
from poetgen.inspection.verse import Verse

COLOURS = {"forget": "cyan", "input": "yellow", "output": "magenta", "cell": "green"}
_BLOCKS = " ▏▎▍▌▋▊▉█"
_FIXED = 36
"""Columns of the terminal that character, surprise and next characters take, with their gaps."""
_NARROWEST, _WIDEST = 2, 8


def bar(share: float, width: int) -> str:
    """`share`, from 0 to 1, as a bar of `width` columns, to an eighth of a column."""
    full, rest = divmod(round(min(max(share, 0.0), 1.0) * width * 8), 8)
    return ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(width)


def verse_table(verse: Verse, *, width: int = 80) -> Table:
    """A row per character: surprise, likeliest next ones, and each layer's gates and cell as bars."""
    columns = _bars(verse)
    room = (width - _FIXED) // max(1, len(columns)) - 1
    bar_width = min(max(room, _NARROWEST), _WIDEST)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("nats", justify="right", no_wrap=True)
    table.add_column("next, in %", no_wrap=True)
    for heading, _, _ in columns:
        table.add_column(heading, no_wrap=True, min_width=bar_width)
    for place, character in enumerate(verse.characters):
        bars = (Text(bar(shares[place], bar_width), colour) for _, colour, shares in columns)
        table.add_row(
            Text(character, "bold"),
            _nats(verse.nats[place]),
            _following(verse.following[place]),
            *bars,
        )
    return table


def verse_notes(verse: Verse) -> list[str]:
    """What the table's columns mean, and the figures that it has no room for."""
    notes = [
        f"{verse.nats_per_character:.2f} nats per character. nats: the surprise at the character; "
        "next: what the model expects after it; ＾ ＄ the start and the end."
    ]
    if verse.recording.has_gates:
        largest = (
            f"{max(verse.recording.norm(layer, 'cell')):.1f} in layer {layer + 1}"
            for layer in range(len(verse.recording.layers))
        )
        notes.append(
            "f i o: mean forget, input and output gate of a layer, a full bar is 1 (open); "
            f"c: norm of its cell, a full bar is {', '.join(largest)}."
        )
    return notes


def gradient_table(reaches: Sequence[Reach]) -> Table:
    """The gradients' norms at chosen lags, relative to that at the last step."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("steps back", justify="right")
    curves = {label: norms for one in reaches for label, norms in one.curves.items()}
    for label in curves:
        table.add_column(label, justify="right")
    for lag in lags(min(map(len, curves.values()))):
        table.add_row(str(lag), *(f"{norms[lag]:.1e}" for norms in curves.values()))
    return table


def _bars(verse: Verse) -> list[tuple[str, str, list[float]]]:
    """(heading, colour, share per place) of each bar, lowest layer first."""
    recording = verse.recording
    columns: list[tuple[str, str, list[float]]] = []
    for layer in range(len(recording.layers)):
        number = layer + 1
        if recording.has_gates:
            columns += [(f"{g[0]}{number}", COLOURS[g], recording.mean(layer, g)) for g in GATES]
        name = "cell" if recording.has_gates else "hidden"
        norms = recording.norm(layer, name)
        largest = max(norms) or 1.0
        columns.append((f"{name[0]}{number}", COLOURS["cell"], [n / largest for n in norms]))
    return columns


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
