"""The evaluation report for a terminal: a summary, then tables, then notes."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from poetgen.evaluation.metrics.table import ALL, METRICS
from poetgen.evaluation.report import EvaluationReport, ReaderReport
from poetgen.language import tr
from poetgen.views.report_rows import (
    LIKELIHOOD_HEADINGS,
    LabeledColumn,
    Section,
    format_comparison,
    format_estimate,
    heading,
    labeled_columns,
    legend,
    likelihood_rows,
    reader_headings,
    reader_notes,
    reader_rows,
    sections,
    settings_rows,
    summary,
)
from poetgen.views.report_whole_poems import (
    WholePoemRow,
    format_value,
    shuffle_rows,
    whole_poem_notes,
    whole_poem_rows,
)

# Cells of these widths are padded as texts: rich would drop the space where others have a flag.
_ESTIMATE = "{:>5} {:>11}"
_COMPARISON = "{:>5} {:>11} {:>7}"
_SHORT_COMPARISON = "{0:>5} {2:>7}"
_VALUE = "{:>6} {:>13}"
_COMPARED_VALUE = "{:>6} {:>13} {:>7}"
# Widths of columns, the gap of two included.
_LABEL_WIDTH, _REFERENCE_WIDTH, _COLUMN_WIDTH, _FORM_WIDTH = 21, 19, 27, 15
_VALUE_WIDTH, _COMPARED_WIDTH, _READER_WIDTH = 22, 30, 180


def full_width(report: EvaluationReport) -> int:
    """Return the width of a table of all columns, in characters."""
    num_columns = len(labeled_columns(report))
    widths = [_LABEL_WIDTH + _REFERENCE_WIDTH + _COLUMN_WIDTH * num_columns]
    if shuffle_rows(report):
        widths.append(_LABEL_WIDTH + _VALUE_WIDTH + _COMPARED_WIDTH * num_columns)
    if report.reader:
        widths.append(_READER_WIDTH)
    return max(100, *widths)


def report_tables(report: EvaluationReport, width: int) -> Group:
    """Return summary, likelihoods, metrics and notes, in at most `width` columns."""
    columns = labeled_columns(report)
    found = sections(columns)
    blocks: list[RenderableType] = [Text("\n".join(heading(report)))]
    if found:
        blocks += _summary_tables(report, width)
    elif columns:
        blocks.append(Text(tr("None of the generated poems has one of the four forms.")))
    if any(run.likelihood for run in report.runs):
        blocks.append(_likelihood_table(report))
    if report.reader:
        blocks.append(_reader_table(report.reader))
    if found:
        per_table = max(1, (width + 2 - _LABEL_WIDTH - _REFERENCE_WIDTH) // _COLUMN_WIDTH)
        parts = _parts(len(columns), per_table)
        blocks += (_metric_table(found[0], columns, part) for part in parts)
    forms = [section.form for section in found if section.form != ALL]
    if len(forms) > 1:
        forms_per_table = max(1, (width + 2 - _LABEL_WIDTH) // _FORM_WIDTH)
        blocks += (
            _form_table(labeled, forms[part.start : part.stop])
            for labeled in columns
            for part in _parts(len(forms), forms_per_table)
        )
    blocks += _whole_poem_tables(report, columns, width)
    notes = Table.grid(padding=(0, 1))
    for note in [*legend(report), *whole_poem_notes(report), *settings_rows(report)]:
        notes.add_row("-", Text(note))
    if columns:
        notes.add_row("-", tr("What each metric measures: see the page that --html FILE writes."))
    return Group(*(part for block in blocks for part in (block, Text())), notes)


def _parts(num_columns: int, per_table: int) -> list[range]:
    """Return the indices of the columns of each table."""
    indices = range(num_columns)
    return [indices[i : i + per_table] for i in indices[::per_table]]


def _summary_tables(report: EvaluationReport, width: int) -> Iterator[Group]:
    rows, columns = summary(report), labeled_columns(report)
    label_width = max(cell_len(row.label) for row in rows)
    reference_width = max(
        cell_len(text) for text in (tr("reference"), *(r.reference for r in rows))
    )
    texts = [value for row in rows for value in row.values]
    texts += (text for labeled in columns for text in (labeled.name, labeled.sampling))
    column_width = 2 + max(map(cell_len, texts))
    per_table = max(1, (width - label_width - reference_width - 2) // column_width)
    for part in _parts(len(columns), per_table):
        table = _table("", tr("reference"))
        for i in part:
            table.add_column(escape(_head(columns[i])), justify="right")
        for row in rows:
            table.add_row(row.label, row.reference, *(row.values[i] for i in part))
        yield _titled(tr("Summary"), table)


def _table(*heads: str, gap: int = 2) -> Table:
    """Return an empty table; all columns but the first are aligned to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for number, head in enumerate(heads):
        table.add_column(escape(head), justify="right" if number else "left", no_wrap=True)
    return table


