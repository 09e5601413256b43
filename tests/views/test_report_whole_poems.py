"""The measures of whole poems in the tables and on the page."""

from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from poetgen.evaluation.comparison import Comparison
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.report import (
    EvaluationReport,
    NullSample,
    ReferenceReport,
    ReportColumn,
    ReportSettings,
    RunReport,
)
from poetgen.evaluation.whole_poems import ShuffleTest
from poetgen.views.report_page import report_page
from poetgen.views.report_rows import labeled_columns
from poetgen.views.report_table import full_width, report_tables
from poetgen.views.report_whole_poems import format_value, whole_poem_notes, whole_poem_rows

REAL, SHUFFLED = Estimate(1.043, 0.995, 1.094), Estimate(-1.057, -1.094, -1.021)
GOOD, POOR = Estimate(0.978, 0.972, 0.983), Estimate(0.55, 0.5, 0.6)


@pytest.fixture
def report() -> EvaluationReport:
    """A model whose poems have less parallelism, and ten poems for titles; one measure is poor."""
    tests = {
        "parallelism": ShuffleTest(900, GOOD, REAL, SHUFFLED),
        "half_similarity": ShuffleTest(900, POOR, REAL, REAL),
        "title_retrieval": ShuffleTest(900, GOOD, REAL, SHUFFLED),
    }
    compared = {
        "parallelism": Comparison(Estimate(0.5, 0.4, 0.6), REAL),
        "title_retrieval": Comparison(Estimate(1.0, 0.9, 1.0), REAL),
    }
    column = ReportColumn(
        poems={"七律": 200},
        form_given=True,
        generated=200,
        failed=0,
        forms={},
        compared=0,
        flagged=0,
        metrics={},
        rank_frequency=[(1, 1.0)],
        examples=[],
        whole_poems=compared,
        titled=10,
    )
    reference = ReferenceReport({}, {}, NullSample({}, 0, 0), [(1, 1.0)], tests)
    settings = ReportSettings("here", None, None, 1, "beef", 0, ())
    untitled = replace(column, whole_poems={"parallelism": compared["parallelism"]}, titled=0)
    return EvaluationReport(
        settings,
        reference,
        [
            RunReport("tang", temperature=0.8, columns={"free": column, "constrained": column}),
            RunReport("poems.txt", columns={"free": untitled}),
        ],
    )


def rendered(report: EvaluationReport, width: int) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(report_tables(report, width))
    return capture.get()


def test_format_value_needs_twenty_poems() -> None:
    assert format_value(SHUFFLED, 20) == ("-1.057", "-1.094–-1.021")
    assert format_value(SHUFFLED, 19) == ("-1.057", "")
    assert format_value(None) == ("–", "")


def test_whole_poem_rows_skip_uninformative_measures(report: EvaluationReport) -> None:
    rows = whole_poem_rows(labeled_columns(report))
    assert [row.measure.label for row in rows] == ["parallelism", "title retrieval"]
    assert rows[0].reference == REAL
    assert rows[0].cells == [("0.500", "0.400–0.600", "-0.543*")] * 3
    # Ten poems have no interval; the file has no poem for a title.
    assert rows[1].cells == [("1.000", "", "-0.043 ")] * 2 + [("–", "", "")]


def test_whole_poem_notes_name_uninformative_measures(report: EvaluationReport) -> None:
    notes = whole_poem_notes(report)
    assert "Uninformative, because the area under the curve is below 0.6: similar halves." in notes
    assert "Title retrieval: of 10 poems generated for the titles of real ones." in notes
    assert whole_poem_notes(replace(report, reference=None)) == []


def test_tables_show_whole_poems(report: EvaluationReport) -> None:
    text = rendered(report, full_width(report))
    rows = [" ".join(row.split()) for row in text.splitlines()]
    assert "parallelism 0.978 0.972–0.983 1.043 0.995–1.094 -1.057 -1.094–-1.021" in rows
    expected = "parallelism 1.043 0.995–1.094" + " 0.500 0.400–0.600 -0.543*" * 3
    assert expected in rows
    assert "Whole poems" not in rendered(replace(report, reference=None), 100)


@pytest.mark.parametrize("width", [80, 120])
def test_tables_of_whole_poems_fit_a_terminal(report: EvaluationReport, width: int) -> None:
    rows = rendered(report, width).splitlines()
    assert max(map(cell_len, rows)) <= width
    assert "…" not in "".join(rows)
    # No row of the table is wrapped.
    assert sum(row.startswith("parallelism") for row in rows) == (4 if width == 80 else 3)
    assert any("-1.094–-1.021" in row and row.startswith("parallelism") for row in rows)


def test_page_has_a_section_of_whole_poems(report: EvaluationReport) -> None:
    text = report_page(report)
    section = text.partition("<h2>Whole poems</h2>")[2].partition("<h2>")[0]
    assert section.count("<table>") == 2
    assert section.count('<td class="value">') == 3 * 3 + 2 * 4
    assert "-0.543*" in section
    assert "<dt>title retrieval</dt>" in text
    bare = report_page(replace(report, reference=None))
    assert "Whole poems" not in bare
    assert "<dt>title retrieval</dt>" not in bare
