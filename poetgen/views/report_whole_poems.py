"""The measures of whole poems as rows of text, for the tables of a terminal and for the page.

Two tables: real against shuffled poems, then the samples of each column against real poems.
"""

from collections.abc import Sequence
from dataclasses import astuple
from typing import NamedTuple

from poetgen.evaluation.comparison import Comparison
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.metrics.table import ALL
from poetgen.evaluation.metrics.whole_poem import MEASURES, Measure
from poetgen.evaluation.report import EvaluationReport
from poetgen.evaluation.whole_poems import MIN_AREA, ShuffleTest
from poetgen.language import tr, tr_plural
from poetgen.views.report_rows import MIN_POEMS, LabeledColumn

_NO_VALUE = "–"


class ShuffleRow(NamedTuple):
    """A measure of real and of shuffled poems."""

    measure: Measure
    test: ShuffleTest


class WholePoemRow(NamedTuple):
    """An informative measure of the samples of each column."""

    measure: Measure
    reference: Estimate | None
    """The value of the real poems, from the first column that has one."""
    cells: Sequence[tuple[str, str, str]]
    """By column: value, interval and difference."""


def shuffle_rows(report: EvaluationReport) -> list[ShuffleRow]:
    """Return the measures that were tested on shuffled poems."""
    tests = report.reference.whole_poems if report.reference else {}
    return [ShuffleRow(one, tests[name]) for name, one in MEASURES.items() if name in tests]


def whole_poem_rows(columns: Sequence[LabeledColumn]) -> list[WholePoemRow]:
    """Return the measures that a column has a value of."""
    rows = []
    for name, measure in MEASURES.items():
        found = [labeled.column.whole_poems.get(name) for labeled in columns]
        if any(found):
            references = (one.reference for one in found if one)
            cells = [
                _cells(one, _num_poems(labeled, measure))
                for one, labeled in zip(found, columns, strict=True)
            ]
            rows.append(WholePoemRow(measure, next(filter(None, references), None), cells))
    return rows


def _num_poems(labeled: LabeledColumn, measure: Measure) -> int:
    return labeled.column.titled if measure.given_title else labeled.num_poems(ALL)


def _cells(comparison: Comparison | None, num_poems: int) -> tuple[str, str, str]:
    value, interval = format_value(comparison.estimate if comparison else None, num_poems)
    if comparison is None or comparison.distance is None:
        return value, interval, ""
    return value, interval, f"{comparison.distance:+.3f}{'*' if comparison.flagged else ' '}"


def format_value(estimate: Estimate | None, num_poems: int = MIN_POEMS) -> tuple[str, str]:
    """Return a value and, of at least `MIN_POEMS` poems, its interval.

    >>> format_value(Estimate(-0.012, -0.0151, 0.5))
    ('-0.012', '-0.015–0.500')
    """
    if estimate is None:
        return _NO_VALUE, ""
    value, low, high = astuple(estimate.rounded())
    return f"{value:.3f}", f"{low:.3f}–{high:.3f}" if num_poems >= MIN_POEMS else ""


def whole_poem_notes(report: EvaluationReport) -> list[str]:
    """Return notes: how poems were shuffled, which measures are uninformative, how titles were given."""
    rows = shuffle_rows(report)
    if not rows:
        return []
    notes = [
        tr(
            "Shuffled poems: each even line is from another real poem, where possible of the same form, "
            "tone pattern and rhyme."
        ),
        tr("Area under the curve: how often a real poem has a higher value than a shuffled one."),
    ]
    if poor := [tr(row.measure.label) for row in rows if not row.test.informative]:
        notes.append(
            tr(
                "Uninformative, because the area under the curve is below {area}: {measures}.",
                area=MIN_AREA,
                measures=tr(", ").join(poor),
            )
        )
    titled = max((one.titled for run in report.runs for one in run.columns.values()), default=0)
    if titled:
        notes.append(
            tr_plural(
                titled,
                "Title retrieval: of {num} poem generated for the title of a real one.",
                "Title retrieval: of {num} poems generated for the titles of real ones.",
            )
        )
    return notes