def _titled(title: str, table: Table) -> Group:
    # A title of the table itself would be wrapped at the table's width.
    return Group(Text(title, style="bold"), table)


def _head(labeled: LabeledColumn) -> str:
    return "\n".join(filter(None, (labeled.name, labeled.sampling)))


def _likelihood_table(report: EvaluationReport) -> Group:
    table = _table(*map(tr, LIKELIHOOD_HEADINGS), gap=1)
    for cells in likelihood_rows(report):
        table.add_row(*map(escape, cells))
    return _titled(tr("Likelihood of the real poems"), table)


def _reader_table(report: ReaderReport) -> Group:
    table = _table(*reader_headings())
    for cells in reader_rows(report):
        table.add_row(*map(escape, cells))
    notes = Text("\n".join(reader_notes(report)))
    return Group(_titled(tr("The reader's test"), table), notes)


def _metric_table(
    section: Section, columns: Sequence[LabeledColumn], shown: Sequence[int]
) -> Group:
    """Return the table of a section: a row per metric, the columns with the indices `shown`."""
    form = section.form
    most_poems = max(labeled.num_poems(form) for labeled in columns)
    table = _table("")
    table.add_column(_above(tr("reference"), _ESTIMATE))
    for i in shown:
        table.add_column(_above(_head(columns[i]), _COMPARISON))
    for row in section.rows:
        cells = (
            _COMPARISON.format(*format_comparison(row.comparisons[i], columns[i].num_poems(form)))
            for i in shown
        )
        reference = _ESTIMATE.format(*format_estimate(row.reference, most_poems))
        table.add_row(tr(row.metric.label), reference, *cells)
    title = tr("Generated poems, {forms}: %, 95% interval, difference", forms=section.title)
    return _titled(title, table)


def _above(head: str, template: str) -> str:
    """Return a heading whose rows are aligned to the right of cells formatted with `template`."""
    width = len(template.format("", "", ""))
    return escape("\n".join(" " * (width - cell_len(row)) + row for row in head.split("\n")))


def _form_table(labeled: LabeledColumn, forms: Sequence[str]) -> Group:
    """Return the table of a column: a row per metric, a column per form, without intervals."""
    found = labeled.column.metrics
    table = _table("")
    for form in forms:
        table.add_column(_above(f"{form} ({labeled.num_poems(form)})", _SHORT_COMPARISON))
    for name, metric in METRICS.items():
        comparisons = [found.get(form, {}).get(name) for form in forms]
        if any(comparisons):
            cells = (_SHORT_COMPARISON.format(*format_comparison(one)) for one in comparisons)
            table.add_row(tr(metric.label), *cells)
    return _titled(tr("{column}, by form: %, difference", column=labeled.label), table)


def _whole_poem_tables(
    report: EvaluationReport, columns: Sequence[LabeledColumn], width: int
) -> Iterator[Group]:
    """Yield the table of real against shuffled poems, then those of the columns; none if not measured."""
    tested = shuffle_rows(report)
    if not tested:
        return
    table = _table("", tr("area under curve"))
    for head in (tr("real"), tr("shuffled")):
        table.add_column(_above(head, _VALUE))
    for measure, test in tested:
        cells = (_VALUE.format(*format_value(one)) for one in (test.real, test.shuffled))
        table.add_row(tr(measure.label), " ".join(format_value(test.area)), *cells)
    yield _titled(tr("Whole poems: real and shuffled"), table)
    rows = whole_poem_rows(columns)
    per_table = max(1, (width + 2 - _LABEL_WIDTH - _VALUE_WIDTH) // _COMPARED_WIDTH)
    for part in _parts(len(columns), per_table) if rows else ():
        yield _whole_poem_table(rows, columns, part)


def _whole_poem_table(
    rows: Sequence[WholePoemRow], columns: Sequence[LabeledColumn], shown: Sequence[int]
) -> Group:
    table = _table("")
    table.add_column(_above(tr("reference"), _VALUE))
    for i in shown:
        table.add_column(_above(_head(columns[i]), _COMPARED_VALUE))
    for row in rows:
        cells = (_COMPARED_VALUE.format(*row.cells[i]) for i in shown)
        table.add_row(tr(row.measure.label), _VALUE.format(*format_value(row.reference)), *cells)
    return _titled(tr("Whole poems, generated: value, 95% interval, difference"), table)
