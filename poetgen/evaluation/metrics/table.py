"""The table of metrics: every metric of poems is declared once, in `METRICS`.

To add a metric, write its computation (of verse here, else in `diversity` or `novelty`) and add an
entry to `METRICS`; its key then appears in the JSON report, the tables and the page.  Poems are measured
the same way whether a model, a poet or a file is their source.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from poetgen.data.poem import Poem
from poetgen.evaluation.intervals import Estimate, bootstrap_mean, jackknife
from poetgen.evaluation.metrics.diversity import (
    distinct,
    frequencies,
    js_distance,
    repeated_characters,
    repeated_lines,
    self_bleu,
)
from poetgen.evaluation.metrics.novelty import TrainingLines, TrainingNGrams, seen_rate
from poetgen.evaluation.ngram_index import Ints
from poetgen.prosody.scan import Scan, scan

ALL = "all"
"""The four forms together."""


REASONS = {
    "training_lines": "neither the training text nor its fingerprints are available",
    "training_ngrams": "the training text is not available",
    "other_poems": "no held-out poems are left to compare with",
}
"""Why a metric is missing, by the field of `Background` that is empty."""


@dataclass(frozen=True)
class Background:
    """The data that poems are measured against."""

    training_lines: TrainingLines = field(default_factory=TrainingLines)
    training_ngrams: TrainingNGrams | None = None
    other_poems: Sequence[Poem] = ()
    """Held-out poems whose n-gram frequencies are compared with."""
    seed: int = 1
    """Seed of the bootstrap."""

    @cached_property
    def other_frequencies(self) -> dict[int, Mapping[str, int]]:
        """Frequencies of characters (1) and of bigrams (2) in `other_poems`."""
        return {n: frequencies(self.other_poems, n) for n in (1, 2)}

    @cached_property
    def missing(self) -> dict[str, str]:
        """Return the metrics that cannot be computed, each with the reason."""
        return {
            name: REASONS[metric.requires]
            for name, metric in METRICS.items()
            if metric.requires and not getattr(self, metric.requires)
        }


@dataclass(frozen=True)
class MeasuredPoem:
    """A poem, the form it was requested in, and what several metrics derive from it."""

    poem: Poem
    form: str
    background: Background

    @cached_property
    def scan(self) -> Scan | None:
        """The scansion; None for a poem that does not have the form's lines and characters."""
        found = scan(self.poem.lines)
        return found if found and found.form.name == self.form else None

    @cached_property
    def match_lengths(self) -> Ints:
        """See `TrainingNGrams.match_lengths`."""
        assert self.background.training_ngrams is not None
        return self.background.training_ngrams.match_lengths(self.poem)


@dataclass(frozen=True)
class Metric:
    """A row of the report: a value from 0 to 1, of each poem or of a whole sample."""

    label: str
    description: str
    of_poem: Callable[[MeasuredPoem], float | None] | None = None
    """The value of one poem, averaged over the sample; None for a poem without a value."""
    of_sample: Callable[[Sequence[Poem], Background], float] | None = None
    """The value of the sample as a whole."""
    requires: str = ""
    """The field of `Background` that the metric needs."""
    one_form_only: bool = False
    """Whether the value depends on the number of poems, so that forms are not pooled."""


def _verse(label: str, description: str, rule: Callable[[Scan], float]) -> Metric:
    """Return the metric of `rule`, applied to poems in form; the others have no value."""
    return Metric(label, description, lambda one: float(rule(one.scan)) if one.scan else None)


def _copied(length: int) -> Metric:
    return Metric(
        f"copies ≥ {length}",
        f"poems with {length} consecutive characters of the training text",
        of_poem=lambda measured: float((measured.match_lengths >= length).any()),
        requires="training_ngrams",
    )


def _seen(n: int) -> Metric:
    return Metric(
        f"{n}-grams seen",
        f"runs of {n} characters that occur in the training text",
        of_poem=lambda measured: seen_rate(measured.match_lengths, n),
        requires="training_ngrams",
    )


def _distinct(n: int, description: str) -> Metric:
    return Metric(
        f"distinct-{n}",
        description,
        of_sample=lambda poems, _: distinct(poems, n),
        one_form_only=True,
    )


