"""The evaluation report as one HTML page: summary, tables, plots, poems and definitions.

The page is self-contained: it loads nothing from elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from html import escape

from poetgen.evaluation.comparison import Comparison
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.metrics.table import METRICS
from poetgen.evaluation.metrics.whole_poem import MEASURES
from poetgen.evaluation.report import EvaluationReport, ReaderReport
from poetgen.language import current_language, tr
from poetgen.views.charts import (
    Curve,
    Interval,
    Row,
    Spot,
    interval_plot,
    log_log_plot,
    spot_plot,
)
from poetgen.views.report_rows import (
    LIKELIHOOD_HEADINGS,
    MIN_POEMS,
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
    format_value,
    shuffle_rows,
    whole_poem_notes,
    whole_poem_rows,
)
from poetgen.views.svg import color

_REFERENCE_COLOR = "#808080"
_HTML_LANGUAGES = {"en": "en", "zh": "zh-Hans"}

# The policy forbids all loading; the empty icon keeps browsers from requesting /favicon.ico.
_HEAD = """<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei",
       "WenQuanYi Micro Hei", sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }
p, li { overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.25; }
h2 { margin-top: 2em; border-bottom: 1px solid #8886; padding-bottom: .2em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15em .4em; text-align: right; white-space: nowrap; font-weight: normal; }
td.distance { white-space: pre; }
td.value, thead th { padding-left: 1.6em; }
th:first-child, td:first-child { position: sticky; left: 0; background: Canvas; text-align: left;
                                 padding-left: 0; white-space: normal; min-width: 7em; }
tbody td.part { padding-left: 1em; }
thead th { border-bottom: 1px solid #8889; vertical-align: bottom; font-weight: bold; }
tr.section th { padding-top: 1em; font-weight: bold; }
tbody tr:hover td { background: color-mix(in srgb, Canvas, CanvasText 8%); }
td.flagged { font-weight: bold; }
td.interval { opacity: .7; }
.summary table { font-size: 1.1em; }
.summary td { white-space: normal; }
.scroll svg { display: block; margin: 1em 0; width: 100%; max-width: 720px; min-width: 600px;
              height: auto; }
.poems { display: flex; flex-wrap: wrap; gap: 1em 2.5em; }
.poems p { margin: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1.2em; }
dd { margin: 0; }
small { opacity: .7; }
@media (max-width: 40em) {
  body { margin-top: 1em; }
  th, td { padding: .15em .25em; }
  td.value, thead th { padding-left: .7em; }
  thead th { white-space: normal; }
  .summary table { font-size: 1em; }
  ul { padding-left: 1.2em; }
  dl { display: block; }
  dt { font-weight: bold; }
}
</style>
"""


def report_page(report: EvaluationReport) -> str:
    """Return the HTML page of a report, in the current language."""
    columns = labeled_columns(report)
    title = tr("poetgen: evaluation")
    parts = [
        f'<!doctype html>\n<html lang="{_HTML_LANGUAGES[current_language()]}">',
        f"{_HEAD}<title>{escape(title)}</title>\n</head>\n<body>\n<h1>{escape(title)}</h1>",
        _paragraph(heading(report)),
    ]
    if columns:
        parts += [_heading(tr("Summary")), _summary_table(report, columns)]
    if any(run.likelihood for run in report.runs):
        parts += [_heading(tr("Likelihood of the real poems")), _likelihood_table(report)]
    if report.reader:
        parts += [_heading(tr("The reader's test")), _list(reader_notes(report.reader))]
        parts.append(_reader_table(report.reader))
    if columns:
        parts += [_heading(tr("Metrics of the generated poems")), _list(legend(report))]
        parts += [_metric_table(columns), *_whole_poems(report, columns)]
        parts += [_heading(tr("Plots")), *_plots(report, columns)]
        parts += [_heading(tr("Example poems, not selected")), *map(_examples, columns)]
        parts += [_heading(tr("What each metric measures")), _definitions(report)]
    parts += [_heading(tr("Settings")), _list(settings_rows(report))]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _heading(title: str) -> str:
    return f"<h2>{escape(title)}</h2>"


def _paragraph(rows: Iterable[str]) -> str:
    return "<p>" + "<br>\n".join(map(escape, rows)) + "</p>"


def _list(rows: Iterable[str]) -> str:
    return "<ul>" + "\n".join(f"<li>{escape(row)}</li>" for row in rows) + "</ul>"


def _summary_table(report: EvaluationReport, columns: Sequence[LabeledColumn]) -> str:
    rows = []
    if not sections(columns):
        return f"<p>{escape(tr('None of the generated poems has one of the four forms.'))}</p>"
    for label, reference, values in summary(report):
        cells = "".join(f'<td class="value">{escape(text)}</td>' for text in (reference, *values))
        rows.append(f"<tr><td>{escape(label)}</td>{cells}</tr>")
    heads = ["", tr("reference"), *(labeled.label for labeled in columns)]
    table = _table((f"<th>{escape(head)}</th>" for head in heads), rows)
    return f'<div class="summary">{table}</div>'


def _likelihood_table(report: EvaluationReport) -> str:
    rows = []
    for name, *values in likelihood_rows(report):
        cells = "".join(f'<td class="value">{value}</td>' for value in values)
        start = '<td class="part">' if name.startswith(" ") else "<td>"
        rows.append(f"<tr>{start}{escape(name.strip())}</td>{cells}</tr>")
    return _table((f"<th>{escape(tr(one))}</th>" for one in LIKELIHOOD_HEADINGS), rows)


def _reader_table(report: ReaderReport) -> str:
    rows = []
    for name, *values in reader_rows(report):
        cells = "".join(f'<td class="value">{escape(value)}</td>' for value in values)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return _table((f"<th>{escape(head)}</th>" for head in reader_headings()), rows)


def _metric_table(columns: Sequence[LabeledColumn]) -> str:
    rows = []
    for section in sections(columns):
        rows.append(f'<tr class="section"><th>{escape(section.title)}</th></tr>')
        numbers = [labeled.num_poems(section.form) for labeled in columns]
        for metric, reference, comparisons in section.rows:
            compared = map(_comparison_cells, comparisons, numbers)
            rows.append(
                f'<tr><td title="{escape(tr(metric.description))}">{escape(tr(metric.label))}</td>'
                f"{_reference_cells(reference, max(numbers))}{''.join(compared)}</tr>"
            )
    heads = ["<th></th>", f'<th colspan="2">{escape(tr("reference"))}</th>']
    heads += (f'<th colspan="3">{escape(labeled.label)}</th>' for labeled in columns)
    return _table(heads, rows)


def _comparison_cells(comparison: Comparison | None, num_poems: int) -> str:
    flagged = " flagged" if comparison and comparison.flagged else ""
    value, interval, distance = format_comparison(comparison, num_poems)
    return (
        f'<td class="value{flagged}">{value}</td><td class="interval">{interval}</td>'
        f'<td class="distance{flagged}">{distance}</td>'
    )


def _reference_cells(estimate: Estimate | None, num_poems: int) -> str:
    value, interval = format_estimate(estimate, num_poems)
    return f'<td class="value">{value}</td><td class="interval">{interval}</td>'


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(heads)}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _whole_poems(report: EvaluationReport, columns: Sequence[LabeledColumn]) -> list[str]:
    """Return the section of measures of whole poems; empty if none was measured."""
    tested = shuffle_rows(report)
    if not tested:
        return []
    rows = []
    for measure, test in tested:
        estimates = (test.area, test.real, test.shuffled)
        rows.append(_whole_poem_row(measure.label, [format_value(one) for one in estimates]))
    titles = (tr("area under curve"), tr("real"), tr("shuffled"))
    parts = [_heading(tr("Whole poems")), _list(whole_poem_notes(report))]
    parts.append(
        _table(["<th></th>", *(f'<th colspan="2">{escape(title)}</th>' for title in titles)], rows)
    )
    if compared := whole_poem_rows(columns):
        rows = [
            _whole_poem_row(row.measure.label, [format_value(row.reference), *row.cells])
            for row in compared
        ]
        heads = ["<th></th>", f'<th colspan="2">{escape(tr("reference"))}</th>']
        heads += (f'<th colspan="3">{escape(labeled.label)}</th>' for labeled in columns)
        parts.append(_table(heads, rows))
    return parts


def _whole_poem_row(label: str, groups: Sequence[tuple[str, ...]]) -> str:
    """Return a row; each of `groups` is a value, its interval and perhaps a difference."""
    cells = "".join(
        f'<td class="{name}">{text}</td>'
        for group in groups
        for name, text in zip(("value", "interval", "distance"), group, strict=False)
    )
    return f"<tr><td>{escape(tr(label))}</td>{cells}</tr>"


def _definitions(report: EvaluationReport) -> str:
    entries = [(metric.label, metric.description) for metric in METRICS.values()]
    if shuffle_rows(report):
        entries += ((measure.label, measure.description) for measure in MEASURES.values())
    rows = (
        f"<dt>{escape(tr(label))}</dt><dd>{escape(tr(description))}</dd>"
        for label, description in entries
    )
    return "<dl>\n" + "\n".join(rows) + "\n</dl>"


def _plots(report: EvaluationReport, columns: Sequence[LabeledColumn]) -> list[str]:
    """Return the plots: quality against diversity, characters by rank, the metrics of each form."""
    parts = []
    if spots := _spots(columns):
        x_label = tr("distinct-2, mean of the forms")
        y_label = tr(METRICS["pattern_and_rhyme"].label)
        parts.append(_plot(spot_plot(tr("Quality against diversity"), spots, x_label, y_label)))
    curves = [
        Curve(labeled.label, labeled.column.rank_frequency, color(i))
        for i, labeled in enumerate(columns)
    ]
    if report.reference:
        rank_frequency = report.reference.rank_frequency
        curves.insert(0, Curve(tr("reference"), rank_frequency, _REFERENCE_COLOR))
    drawn = log_log_plot(tr("Characters by rank"), curves, tr("rank"), tr("share"))
    parts.append(_plot(drawn))
    key = "".join(
        f'<span style="color:{color(i)}">●</span> {escape(labeled.label)}&emsp;'
        for i, labeled in enumerate(columns)
    )
    note = escape(tr("gray band: reference; filled dot: flagged"))
    for section in sections(columns):
        title = tr("Metrics: {forms}", forms=section.title)
        parts.append(f"<h3>{escape(title)}</h3><p>{key}<small>{note}</small></p>")
        parts.append(_plot(interval_plot(title, _interval_rows(section, columns))))
    return parts


def _plot(drawing: str) -> str:
    return f'<div class="scroll">{drawing}</div>'


def _interval_rows(section: Section, columns: Sequence[LabeledColumn]) -> list[Row]:
    numbers = [labeled.num_poems(section.form) for labeled in columns]
    return [
        Row(
            tr(row.metric.label),
            _interval(row.reference, max(numbers)),
            [
                _interval(one.estimate, num, one.flagged) if one else None
                for one, num in zip(row.comparisons, numbers, strict=True)
            ],
        )
        for row in section.rows
    ]


def _interval(estimate: Estimate | None, num_poems: int, flagged: bool = False) -> Interval | None:
    """Return what a plot shows of an estimate: of fewer than `MIN_POEMS` poems, the value only."""
    if estimate is None:
        return None
    value, low, high = astuple(estimate.rounded())
    if num_poems < MIN_POEMS:
        low = high = value
    return Interval(value, low, high, flagged)


def _spots(columns: Sequence[LabeledColumn]) -> list[Spot]:
    """Return a point per column that has both metrics, and one for the reference."""
    spots = []
    for i, labeled in enumerate(columns):
        pairs = [
            (of_form["distinct_2"], of_form["pattern_and_rhyme"])
            for of_form in labeled.column.metrics.values()
            if {"distinct_2", "pattern_and_rhyme"} <= of_form.keys()
        ]
        if not pairs:
            continue
        spots.append(
            Spot(labeled.label, *_mean([(x.estimate, y.estimate) for x, y in pairs]), color(i))
        )
        references = [(x.reference, y.reference) for x, y in pairs if x.reference and y.reference]
        if i == 0 and len(references) == len(pairs):
            spots.append(Spot(tr("reference"), *_mean(references), _REFERENCE_COLOR))
    return spots


def _mean(pairs: Sequence[tuple[Estimate, Estimate]]) -> tuple[float, float]:
    num = len(pairs)
    xs, ys = ([one.rounded().value for one in side] for side in zip(*pairs, strict=True))
    return sum(xs) / num, sum(ys) / num


def _examples(labeled: LabeledColumn) -> str:
    poems = "\n".join(
        f"<p><small>{escape(form)}</small><br>"
        f'<span lang="zh-Hans">{"<br>".join(map(escape, poem.formatted().splitlines()))}</span></p>'
        for form, poem in labeled.column.examples
    )
    return f'<h3>{escape(labeled.label)}</h3>\n<div class="poems">\n{poems}\n</div>'
