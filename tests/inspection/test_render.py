"""Tables for the terminal: bars, widths, what stands where."""

import pytest
from rich.cells import cell_len
from rich.console import Console

from poetgen.inspection.render import bar, verse_notes, verse_tables
from poetgen.inspection.verse import read_verse
from poetgen.model.store import StoredModel

TEXT = "床前明月光，疑是地上霜。"


@pytest.mark.parametrize(
    ("share", "drawn"),
    [
        (0.0, "    "),
        (1.0, "████"),
        (0.5, "██  "),
        (5 / 32, "▋   "),
        (-1.0, "    "),
        (7.0, "████"),
    ],
)
def test_bars_are_exact_to_an_eighth(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


def tables(stored: StoredModel, width: int) -> list[list[str]]:
    """The lines of each table."""
    verse = read_verse(stored.model, stored.vocab, TEXT)
    console = Console(width=width, color_system=None, highlight=False)
    drawn = []
    for table in verse_tables(verse, width=width):
        with console.capture() as capture:
            console.print(table)
        drawn.append(capture.get().splitlines())
    return drawn


def check_columns(lines: list[str], width: int, first_bar: str) -> None:
    """No row broken, and in columns of the terminal bars stand under their headings."""
    head, *rows = lines
    assert [row[0] for row in rows] == ["＾", *TEXT]
    assert all(cell_len(line.rstrip()) <= width for line in lines)
    at = head.index(first_bar)
    for row in rows:
        before = next(i for i in range(len(row)) if cell_len(row[:i]) == at)
        assert row[before] in "▏▎▍▌▋▊▉█ "
        assert row[before - 1] == " "


BARS = [f"{gate}{layer}" for layer in (1, 2) for gate in "fioc"]


@pytest.mark.parametrize(
    ("width", "heading", "num_next"),
    [(40, "next", 1), (60, "next, in %", 5), (80, "next, in %", 5)],
)
def test_a_narrow_terminal_has_fewer_next_characters_and_all_bars(
    tiny_model: StoredModel, width: int, heading: str, num_next: int
) -> None:
    (lines,) = tables(tiny_model, width)
    check_columns(lines, width, "f1")
    assert lines[0].split() == ["nats", *heading.split(), *BARS]
    verse = read_verse(tiny_model.model, tiny_model.vocab, TEXT)
    for row, nats, following in zip(lines[2:], verse.nats[1:], verse.following[1:], strict=True):
        assert f"{nats:.2f}" in row
        symbols = [symbol for symbol, _ in following]
        assert [symbol in row[2:] for symbol in symbols[:num_next]] == [True] * num_next


def test_further_layers_have_a_table_of_their_own(tiny_model: StoredModel) -> None:
    first, second = tables(tiny_model, 30)
    check_columns(first, 30, "f1")
    check_columns(second, 30, "f2")
    assert first[0].split() == ["nats", "next", *BARS[:4]]
    assert second[0].split() == BARS[4:]


def test_bars_grow_with_the_terminal_to_sixteen_columns(tiny_model: StoredModel) -> None:
    (lines,) = tables(tiny_model, 300)
    check_columns(lines, 300, "f1")
    assert lines[0].index("i1") - lines[0].index("f1") == 17


def test_numbers_are_those_of_the_verse(tiny_model: StoredModel) -> None:
    verse = read_verse(tiny_model.model, tiny_model.vocab, TEXT)
    row = tables(tiny_model, 80)[0][2]
    assert row.startswith("床")
    assert f"{verse.nats[1]:.2f}" in row
    symbol, probability = verse.following[1][0]
    assert f"{symbol}{round(100 * probability)}" in row
    notes = " ".join(verse_notes(verse))
    assert "＾ the start" in notes
    assert "Layer 1 is the lowest" in notes
    signs = {symbol for best in verse.following for symbol, _ in best}
    assert ("＄ the end" in notes) == ("＄" in signs)
    assert ("＃ a character" in notes) == ("＃" in signs)
    assert f"{verse.nats_per_character:.2f} nats per character" in notes
    assert f"{max(verse.recording.norm(1, 'cell')):.1f} in layer 2" in notes