def _js(label: str, n: int, description: str) -> Metric:
    return Metric(
        label,
        description,
        of_sample=lambda poems, background: js_distance(
            frequencies(poems, n), background.other_frequencies[n]
        ),
        requires="other_poems",
    )


METRICS = {
    "in_form": Metric(
        "in form",
        "poems with the lines and characters of the form",
        of_poem=lambda measured: float(measured.scan is not None),
    ),
    "rhyme": _verse(
        "rhyme", "poems in form whose even lines share a rhyme group", lambda s: bool(s.rhyme)
    ),
    "level_rhyme": _verse(
        "level rhyme", "… and the group is of the level tone", lambda s: s.level_rhyme
    ),
    "first_line_rhymes": _verse(
        "line 1 rhymes", "… and line 1 shares it", lambda s: s.first_line_rhymes
    ),
    "alternation": _verse(
        "2-4-6 alternation",
        "lines whose even positions alternate",
        lambda s: sum(line.alternates for line in s.lines) / len(s.lines),
    ),
    "opposed": _verse(
        "对", "poems with opposite tones in position 2 of each couplet", lambda s: all(s.opposed)
    ),
    "joined": _verse(
        "粘", "poems with equal tones in position 2 across couplets", lambda s: all(s.joined)
    ),
    "no_lone_level": _verse(
        "no 孤平",
        "poems without an isolated level tone",
        lambda s: not any(line.lone_level for line in s.lines),
    ),
    "no_three_level_end": _verse(
        "no 三平尾",
        "poems without a line that ends in three level tones",
        lambda s: not any(line.three_level_end for line in s.lines),
    ),
    "pattern_and_rhyme": _verse(
        "pattern and rhyme",
        "poems in the relaxed pattern throughout, with a level rhyme",
        lambda s: s.level_rhyme and not any(line.breaks for line in s.lines),
    ),
    "distinct_1": _distinct(1, "distinct characters over all characters"),
    "distinct_2": _distinct(2, "distinct pairs over all pairs"),
    "self_bleu_2": Metric(
        "self-BLEU-2",
        "overlap of a poem with all the others",
        of_sample=lambda poems, _: self_bleu(poems),
        one_form_only=True,
    ),
    "repeated_characters": Metric(
        "repeated characters",
        "characters that occur earlier in their poem",
        of_poem=lambda measured: repeated_characters(measured.poem),
    ),
    "repeated_lines": Metric(
        "repeated lines",
        "lines that occur earlier in the sample",
        of_sample=lambda poems, _: repeated_lines(poems),
        one_form_only=True,
    ),
    "verbatim_lines": Metric(
        "training lines",
        "lines that occur verbatim in the training text",
        of_poem=lambda measured: measured.background.training_lines.copied_rate(measured.poem),
        requires="training_lines",
    ),
    "copied_5": _copied(5),
    "copied_7": _copied(7),
    "seen_2": _seen(2),
    "seen_3": _seen(3),
    "seen_4": _seen(4),
    "js_characters": _js(
        "JS characters", 1, "distance of character frequencies to other real poems"
    ),
    "js_bigrams": _js("JS pairs", 2, "distance of pair frequencies to other real poems"),
}
"""The metrics by key, in the order of the report."""


def measure(
    poems_by_form: Mapping[str, Sequence[Poem]], background: Background
) -> dict[str, Estimate]:
    """Return the metrics of the poems of one form, or of several forms pooled.

    Left out are metrics whose data `background` lacks, metrics without a value in any poem and, for
    several forms, those that depend on the number of poems.
    """
    measured = [
        MeasuredPoem(poem, form, background)
        for form, poems in poems_by_form.items()
        for poem in poems
    ]
    estimates = {
        name: _estimate(metric, measured, background)
        for name, metric in METRICS.items()
        if name not in background.missing and not (metric.one_form_only and len(poems_by_form) > 1)
    }
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


def _estimate(
    metric: Metric, measured: Sequence[MeasuredPoem], background: Background
) -> Estimate | None:
    of_poem, of_sample = metric.of_poem, metric.of_sample
    if of_poem is not None:
        values = [value for one in measured if (value := of_poem(one)) is not None]
        return bootstrap_mean(values, seed=background.seed) if values else None
    if of_sample is None or len(measured) < 2:
        return None
    return jackknife([one.poem for one in measured], lambda poems: of_sample(poems, background))
