"""Tables for the terminal: bars, widths, what stands where."""

import pytest
from rich.cells import cell_len
from rich.console import Console

from poetgen.inspection.render import bar, verse_notes, verse_table
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


def lines(stored: StoredModel, width: int) -> list[str]:
    verse = read_verse(stored.model, stored.vocab, TEXT)
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(verse_table(verse, width=width))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_a_row_per_character_none_broken_and_columns_under_their_heads(
    tiny_model: StoredModel, width: int
) -> None:
    head, *rows = lines(tiny_model, width)
    assert [row[0] for row in rows] == ["＾", *TEXT]
    assert head.split() == [
        "nats",
        "next,",
        "in",
        "%",
        *["f1", "i1", "o1", "c1", "f2", "i2", "o2", "c2"],
    ]
    assert all(cell_len(line.rstrip()) <= width for line in [head, *rows])
    # In columns of the terminal, where a Han character takes two, bars stand under their heading.
    at = head.index("f1")
    for row in rows:
        before = next(i for i in range(len(row)) if cell_len(row[:i]) == at)
        assert row[before] in "▏▎▍▌▋▊▉█ "
        assert row[before - 1] == " "


def test_numbers_are_those_of_the_verse(tiny_model: StoredModel) -> None:
    verse = read_verse(tiny_model.model, tiny_model.vocab, TEXT)
    row = lines(tiny_model, 80)[2]
    assert row.startswith("床")
    assert f"{verse.nats[1]:.2f}" in row
    symbol, probability = verse.following[1][0]
    assert f"{symbol}{round(100 * probability)}" in row
    notes = " ".join(verse_notes(verse))
    assert f"{verse.nats_per_character:.2f} nats per character" in notes
    assert f"{max(verse.recording.norm(1, 'cell')):.1f} in layer 2" in notes
