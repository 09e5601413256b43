"""Training curves of runs as one HTML page: a summary, charts, and the values of each epoch.

The page is self-contained: it loads nothing from elsewhere and runs no script.
"""

from collections.abc import Iterable, Sequence
from html import escape

from poetgen.language import current_language, tr
from poetgen.progress import format_duration
from poetgen.training.history import Axis, RunHistory, perplexity
from poetgen.views.run_figure import learning_rate_chart, perplexity_chart
from poetgen.views.run_table import run_cells, run_headings

# The policy forbids all loading; the empty icon keeps browsers from requesting /favicon.ico.
_HEAD = """<!doctype html>
<html lang="__LANGUAGE__">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>__TITLE__ · poetgen</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei",
       "WenQuanYi Micro Hei", sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .1em 1em .1em 0; text-align: right; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
thead th { border-bottom: 1px solid; vertical-align: bottom; }
.scroll { overflow-x: auto; }
svg { max-width: 100%; height: auto; display: block; margin: 1.5em 0; }
small { opacity: .7; }
</style>
</head>
<body>
<h1>__TITLE__</h1>
"""


def run_page(histories: Sequence[RunHistory], axis: Axis) -> str:
    """Return the page of runs, with charts over `axis`."""
    title = tr("Training curves")
    language = "zh-Hans" if current_language() == "zh" else "en"
    note = tr(
        "Thin: training, with dropout, averaged over batches. Dots: validation, after each epoch. "
        "Training perplexity above the axis is left out."
    )
    parts = [
        _HEAD.replace("__LANGUAGE__", language).replace("__TITLE__", escape(title)),
        _table(run_headings(), map(run_cells, histories)),
        perplexity_chart(histories, axis),
        f"<p><small>{escape(note)}</small></p>",
        learning_rate_chart(histories, axis),
        *map(_epochs, histories),
    ]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _epochs(history: RunHistory) -> str:
    """Return the values of each epoch, folded away."""
    headings = [tr("epoch"), tr("training perplexity"), tr("validation perplexity"), tr("time")]
    rows = (
        [
            str(one.epoch),
            f"{perplexity(one.train_nats_per_token):,.2f}",
            f"{perplexity(one.valid_nats_per_token):,.2f}",
            format_duration(one.seconds),
        ]
        for one in history.validations
    )
    summary = tr("Epochs of {run}", run=history.name)
    table = _table(headings, rows)
    return f"<details><summary>{escape(summary)}</summary>\n{table}</details>"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )
