"""The evaluation report: frozen dataclasses, and their JSON form.

To add a metric, add an entry to `METRICS` in `poetgen.evaluation.metrics.table`: the JSON, the tables and
the page show it without further changes.  To add a column of generated poems, add a sampling mode to
`MODES` in `poetgen.evaluation.samples`.  To add a value to a run, add a field to
`RunReport`, fill it in `poetgen.evaluation.evaluate`, and give it a key in `report_to_json`.

Fields are named and ordered like the JSON keys, which docs/reference/json.md documents.  Does not
import torch, so that views can use it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from poetgen.data.poem import Poem
from poetgen.evaluation.comparison import Comparison, ComparisonsByForm
from poetgen.evaluation.intervals import Estimate, wilson_share
from poetgen.evaluation.whole_poems import ShuffleTest

if TYPE_CHECKING:
    from poetgen.engine.scoring import Likelihood

NOTHING = "nothing"
"""Key of the likelihood without conditions."""

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
RankFrequency: TypeAlias = Sequence[tuple[int, float]]
"""(rank, share of the text) of the characters, by rank."""


@dataclass(frozen=True)
class SamplingSettings:
    """How poems were generated."""

    samples_per_form: Mapping[str, int]
    temperatures: Sequence[float]
    seed: int
    particles: int | None
    """Particles of a constrained poem; None if no constrained poems were generated."""


@dataclass(frozen=True)
class ReportSettings:
    """The poems evaluated on, and how they were evaluated."""

    source: str
    split: str | None
    corpus: str | None
    """Fingerprint of the corpus."""
    poems: int
    """Number of poems."""
    poems_fingerprint: str
    num_excluded: int
    warnings: Sequence[str]
    precision: str = "int8"
    sampling: SamplingSettings | None = None
    """None if only the likelihood was evaluated."""


@dataclass(frozen=True)
class LikelihoodReport:
    """Likelihoods of the held-out poems under one model."""

    total: "Likelihood"
    by_form: Mapping[str, "Likelihood"]
    given: Mapping[str, "Likelihood"]
    """By condition, of a random subset of the poems; empty for a model without conditions."""
    baseline: Mapping[int, "Likelihood"] = field(default_factory=dict)
    """By order, under Kneser–Ney models; empty if none were trained."""


@dataclass(frozen=True)
class ReportColumn:
    """Metrics of a sample of poems."""

    poems: Mapping[str, int]
    """By form, the number of poems measured."""
    form_given: bool
    """Whether the model was conditioned on the form."""
    generated: int
    """Number of poems generated."""
    failed: int
    """Number of poems whose constraints could not be met."""
    forms: Mapping[str, int]
    """If poems were sorted by the form they came out in: how many were generated in each."""
    compared: int
    """Number of metrics that were compared with real poems."""
    flagged: int
    """Number of metrics that differ from those of real poems."""
    metrics: ComparisonsByForm
    rank_frequency: RankFrequency
    examples: Sequence[tuple[str, Poem]]
    """(form, poem), not selected."""
    whole_poems: Mapping[str, Comparison] = field(default_factory=dict)
    """By informative measure, of all forms pooled."""
    titled: int = 0
    """Number of poems that were generated for the titles of real poems."""


@dataclass(frozen=True)
class RunReport:
    """A model at one temperature, or a file of generated poems."""

    model: str
    """The model file, or the file of poems."""
    fingerprint: str | None = None
    """Fingerprint of the weights; None for a file of poems, as are the next three."""
    trained_on: str | None = None
    """Fingerprint of the training corpus."""
    likelihood: LikelihoodReport | None = None
    temperature: float | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    """Metrics that could not be computed, each with the reason."""
    columns: Mapping[str, ReportColumn] = field(default_factory=dict)
    """By sampling mode; empty if only the likelihood was evaluated."""


@dataclass(frozen=True)
class NullSample:
    """A second sample of real poems, measured as if a model had generated it."""

    poems: Mapping[str, int]
    """Number of poems by form."""
    compared: int
    flagged: int


@dataclass(frozen=True)
class ReferenceReport:
    """The real poems that generated poems are compared with."""

    poems: Mapping[str, int]
    """Number of poems by form."""
    forms: Mapping[str, int]
    """All poems of the evaluation set, by form."""
    second_sample: NullSample
    rank_frequency: RankFrequency
    whole_poems: Mapping[str, ShuffleTest] = field(default_factory=dict)
    """By measure, real poems against shuffled ones; empty without training text."""


@dataclass(frozen=True)
class Verdict:
    """The judges' accuracy on the poems of one form."""

    judge: str
    """The strongest on the selection poems, the only one that judged."""
    selection: Mapping[str, float]
    """By judge, the accuracy on the selection poems."""
    num_learned: int
    """Poems of each source that the judges learned from."""
    num_judged: int
    """Poems judged, half of them real."""
    num_right: int
    num_pools: int
    """Pools of poems of one source that were judged."""
    pools_right: int

    @property
    def accuracy(self) -> Estimate:
        return wilson_share(self.num_right, self.num_judged)


@dataclass(frozen=True)
class ReaderRow:
    """A source of poems in the reader's test."""

    name: str
    temperature: float | None
    """None for what is not a model."""
    forms: Mapping[str, Verdict]
    pooled: Estimate | None
    """Accuracy over all forms; None if no form has enough poems."""
    pools: Estimate | None
    """Accuracy on pools of poems, over all forms."""


@dataclass(frozen=True)
class ReaderReport:
    """The reader's test."""

    size: int
    """Poems of each source and form that a judge learned from, at most."""
    seed: int
    rows: Sequence[ReaderRow]


@dataclass(frozen=True)
class EvaluationReport:
    """Everything that an evaluation measured."""

    settings: ReportSettings
    reference: ReferenceReport | None
    """None without real poems, and if only the likelihood was evaluated."""
    runs: Sequence[RunReport]
    reader: ReaderReport | None = None
    """None if the reader's test was not asked for."""


def report_to_json(report: EvaluationReport) -> dict[str, Json]:
    """Return the report as JSON values, rounded to the digits that are worth keeping."""
    settings = asdict(report.settings)
    sampling = settings.pop("sampling")
    return {
        "settings": settings | (sampling or {}),
        "reference": _reference_json(report.reference) if report.reference else None,
        "runs": [_run_json(run) for run in report.runs],
        **({"reader": _reader_json(report.reader)} if report.reader else {}),
    }


def _reader_json(report: ReaderReport) -> dict[str, Json]:
    return asdict(report) | {
        "rows": [
            {
                "name": row.name,
                "temperature": row.temperature,
                "pooled": asdict(row.pooled.rounded()) if row.pooled else None,
                "pools": asdict(row.pools.rounded()) if row.pools else None,
                "forms": {
                    form: asdict(one) | {"accuracy": asdict(one.accuracy.rounded())}
                    for form, one in row.forms.items()
                },
            }
            for row in report.rows
        ]
    }


def _reference_json(reference: ReferenceReport) -> dict[str, Json]:
    return asdict(reference) | {
        "whole_poems": {
            name: {
                "poems": test.poems,
                "area": asdict(test.area.rounded()),
                "real": asdict(test.real.rounded()),
                "shuffled": asdict(test.shuffled.rounded()),
                "informative": test.informative,
            }
            for name, test in reference.whole_poems.items()
        }
    }


def _run_json(run: RunReport) -> dict[str, Json]:
    values: dict[str, Json] = {
        "model": run.model,
        "fingerprint": run.fingerprint,
        "trained_on": run.trained_on,
        "likelihood": _likelihoods_json(run.likelihood) if run.likelihood else None,
    }
    if run.columns:
        values |= {"temperature": run.temperature, "missing": run.missing}
        values |= {mode: _column_json(column) for mode, column in run.columns.items()}
    return values


def _likelihoods_json(report: LikelihoodReport) -> dict[str, Json]:
    values = _likelihood_json(report.total)
    values["forms"] = {form: _likelihood_json(one) for form, one in report.by_form.items()}
    values["given"] = {name: _likelihood_json(one) for name, one in report.given.items()}
    if report.baseline:
        values["baseline"] = {str(n): _likelihood_json(one) for n, one in report.baseline.items()}
    return values


def _likelihood_json(likelihood: "Likelihood") -> dict[str, Json]:
    perplexity = likelihood.perplexity
    return {
        "poems": likelihood.poems,
        "tokens": likelihood.tokens,
        "unknown_tokens": likelihood.unknown_tokens,
        "nats_per_token": round(likelihood.nats_per_token, 6),
        # JSON has no infinity.
        "perplexity": round(perplexity, 4) if math.isfinite(perplexity) else None,
        "bits_per_hanzi": round(likelihood.bits_per_hanzi, 5),
    }


def _column_json(column: ReportColumn) -> dict[str, Json]:
    return asdict(column) | {
        "metrics": {
            form: {name: _comparison_json(one) for name, one in by_name.items()}
            for form, by_name in column.metrics.items()
        },
        "whole_poems": {name: _comparison_json(one) for name, one in column.whole_poems.items()},
        "examples": [{"form": form, "poem": poem.text} for form, poem in column.examples],
    }


def _comparison_json(comparison: Comparison) -> dict[str, Json]:
    reference = comparison.reference
    return asdict(comparison.estimate.rounded()) | {
        "reference": asdict(reference.rounded()) if reference else None,
        "distance": comparison.distance,
        "flagged": comparison.flagged,
    }
