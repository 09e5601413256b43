"""The evaluation report as tables for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from poetgen.evaluation.comparison import Comparison
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.metrics.table import ALL, METRICS, Metric
from poetgen.evaluation.report import NOTHING, EvaluationReport, ReportColumn
from poetgen.prosody.forms import FORMS, OTHER

if TYPE_CHECKING:
    from poetgen.model.scoring import Likelihood

_LABEL_WIDTH, _REFERENCE_WIDTH, _COLUMN_WIDTH = 22, 19, 29


class LabeledColumn(NamedTuple):
    """A column of the report with its heading."""

    name: str
    """The model or the file."""
    sampling: str
    """Temperature and sampling mode; empty for a file."""
    column: ReportColumn

    @property
    def label(self) -> str:
        return f"{self.name} {self.sampling}".strip()


class MetricRow(NamedTuple):
    """A metric of the poems of a form: a row of the report."""

    metric: Metric
    reference: Estimate | None
    """The metric of the real poems, from the column with the most poems that has one."""
    comparisons: Sequence[Comparison | None]
    """By column; None where it has no value."""


class Section(NamedTuple):
    """The rows of a form, or of `ALL` forms."""

    form: str
    title: str
    rows: Sequence[MetricRow]


def labeled_columns(report: EvaluationReport) -> list[LabeledColumn]:
    """Return the columns of all runs in order, with the shortest names that differ."""
    names = _short_names([run.model for run in report.runs])
    return [
        LabeledColumn(
            names[run.model],
            "" if run.temperature is None else f"T={run.temperature:g} {mode}",
            column,
        )
        for run in report.runs
        for mode, column in run.columns.items()
    ]


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """Drop the folders that all paths share; a single path keeps its last two parts."""
    split = {path: path.split("/") for path in dict.fromkeys(paths)}
    shared = 0
    shortest = min(map(len, split.values()), default=0)
    while shared < shortest - 2 and len({tuple(p[: shared + 1]) for p in split.values()}) == 1:
        shared += 1
    return {path: "/".join(parts[shared:]) for path, parts in split.items()}


def full_width(report: EvaluationReport) -> int:
    """Return the width of a table of all columns, in characters."""
    num_columns = len(labeled_columns(report))
    return max(100, _LABEL_WIDTH + _REFERENCE_WIDTH + _COLUMN_WIDTH * num_columns)


def report_tables(report: EvaluationReport, width: int) -> list[RenderableType]:
    """Return the settings, the likelihoods, and the metrics of the poems in tables of `width`."""
    tables: list[RenderableType] = [Text("\n".join(heading(report)))]
    if any(run.likelihood for run in report.runs):
        tables.append(_likelihood_table(report))
    columns = labeled_columns(report)
    per_table = max(1, (width - _LABEL_WIDTH - _REFERENCE_WIDTH) // _COLUMN_WIDTH)
    indices = range(len(columns))
    tables += (_metric_table(columns, indices[i : i + per_table]) for i in indices[::per_table])
    if columns:
        tables.append(Group(*(Text(row) for row in legend(report))))
    return tables


def heading(report: EvaluationReport) -> list[str]:
    """Return the settings and the warnings, a row of text each."""
    settings = report.settings
    rows = []
    if settings.poems:
        split = f"{settings.split} split of " if settings.split else ""
        corpus = f", corpus {settings.corpus}" if settings.corpus else ""
        rows.append(
            f"{settings.poems:,} poems: {split}{settings.source}"
            f" (poems {settings.poems_fingerprint}{corpus})"
        )
    models = {run.model: run for run in report.runs if run.fingerprint}.values()
    rows += (
        f"model {run.model} (weights {run.fingerprint}, corpus {run.trained_on})" for run in models
    )
    if sampling := settings.sampling:
        counts = " · ".join(f"{form} {num}" for form, num in sampling.samples_per_form.items())
        particles = f", {sampling.particles} particles" if sampling.particles else ""
        rows.append(
            f"poems generated: {counts}; seed {sampling.seed}, no top-k, top-p or min-p{particles}"
        )
    return [*rows, *settings.warnings]


def legend(report: EvaluationReport) -> list[str]:
    """Return what the cells mean, what is missing, and how many metrics are flagged at random."""
    rows = [
        "In percent: the value, its 95% interval, and its distance to the same number of real poems.",
        "Training lines are looked up in a Bloom filter with one false positive in a thousand; copies "
        "and n-grams are those of the corpus's training split only.",
    ]
    if reference := report.reference:
        second = reference.second_sample
        at_random = (
            f" In a second sample of real poems {second.flagged} of {second.compared} metrics are flagged."
            if second.compared
            else ""
        )
        rows.append(f"*: flagged, the intervals do not overlap.{at_random}")
    real_forms = reference.forms if reference else {}
    rows += filter(None, (_column_note(one, real_forms) for one in labeled_columns(report)))
    missing = {name: reason for run in report.runs for name, reason in run.missing.items()}
    for reason in dict.fromkeys(missing.values()):
        labels = [METRICS[name].label for name in METRICS if missing.get(name) == reason]
        rows.append(f"not measured: {', '.join(labels)}: {reason}")
    return rows


def _column_note(labeled: LabeledColumn, real_forms: Mapping[str, int]) -> str:
    column = labeled.column
    notes = []
    if column.compared:
        notes.append(f"{column.flagged} of {column.compared} metrics flagged")
    if column.forms:
        real = f" (real poems: {_shares(real_forms)})" if real_forms else ""
        notes.append(f"no form given, generated {_shares(column.forms)}{real}")
    if column.failed:
        notes.append(f"{column.failed} poems could not be generated")
    return f"{labeled.label}: {'; '.join(notes)}" if notes else ""


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    forms = [form for form in (*FORMS, OTHER) if form in counts]
    return ", ".join(f"{counts[form] / total:.0%} {form}" for form in forms)


LIKELIHOOD_HEADINGS = ("model", "nats/token", "perplexity", "bits/Han char", "tokens", "unknown")


def likelihood_rows(report: EvaluationReport) -> Iterator[list[str]]:
    """Yield the cells of each model's likelihood, then those of its parts with indented names."""
    for name, one in _named_likelihoods(report):
        yield [
            name,
            f"{one.nats_per_token:.4f}",
            f"{one.perplexity:,.2f}",
            f"{one.bits_per_hanzi:.3f}",
            f"{one.tokens:,}",
            f"{one.unknown_tokens:,}",
        ]


