"""The evaluation report as one HTML page: tables, plots and unselected poems.

The page is self-contained: it loads nothing from elsewhere.
"""

from collections.abc import Iterable, Sequence
from html import escape

from poetgen.evaluation.comparison import Comparison
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.metrics.table import METRICS
from poetgen.evaluation.report import EvaluationReport
from poetgen.views.charts import (
    Curve,
    Interval,
    Row,
    Spot,
    interval_plot,
    log_log_plot,
    spot_plot,
)
from poetgen.views.report_table import (
    LIKELIHOOD_HEADINGS,
    LabeledColumn,
    format_comparison,
    format_estimate,
    heading,
    labeled_columns,
    legend,
    likelihood_rows,
    sections,
)
from poetgen.views.svg import color

_REFERENCE_COLOR = "#808080"

# The policy forbids all loading; the empty icon keeps browsers from requesting /favicon.ico.
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>poetgen: evaluation</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei",
       "WenQuanYi Micro Hei", sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .1em .4em; text-align: right; white-space: pre; }
td.value, td.likelihood, thead th { padding-left: 2em; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 1px solid; vertical-align: bottom; }
tr.section th { padding-top: 1em; }
td.flagged { font-weight: bold; }
.scroll { overflow-x: auto; }
svg { max-width: 100%; height: auto; display: block; }
.poems { display: flex; flex-wrap: wrap; gap: 1em 2.5em; }
.poems p { margin: 0; }
small { opacity: .7; }
</style>
</head>
<body>
<h1>poetgen: evaluation</h1>
"""


def report_page(report: EvaluationReport) -> str:
    """Return the HTML page of a report."""
    columns = labeled_columns(report)
    parts = [_HEAD, _paragraph(heading(report))]
    if any(run.likelihood for run in report.runs):
        parts += ["<h2>Likelihood of held-out poems</h2>", _likelihood_table(report)]
    if columns:
        parts += ["<h2>Poems</h2>", _paragraph(legend(report)), _metric_table(columns)]
        parts += ["<h2>Plots</h2>", *_plots(report, columns)]
        parts += ["<h2>Examples, not selected</h2>", *map(_examples, columns)]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _paragraph(rows: Iterable[str]) -> str:
    return "<p>" + "<br>\n".join(map(escape, rows)) + "</p>"


def _likelihood_table(report: EvaluationReport) -> str:
    rows = []
    for name, *values in likelihood_rows(report):
        cells = "".join(f'<td class="likelihood">{value}</td>' for value in values)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return _table((f"<th>{one}</th>" for one in LIKELIHOOD_HEADINGS), rows)


def _metric_table(columns: Sequence[LabeledColumn]) -> str:
    rows = []
    for section in sections(columns):
        rows.append(f'<tr class="section"><th>{section.title}</th></tr>')
        for metric, reference, comparisons in section.rows:
            rows.append(
                f'<tr><td title="{escape(metric.description)}">{escape(metric.label)}</td>'
                f"{_reference_cells(reference)}{''.join(map(_comparison_cells, comparisons))}</tr>"
            )
    heads = ["<th></th>", '<th colspan="2">real poems</th>']
    heads += (f'<th colspan="3">{escape(labeled.label)}</th>' for labeled in columns)
    return _table(heads, rows)


def _comparison_cells(comparison: Comparison | None) -> str:
    flagged = " flagged" if comparison and comparison.flagged else ""
    value, interval, distance = format_comparison(comparison)
    return (
        f'<td class="value{flagged}">{value}</td><td>{interval}</td>'
        f'<td class="distance{flagged}">{distance}</td>'
    )


def _reference_cells(estimate: Estimate | None) -> str:
    value, interval = format_estimate(estimate)
    return f'<td class="value">{value}</td><td>{interval}</td>'


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(heads)}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _plots(report: EvaluationReport, columns: Sequence[LabeledColumn]) -> list[str]:
    """Return the plots: quality against diversity, characters by rank, the metrics of each form."""
    parts = []
    if spots := _spots(columns):
        title = "Quality against diversity"
        x_label, y_label = "distinct-2, mean of the forms", METRICS["pattern_and_rhyme"].label
        parts += [spot_plot(title, spots, x_label, y_label)]
    curves = [
        Curve(labeled.label, labeled.column.rank_frequency, color(i))
        for i, labeled in enumerate(columns)
    ]
    if report.reference:
        curves.insert(0, Curve("real poems", report.reference.rank_frequency, _REFERENCE_COLOR))
    title = "Characters by rank"
    parts += [log_log_plot(title, curves, "rank", "share")]
    key = "".join(
        f'<span style="color:{color(i)}">●</span> {escape(labeled.label)}&emsp;'
        for i, labeled in enumerate(columns)
    )
    for section in sections(columns):
        title = f"Metrics: {section.title}"
        rows = [
            Row(
                row.metric.label,
                _interval(row.reference),
                [_interval(one.estimate, one.flagged) if one else None for one in row.comparisons],
            )
            for row in section.rows
        ]
        parts.append(
            f"<h3>{title}</h3><p>{key}<small>gray: real poems; filled: flagged</small></p>"
        )
        parts.append(interval_plot(title, rows))
    return parts


def _interval(estimate: Estimate | None, flagged: bool = False) -> Interval | None:
    if estimate is None:
        return None
    rounded = estimate.rounded()
    return Interval(rounded.value, rounded.low, rounded.high, flagged)


def _spots(columns: Sequence[LabeledColumn]) -> list[Spot]:
    """Return a point per column that has both metrics, and one for the real poems."""
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
            spots.append(Spot("real poems", *_mean(references), _REFERENCE_COLOR))
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
