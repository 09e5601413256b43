"""The evaluation report as rows of text, for the tables of a terminal and for the page.

Texts are in the current language.  Numbers are formatted here, so that terminal and page agree.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from poetgen.evaluation.comparison import Comparison
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.metrics.table import ALL, METRICS, Metric
from poetgen.evaluation.report import (
    NOTHING,
    EvaluationReport,
    ReaderReport,
    ReportColumn,
    RunReport,
)
from poetgen.language import tr, tr_noop, tr_plural
from poetgen.prosody.forms import FORMS, OTHER
from poetgen.runs import BEST

if TYPE_CHECKING:
    from poetgen.engine.scoring import Likelihood

MIN_POEMS = 20
"""Poems that an interval needs to be shown."""
MAX_NAME = 25
"""Columns of a terminal that the name of a model or file may take."""

_NO_VALUE = "–"


class LabeledColumn(NamedTuple):
    """A column of the report with its heading."""

    name: str
    """The model or the file, at most `MAX_NAME` columns wide."""
    sampling: str
    """Temperature and sampling mode; empty for a file."""
    run: RunReport
    column: ReportColumn

    @property
    def label(self) -> str:
        return f"{self.name} {self.sampling}".strip()

    def num_poems(self, form: str) -> int:
        """Return the number of poems measured in a form, or in `ALL` of them."""
        poems = self.column.poems
        return sum(poems.values()) if form == ALL else poems.get(form, 0)


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
    rows: Sequence[MetricRow]

    @property
    def title(self) -> str:
        return tr("all forms") if self.form == ALL else self.form


class SummaryRow(NamedTuple):
    """A row of the summary, as texts."""

    label: str
    reference: str
    values: Sequence[str]
    """By column of the report."""


def labeled_columns(report: EvaluationReport) -> list[LabeledColumn]:
    """Return the columns of all runs in order, with the shortest names that differ."""
    names = short_names([run.model for run in report.runs])
    return [
        LabeledColumn(names[run.model], _sampling(run, mode), run, column)
        for run in report.runs
        for mode, column in run.columns.items()
    ]


def _sampling(run: RunReport, mode: str) -> str:
    if run.temperature is None:
        return ""
    return tr("T={temperature:g} {mode}", temperature=run.temperature, mode=tr(mode))


def short_names(models: Sequence[str]) -> dict[str, str]:
    """Return short, distinct names for model files and files of poems.

    A model of a run has the name of the run, others that of their file; where two are equal, all have
    the folders in which they differ.  Long names are shortened in the middle.
    """
    paths = {model: model.removesuffix(f"/{BEST}").split("/") for model in dict.fromkeys(models)}
    names = {model: parts[-1] for model, parts in paths.items()}
    if len(set(names.values())) < len(names):
        levels = enumerate(zip(*paths.values(), strict=False))
        num_shared = next((i for i, parts in levels if len(set(parts)) > 1), 0)
        names = {model: "/".join(parts[num_shared:]) for model, parts in paths.items()}
    names = {model: shortened(name) for model, name in names.items()}
    if len(set(names.values())) < len(names):
        numbered = enumerate(names.items(), start=1)
        names = {model: shortened(f"{number}: {name}") for number, (model, name) in numbered}
    return names


def shortened(name: str, width: int = MAX_NAME) -> str:
    """Return `name` in at most `width` columns of a terminal, the middle replaced by "…" if necessary.

    >>> shortened("tang-pretrained-on-song.safetensors", 16)
    'tang-pr…etensors'
    """
    if cell_len(name) <= width:
        return name
    head, tail = name[: len(name) // 2], name[len(name) // 2 :]
    while cell_len(head) + 1 + cell_len(tail) > width:
        if cell_len(head) > cell_len(tail) - 1:
            head = head[:-1]
        else:
            tail = tail[1:]
    return f"{head}…{tail}"


def heading(report: EvaluationReport) -> list[str]:
    """Return what was evaluated on, the full names of shortened ones, and the warnings, as rows."""
    settings = report.settings
    rows = []
    if settings.poems and settings.split:
        rows.append(
            tr(
                "Evaluated on {num:,} poems, the {split} split of {source}.",
                num=settings.poems,
                split=tr(settings.split),
                source=settings.source,
            )
        )
    elif settings.poems:
        rows.append(
            tr_plural(
                settings.poems,
                "Evaluated on {num:,} poem of {source}.",
                "Evaluated on {num:,} poems of {source}.",
                source=settings.source,
            )
        )
    names = short_names([run.model for run in report.runs])
    rows += (f"{name}: {model}" for model, name in names.items() if name != model)
    return [*rows, *settings.warnings]


def summary(report: EvaluationReport) -> list[SummaryRow]:
    """Return the five rows of the summary; none without generated poems."""
    columns = labeled_columns(report)
    found = sections(columns)
    if not found:
        return []
    second = report.reference.second_sample if report.reference else None
    return [
        SummaryRow(
            tr("perplexity of the real poems"),
            _NO_VALUE,
            [_perplexity(labeled.run) for labeled in columns],
        ),
        _summary_row(tr("poems in form"), "in_form", found[0]),
        _summary_row(tr("poems in form that rhyme"), "rhyme", found[0]),
        _summary_row(tr("lines copied from the training text"), "verbatim_lines", found[0]),
        SummaryRow(
            tr("metrics flagged as different"),
            _flagged(second.flagged, second.compared) if second else _NO_VALUE,
            [_flagged(one.column.flagged, one.column.compared) for one in columns],
        ),
    ]


def _perplexity(run: RunReport) -> str:
    if run.likelihood is None:
        return _NO_VALUE
    value = f"{run.likelihood.total.perplexity:,.2f}"
    if not run.likelihood.baseline:
        return value
    best = min(one.perplexity for one in run.likelihood.baseline.values())
    return tr("{value} (Kneser–Ney {baseline:,.2f})", value=value, baseline=best)


def _summary_row(label: str, key: str, section: Section) -> SummaryRow:
    for metric, reference, comparisons in section.rows:
        if metric is METRICS[key]:
            estimates = (one.estimate if one else None for one in comparisons)
            return SummaryRow(label, _percent(reference), [_percent(one) for one in estimates])
    num_columns = len(section.rows[0].comparisons)
    return SummaryRow(label, _NO_VALUE, [_NO_VALUE] * num_columns)


def _percent(estimate: Estimate | None) -> str:
    return _NO_VALUE if estimate is None else f"{100 * estimate.rounded().value:.1f}%"


def _flagged(num_flagged: int, num_compared: int) -> str:
    if not num_compared:
        return _NO_VALUE
    return tr("{flagged} of {compared}", flagged=num_flagged, compared=num_compared)


def legend(report: EvaluationReport) -> list[str]:
    """Return notes: what the cells mean, what is missing, and how many metrics are flagged at random."""
    columns = labeled_columns(report)
    if not columns:
        return []
    rows = [
        tr(
            "Reference: the same number of real poems of the same forms. Differences are from the "
            "reference."
        )
    ]
    if reference := report.reference:
        rows.append(tr("* flagged: the two intervals do not overlap."))
        if (second := reference.second_sample).compared:
            rows.append(
                tr(
                    "In a second sample of real poems, {flagged} of {compared} metrics are flagged.",
                    flagged=second.flagged,
                    compared=second.compared,
                )
            )
    rows += _too_few_note(columns)
    rows.append(
        tr(
            "Copied lines are found with the model's record of its training lines (one false positive "
            "in a thousand), longer copies and n-grams with the training split of the corpus."
        )
    )
    real_forms = reference.forms if reference else {}
    rows += filter(None, (_column_note(one, real_forms) for one in columns))
    missing = {name: reason for run in report.runs for name, reason in run.missing.items()}
    for reason in dict.fromkeys(missing.values()):
        labels = [tr(METRICS[name].label) for name in METRICS if missing.get(name) == reason]
        rows.append(
            tr("Not measured: {metrics} ({reason}).", metrics=_joined(labels), reason=tr(reason))
        )
    return rows


def _too_few_note(columns: Sequence[LabeledColumn]) -> list[str]:
    """Return a row that explains missing intervals, if any is missing."""
    few: dict[str, int] = {}
    for section in sections(columns):
        numbers = [num for one in columns if (num := one.num_poems(section.form))]
        if (fewest := min(numbers, default=MIN_POEMS)) < MIN_POEMS:
            few[section.title] = fewest
    counts = _joined([f"{title} {num}" for title, num in few.items()])
    note = tr("Too few poems for an interval, and for reliable flags: {counts}.", counts=counts)
    return [note] if few else []


def _column_note(labeled: LabeledColumn, real_forms: Mapping[str, int]) -> str:
    column = labeled.column
    notes = []
    if column.forms:
        shares = _shares(column.forms)
        notes.append(
            tr(
                "generated without a form: {shares} (real poems: {real})",
                shares=shares,
                real=_shares(real_forms),
            )
            if real_forms
            else tr("generated without a form: {shares}", shares=shares)
        )
    if column.failed:
        notes.append(
            tr_plural(
                column.failed,
                "{num:,} poem could not be generated",
                "{num:,} poems could not be generated",
            )
        )
    return f"{labeled.label}: {'; '.join(notes)}" if notes else ""


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    forms = [form for form in (*FORMS, OTHER) if form in counts]
    return _joined([f"{_form_name(form)} {counts[form] / total:.0%}" for form in forms])


def _form_name(form: str) -> str:
    return tr("other") if form == OTHER else form


def _joined(names: Sequence[str]) -> str:
    return tr(", ").join(names)


def settings_rows(report: EvaluationReport) -> list[str]:
    """Return fingerprints and the settings of the generated poems, as rows."""
    settings = report.settings
    rows = []
    if sampling := settings.sampling:
        counts = _joined([f"{form} {num:,}" for form, num in sampling.samples_per_form.items()])
        rows.append(
            tr(
                "Generated poems: {counts}; seed {seed}; no top-k, top-p or min-p.",
                counts=counts,
                seed=sampling.seed,
            )
        )
        if sampling.particles:
            rows.append(tr("Particles of a constrained poem: {num}.", num=sampling.particles))
    if settings.poems:
        prints = {"poems": settings.poems_fingerprint, "corpus": settings.corpus}
        rows.append(
            tr("Fingerprints: poems {poems}, corpus {corpus}.", **prints)
            if settings.corpus
            else tr("Fingerprint of the poems: {poems}.", poems=settings.poems_fingerprint)
        )
    names = short_names([run.model for run in report.runs])
    rows += (
        tr(
            "{model}: weights {weights}, trained on corpus {corpus}.",
            model=names[run.model],
            weights=run.fingerprint,
            corpus=run.trained_on,
        )
        for run in {run.model: run for run in report.runs if run.fingerprint}.values()
    )
    return rows


LIKELIHOOD_HEADINGS = (
    tr_noop("model"),
    tr_noop("nats/token"),
    tr_noop("perplexity"),
    tr_noop("bits/Han char"),
    tr_noop("tokens"),
    tr_noop("unknown"),
)
_CONDITIONS = {
    NOTHING: tr_noop("unconditional ({num:,} poems)"),
    "form": tr_noop("conditioned on form"),
    "author": tr_noop("conditioned on author"),
    "title": tr_noop("conditioned on title"),
    ALL: tr_noop("conditioned on all"),
}


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
    names = short_names([run.model for run in report.runs])
    for model, likelihood in {run.model: run.likelihood for run in report.runs}.items():
        if likelihood is None:
            continue
        yield names[model], likelihood.total
        yield from ((f"  {_form_name(form)}", one) for form, one in likelihood.by_form.items())
        for name, one in likelihood.given.items():
            yield f"  {tr(_CONDITIONS[name], num=one.poems)}", one
        for order, one in likelihood.baseline.items():
            yield f"  {tr('Kneser–Ney, order {order}', order=order)}", one


def reader_headings() -> list[str]:
    """Return the headings of `reader_rows`."""
    return [
        tr("accuracy against real Tang poems"),
        tr("all forms"),
        tr("pools of five"),
        *FORMS,
    ]


def reader_rows(report: ReaderReport) -> Iterator[list[str]]:
    """Yield the cells of each source: the accuracy of the strongest judges, with intervals."""
    names = short_names([row.name for row in report.rows])
    for row in report.rows:
        name = names[row.name]
        if row.temperature is not None:
            name += f" T {row.temperature:g}"
        verdicts = [row.forms.get(form) for form in FORMS]
        yield [
            name,
            *(" ".join(format_estimate(one)) for one in (row.pooled, row.pools)),
            *(
                f"{' '.join(format_estimate(one.accuracy, one.num_judged))} {tr(one.judge)}"
                if one
                else _NO_VALUE
                for one in verdicts
            ),
        ]


def reader_notes(report: ReaderReport) -> list[str]:
    """Return what the numbers of the reader's test mean."""
    return [
        tr(
            "Accuracy in % with a 95% interval, in telling poems from real Tang poems of the same form: "
            "50 is a guess."
        ),
        tr(
            "Three judges learn from {num:,} poems of each source at most; the one that is best on "
            "poems for selection judges others.",
            num=report.size,
        ),
        tr("Generated poems: form given, nothing enforced; seed {seed}.", seed=report.seed),
    ]