def _named_likelihoods(report: EvaluationReport) -> "Iterator[tuple[str, Likelihood]]":
    for model, likelihood in {run.model: run.likelihood for run in report.runs}.items():
        if likelihood is None:
            continue
        yield model, likelihood.total
        yield from ((f"  {form}", one) for form, one in likelihood.by_form.items())
        for name, one in likelihood.given.items():
            size = f" ({one.poems:,} poems)" if name == NOTHING else ""
            yield f"  given {'all of these' if name == ALL else name}{size}", one
        for order, one in likelihood.baseline.items():
            yield f"  Kneser–Ney, order {order}", one


def _likelihood_table(report: EvaluationReport) -> Table:
    table = Table(Column("model", overflow="fold"), box=None)
    for name in LIKELIHOOD_HEADINGS[1:]:
        table.add_column(name, justify="right")
    for cells in likelihood_rows(report):
        table.add_row(*map(escape, cells))
    return table


def sections(columns: Sequence[LabeledColumn]) -> list[Section]:
    """Return the measured forms, and `ALL` of them, each with the metrics that a column has."""
    most_poems = sorted(columns, key=lambda labeled: -sum(labeled.column.poems.values()))
    found = []
    for form in (*FORMS, ALL):
        ranked, ordered = (
            [labeled.column.metrics.get(form, {}) for labeled in each]
            for each in (most_poems, columns)
        )
        rows = []
        for name, metric in METRICS.items():
            references = (of_form[name].reference for of_form in ranked if name in of_form)
            comparisons = [of_form.get(name) for of_form in ordered]
            if any(comparisons):
                rows.append(MetricRow(metric, next(filter(None, references), None), comparisons))
        if rows:
            found.append(Section(form, "all forms" if form == ALL else form, rows))
    return found


def format_estimate(estimate: Estimate | None) -> tuple[str, str]:
    """Return a value and its interval, in percent.

    >>> format_estimate(Estimate(0.943, 0.9, 1.0))
    ('94.3', '90.0–100.0')
    """
    if estimate is None:
        return "–", ""
    rounded = estimate.rounded()
    return f"{100 * rounded.value:.1f}", f"{100 * rounded.low:.1f}–{100 * rounded.high:.1f}"


def format_comparison(comparison: Comparison | None) -> tuple[str, str, str]:
    """Return a value, its interval and its distance to real poems, in percent; `*`: flagged."""
    value, interval = format_estimate(comparison.estimate if comparison else None)
    if comparison is None or comparison.distance is None:
        return value, interval, ""
    flag = "*" if comparison.flagged else " "
    return value, interval, f"{100 * comparison.distance:+.1f}{flag}"


def _metric_table(columns: Sequence[LabeledColumn], shown: Sequence[int]) -> Table:
    """Return the table of the columns with the indices `shown`; it has the rows of all columns."""
    table = Table(
        Column("", width=_LABEL_WIDTH, no_wrap=True),
        Column("real poems", justify="right", no_wrap=True),
        box=None,
    )
    for i in shown:
        head = "\n".join(filter(None, (columns[i].name, columns[i].sampling)))
        table.add_column(escape(head), justify="right", overflow="fold", max_width=_COLUMN_WIDTH)
    for section in sections(columns):
        sizes = {columns[i].column.poems.get(section.form) for i in shown} - {None}
        counts = f" ({'/'.join(map(str, sorted(filter(None, sizes))))} poems)" if sizes else ""
        table.add_row(Text(section.title + counts, style="bold"))
        for row in section.rows:
            table.add_row(
                f"  {row.metric.label}",
                "{:>5} {:>11}".format(*format_estimate(row.reference)),
                *(
                    "{:>5} {:>11} {:>7}".format(*format_comparison(row.comparisons[i]))
                    for i in shown
                ),
            )
    return table
