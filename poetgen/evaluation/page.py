"""The report as one HTML page: tables, plots and unselected poems, with nothing to load from elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from poetgen.data.poem import Poem
from poetgen.evaluation.measures import ALL, MEASURES
from poetgen.evaluation.plots import (
    Curve,
    Interval,
    Row,
    Spot,
    colour,
    interval_plot,
    log_log_plot,
    spot_plot,
)
from poetgen.evaluation.table import (
    LIKELIHOOD_HEADINGS,
    Lot,
    difference,
    figure,
    heading,
    human_of,
    legend,
    likelihood_cells,
    likelihood_rows,
    lots,
    sections,
)

_HUMAN_COLOUR = "#808080"

# Nothing may be loaded from anywhere, by the browser's own rule; the empty icon keeps it from asking.
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
td.marked { font-weight: bold; }
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


def page(report: Mapping[str, Any]) -> str:
    """The page of a report."""
    columns = lots(report)
    parts = [_HEAD, _paragraphs(heading(report))]
    if any(run["likelihood"] for run in report["runs"]):
        parts += ["<h2>Likelihood of held-out poems</h2>", _likelihood_table(report)]
    if columns:
        parts += ["<h2>Poems</h2>", _paragraphs(legend(report)), _figure_table(columns)]
        parts += ["<h2>Plots</h2>", *_plots(report, columns)]
        parts += ["<h2>Examples, not selected</h2>", *map(_examples, columns)]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _paragraphs(lines: Iterable[str]) -> str:
    return "<p>" + "<br>\n".join(map(escape, lines)) + "</p>"


def _likelihood_table(report: Mapping[str, Any]) -> str:
    rows = []
    for name, one in likelihood_rows(report):
        cells = "".join(f'<td class="likelihood">{cell}</td>' for cell in likelihood_cells(one))
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return _table((f"<th>{name}</th>" for name in ("model", *LIKELIHOOD_HEADINGS)), rows)


def _figure_table(columns: Sequence[Lot]) -> str:
    rows = []
    for form, names in sections(columns):
        rows.append(f'<tr class="section"><th>{_form_name(form)}</th></tr>')
        for name in names:
            cells = [lot.column["figures"].get(form, {}).get(name) for lot in columns]
            measure = MEASURES[name]
            rows.append(
                f'<tr><td title="{escape(measure.meaning)}">{escape(measure.label)}</td>'
                f"{_human_cells(human_of(columns, form, name))}"
                f"{''.join(map(_figure_cells, cells))}</tr>"
            )
    heads = ["<th></th>", '<th colspan="2">real poems</th>']
    heads += (f'<th colspan="3">{escape(lot.label)}</th>' for lot in columns)
    return _table(heads, rows)


def _figure_cells(cell: Mapping[str, Any] | None) -> str:
    mark = " marked" if cell and cell["marked"] else ""
    value, interval = figure(cell)
    return (
        f'<td class="value{mark}">{value}</td><td>{interval}</td>'
        f'<td class="distance{mark}">{difference(cell)}</td>'
    )


def _human_cells(estimate: Mapping[str, float] | None) -> str:
    value, interval = figure(estimate)
    return f'<td class="value">{value}</td><td>{interval}</td>'


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(heads)}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _form_name(form: str) -> str:
    return "all forms" if form == ALL else form


def _plots(report: Mapping[str, Any], columns: Sequence[Lot]) -> list[str]:
    """Quality against diversity, rank and frequency, and the figures of each form."""
    key = "".join(
        f'<span style="color:{colour(i)}">●</span> {escape(lot.label)}&emsp;'
        for i, lot in enumerate(columns)
    )
    parts = []
    if spots := _spots(columns):
        parts.append("<h3>Quality against diversity</h3>")
        parts.append(
            spot_plot(
                "Quality against diversity",
                spots,
                "distinct-2, mean of the forms",
                MEASURES["pattern_and_rhyme"].label,
            )
        )
    parts.append("<h3>Characters by rank</h3>")
    parts.append(log_log_plot("Characters by rank", _curves(report, columns), "rank", "share"))
    for form, names in sections(columns):
        title = f"Figures: {_form_name(form)}"
        rows = [_row(columns, form, name) for name in names]
        parts.append(f"<h3>{title}</h3><p>{key}<small>grey: real poems; filled: marked</small></p>")
        parts.append(interval_plot(title, rows))
    return parts


def _row(columns: Sequence[Lot], form: str, name: str) -> Row:
    cells = [lot.column["figures"].get(form, {}).get(name) for lot in columns]
    return Row(
        MEASURES[name].label,
        _interval(human_of(columns, form, name)),
        [_interval(cell) for cell in cells],
    )


def _interval(cell: Mapping[str, Any] | None) -> Interval | None:
    if cell is None:
        return None
    return Interval(cell["value"], cell["low"], cell["high"], bool(cell.get("marked")))


def _curves(report: Mapping[str, Any], columns: Sequence[Lot]) -> list[Curve]:
    human = report["human"]
    real = [Curve("real poems", human["rank_frequency"], _HUMAN_COLOUR)] if human else []
    return real + [
        Curve(lot.label, lot.column["rank_frequency"], colour(i)) for i, lot in enumerate(columns)
    ]


def _spots(columns: Sequence[Lot]) -> list[Spot]:
    """A point for each column that has both figures, and one for the real poems."""
    spots = []
    for i, lot in enumerate(columns):
        figures = lot.column["figures"]
        pairs = [
            (cells["distinct_2"], cells["pattern_and_rhyme"])
            for cells in figures.values()
            if {"distinct_2", "pattern_and_rhyme"} <= cells.keys()
        ]
        if not pairs:
            continue
        spots.append(Spot(lot.label, *_mean_pair(pairs), colour(i)))
        real = [(one["human"], other["human"]) for one, other in pairs]
        if i == 0 and all(one and other for one, other in real):
            spots.append(Spot("real poems", *_mean_pair(real), _HUMAN_COLOUR))
    return spots


def _mean_pair(
    pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]],
) -> tuple[float, float]:
    num = len(pairs)
    return sum(one["value"] for one, _ in pairs) / num, sum(y["value"] for _, y in pairs) / num


def _examples(lot: Lot) -> str:
    poems = "\n".join(
        f"<p><small>{escape(one['form'])}</small><br>"
        f'<span lang="zh-Hans">{"<br>".join(map(escape, Poem(one["poem"]).laid_out().splitlines()))}'
        "</span></p>"
        for one in lot.column["examples"]
    )
    return f'<h3>{escape(lot.label)}</h3>\n<div class="poems">\n{poems}\n</div>'