def sections(columns: Sequence[LabeledColumn]) -> list[Section]:
    """Return `ALL` forms, if several were measured, then each form, with the metrics of a column."""
    most_poems = sorted(columns, key=lambda labeled: -labeled.num_poems(ALL))
    found = []
    for form in (ALL, *FORMS):
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
            found.append(Section(form, rows))
    return found


def format_estimate(estimate: Estimate | None, num_poems: int = MIN_POEMS) -> tuple[str, str]:
    """Return a value and, of at least `MIN_POEMS` poems, its interval, in percent.

    >>> format_estimate(Estimate(0.943, 0.9, 1.0))
    ('94.3', '90.0–100.0')
    """
    if estimate is None:
        return _NO_VALUE, ""
    rounded = estimate.rounded()
    interval = f"{100 * rounded.low:.1f}–{100 * rounded.high:.1f}"
    return f"{100 * rounded.value:.1f}", interval if num_poems >= MIN_POEMS else ""


def format_comparison(
    comparison: Comparison | None, num_poems: int = MIN_POEMS
) -> tuple[str, str, str]:
    """Return a value, its interval and its distance to real poems, in percent; `*`: flagged."""
    value, interval = format_estimate(comparison.estimate if comparison else None, num_poems)
    if comparison is None or comparison.distance is None:
        return value, interval, ""
    flag = "*" if comparison.flagged else " "
    return value, interval, f"{100 * comparison.distance:+.1f}{flag}"
