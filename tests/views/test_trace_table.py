"""Terminal tables: bars, widths, and the numbers of the trace."""

import pytest
from rich.cells import cell_len
from rich.console import Console

from poetgen.inspection.result import GradientComparison, GradientDecay
from poetgen.inspection.trace import trace
from poetgen.model.file import ModelBundle
from poetgen.views.trace_table import bar, gradient_report, trace_notes, trace_report, trace_tables
from poetgen.views.trace_texts import gradient_rows, gradient_source, wrap

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
def test_bar_is_exact_to_an_eighth(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


def print_tables(bundle: ModelBundle, width: int) -> list[list[str]]:
    """The rows of each table, headings included."""
    console = Console(width=width, color_system=None, highlight=False)
    drawn = []
    for table in trace_tables(trace(bundle, TEXT), width=width):
        with console.capture() as capture:
            console.print(table)
        drawn.append(capture.get().splitlines())
    return drawn


def check_columns(table: list[str], width: int, first_bar: str) -> None:
    """Check that no row is wrapped, and that bars are aligned with their headings."""
    head, *rows = table
    assert [row[0] for row in rows] == ["＾", *TEXT]
    assert all(cell_len(row.rstrip()) <= width for row in table)
    start = head.index(first_bar)
    for row in rows:
        before = next(i for i in range(len(row)) if cell_len(row[:i]) == start)
        assert row[before] in "▏▎▍▌▋▊▉█ "
        assert row[before - 1] == " "


BARS = [f"{gate}{layer}" for layer in (1, 2) for gate in "fioc"]


@pytest.mark.parametrize(
    ("width", "heading", "num_next"),
    [(40, "next", 1), (60, "next, in %", 5), (80, "next, in %", 5)],
)
def test_trace_tables_fit_narrow_terminal(
    tiny_model: ModelBundle, width: int, heading: str, num_next: int
) -> None:
    (table,) = print_tables(tiny_model, width)
    check_columns(table, width, "f1")
    assert table[0].split() == ["nats", *heading.split(), *BARS]
    found = trace(tiny_model, TEXT)
    for row, nats, best in zip(table[2:], found.nats[1:], found.next_characters[1:], strict=True):
        assert f"{nats:.2f}" in row
        symbols = [symbol for symbol, _ in best]
        assert [symbol in row[2:] for symbol in symbols[:num_next]] == [True] * num_next


def test_trace_tables_split_layers(tiny_model: ModelBundle) -> None:
    first, second = print_tables(tiny_model, 30)
    check_columns(first, 30, "f1")
    check_columns(second, 30, "f2")
    assert first[0].split() == ["nats", "next", *BARS[:4]]
    assert second[0].split() == BARS[4:]


def test_trace_tables_limit_bars_to_16_columns(tiny_model: ModelBundle) -> None:
    (table,) = print_tables(tiny_model, 300)
    check_columns(table, 300, "f1")
    assert table[0].index("i1") - table[0].index("f1") == 17


def test_trace_tables_show_numbers_of_the_trace(tiny_model: ModelBundle) -> None:
    found = trace(tiny_model, TEXT)
    row = print_tables(tiny_model, 80)[0][2]
    assert row.startswith("床")
    assert f"{found.nats[1]:.2f}" in row
    symbol, probability = found.next_characters[1][0]
    assert f"{symbol}{round(100 * probability)}" in row


def test_trace_notes(tiny_model: ModelBundle) -> None:
    found = trace(tiny_model, TEXT)
    notes = " ".join(trace_notes(found))
    assert "＾ start" in notes
    signs = {symbol for best in found.next_characters for symbol, _ in best}
    assert ("＄ end" in notes) == ("＄" in signs)
    assert ("＃ character" in notes) == ("＃" in signs)
    assert f"{found.nats_per_character:.2f} nats per character" in notes
    largest = " · ".join(f"{max(found.state_norms(layer)):.1f}" for layer in (0, 1))
    assert f"a full bar is {largest}, from layer 1" in notes


def test_trace_report_has_all_parts(tiny_model: ModelBundle) -> None:
    found = trace(tiny_model, TEXT)
    console = Console(width=30, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(trace_report(found, width=30))
    rows = [row.rstrip() for row in capture.get().splitlines()]
    assert rows[:2] == [TEXT, ""]
    first, second = print_tables(tiny_model, 30)
    assert rows[2 : 2 + len(first)] == [row.rstrip() for row in first]
    assert rows[3 + len(first)] == second[0].rstrip()


@pytest.mark.parametrize(("width", "lags"), [(80, [1, 2, 5, 10, 20, 50, 99]), (40, [1, 20, 99])])
def test_gradient_report_fits_terminal(width: int, lags: list[int]) -> None:
    norms = tuple(0.5**k for k in range(100))
    decays = (GradientDecay("tang", "lstm", norms), GradientDecay(None, "rnn", norms))
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(gradient_report(GradientComparison((TEXT,), False, decays), width=width))
    drawn = [row.rstrip() for row in capture.get().splitlines()]
    head, *rows = drawn[drawn.index("") + 1 :]
    assert drawn[0] == f"Text: {TEXT}"
    assert [int(word) for word in head.split()[2:]] == lags
    assert all(len(row) <= width for row in rows)
    last = next(row for row in rows if row.startswith("rnn, fresh"))
    assert last.split()[2:] == [f"{0.5**k:.1e}" for k in lags]


def test_wrap_breaks_between_han_characters() -> None:
    text = "平均每字 2.75 奈特。意外：模型对该字的意外度，以奈特计。"
    lines = wrap(text, 20).splitlines()
    assert all(cell_len(line) <= 20 for line in lines)
    assert all(cell_len(line) >= 17 for line in lines[:-1])
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not any(line.startswith(tuple("，。：")) for line in lines)
    assert wrap("two plain words", 9) == "two plain\nwords"


def test_gradient_rows_name_models() -> None:
    decays = (GradientDecay("tang", "lstm", (1.0, 0.5)), GradientDecay(None, "gru", (1.0, 0.25)))
    assert gradient_rows(GradientComparison((TEXT,), False, decays), [1]) == [
        ["steps back", "1"],
        ["tang (lstm, trained)", "5.0e-01"],
        ["gru, fresh", "2.5e-01"],
    ]


def test_gradient_source_of_generated_texts() -> None:
    comparison = GradientComparison(("床前", "明月"), True, ())
    assert gradient_source(comparison) == "Texts: 2 poems by the first model, 2 characters of each"
