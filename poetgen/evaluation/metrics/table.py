"""The table of metrics: every metric of poems is declared once, in `METRICS`.

To add a metric, write its computation (of verse here, else in `diversity` or `novelty`) and add an
entry to `METRICS`.  Its key then appears in the JSON report, the tables and the page.  Poems are measured
the same way whether a model, a poet or a file is their source.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from poetgen.data.poem import Poem
from poetgen.evaluation.intervals import Estimate, bootstrap_mean, jackknife, wilson_share
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
from poetgen.language import tr_noop
from poetgen.prosody.scan import Scan, scan

ALL = "all"
"""The four forms pooled."""

REASONS = {
    "training_lines": tr_noop("neither the training text nor a record of its lines is available"),
    "training_ngrams": tr_noop("the training text is not available"),
    "other_poems": tr_noop("no held-out poems are left to compare with"),
}
"""Why a metric is missing, by the field of `Background` that is empty."""


@dataclass(frozen=True)
class Background:
    """The data that metrics compare poems with."""

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
    """A row of the report: a value from 0 to 1, of each poem or of a whole sample.

    `label` and `description` are English; views translate them.
    """

    label: str
    description: str
    of_poem: Callable[[MeasuredPoem], float | None] | None = None
    """The value of one poem, averaged over the sample; None for a poem without a value."""
    of_sample: Callable[[Sequence[Poem], Background], float] | None = None
    """The value of the sample as a whole."""
    requires: str = ""
    """The field of `Background` that the metric needs."""
    is_binary: bool = False
    """Whether `of_poem` is 0 or 1, so that the value of a sample is a share of poems."""
    one_form_only: bool = False
    """Whether the value depends on the number of poems, so that forms are not pooled."""


def _verse(label: str, description: str, rule: Callable[[Scan], bool]) -> Metric:
    """Return the share of the poems in form that keep `rule`; the others have no value."""
    return Metric(
        label,
        description,
        of_poem=lambda one: float(rule(one.scan)) if one.scan else None,
        is_binary=True,
    )


def _alternation(measured: MeasuredPoem) -> float | None:
    """Return the share of lines that alternate, of a poem in form."""
    if not measured.scan:
        return None
    return sum(line.alternates for line in measured.scan.lines) / len(measured.scan.lines)


def _copied(length: int, label: str, description: str) -> Metric:
    return Metric(
        label,
        description,
        of_poem=lambda measured: float((measured.match_lengths >= length).any()),
        requires="training_ngrams",
        is_binary=True,
    )


def _seen(n: int, label: str, description: str) -> Metric:
    return Metric(
        label,
        description,
        of_poem=lambda measured: seen_rate(measured.match_lengths, n),
        requires="training_ngrams",
    )


def _distinct(n: int, label: str, description: str) -> Metric:
    return Metric(
        label,
        description,
        of_sample=lambda poems, _: distinct(poems, n),
        one_form_only=True,
    )


def _js(n: int, label: str, description: str) -> Metric:
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
        tr_noop("in form"),
        tr_noop("poems with the lines and characters of the form"),
        of_poem=lambda measured: float(measured.scan is not None),
        is_binary=True,
    ),
    "rhyme": _verse(
        tr_noop("rhyme"),
        tr_noop("poems in form whose even lines share a rhyme group"),
        lambda s: bool(s.rhyme),
    ),
    "level_rhyme": _verse(
        tr_noop("level rhyme"),
        tr_noop("poems in form whose even lines share a rhyme group of the level tone"),
        lambda s: s.level_rhyme,
    ),
    "first_line_rhymes": _verse(
        tr_noop("line 1 rhymes"),
        tr_noop("poems in form that rhyme in line 1 too"),
        lambda s: s.first_line_rhymes,
    ),
    "alternation": Metric(
        tr_noop("2-4-6 alternation"),
        tr_noop("lines whose even positions alternate between level and oblique"),
        of_poem=_alternation,
    ),
    "opposed": _verse(
        tr_noop("no 失对"),
        tr_noop("poems with opposite tones in position 2 of the two lines of each couplet"),
        lambda s: all(s.opposed),
    ),
    "joined": _verse(
        tr_noop("no 失粘"),
        tr_noop("poems with equal tones in position 2 of adjacent lines of two couplets"),
        lambda s: all(s.joined),
    ),
    "no_lone_level": _verse(
        tr_noop("no 孤平"),
        tr_noop("poems without an isolated level tone"),
        lambda s: not any(line.lone_level for line in s.lines),
    ),
    "no_three_level_end": _verse(
        tr_noop("no 三平尾"),
        tr_noop("poems without a line that ends in three level tones"),
        lambda s: not any(line.three_level_end for line in s.lines),
    ),
    "pattern_and_rhyme": _verse(
        tr_noop("pattern and rhyme"),
        tr_noop("poems in the relaxed tone pattern throughout, with a level rhyme"),
        lambda s: s.level_rhyme and not any(line.breaks for line in s.lines),
    ),
    "distinct_1": _distinct(
        1, tr_noop("distinct-1"), tr_noop("distinct characters over all characters")
    ),
    "distinct_2": _distinct(
        2,
        tr_noop("distinct-2"),
        tr_noop("distinct pairs of adjacent characters over all pairs"),
    ),
    "self_bleu_2": Metric(
        tr_noop("self-BLEU-2"),
        tr_noop("overlap of a poem with all the others"),
        of_sample=lambda poems, _: self_bleu(poems),
        one_form_only=True,
    ),
    "repeated_characters": Metric(
        tr_noop("repeated characters"),
        tr_noop("characters that occur earlier in their poem"),
        of_poem=lambda measured: repeated_characters(measured.poem),
    ),
    "repeated_lines": Metric(
        tr_noop("repeated lines"),
        tr_noop("lines that occur earlier in the sample"),
        of_sample=lambda poems, _: repeated_lines(poems),
        one_form_only=True,
    ),
    "verbatim_lines": Metric(
        tr_noop("copied lines"),
        tr_noop("lines that occur verbatim in the training text"),
        of_poem=lambda measured: measured.background.training_lines.copied_rate(measured.poem),
        requires="training_lines",
    ),
    "copied_5": _copied(
        5,
        tr_noop("copies of 5 or more"),
        tr_noop("poems with 5 consecutive characters of the training text"),
    ),
    "copied_7": _copied(
        7,
        tr_noop("copies of 7 or more"),
        tr_noop("poems with 7 consecutive characters of the training text"),
    ),
    "seen_2": _seen(
        2,
        tr_noop("2-grams seen"),
        tr_noop("runs of 2 characters that occur in the training text"),
    ),
    "seen_3": _seen(
        3,
        tr_noop("3-grams seen"),
        tr_noop("runs of 3 characters that occur in the training text"),
    ),
    "seen_4": _seen(
        4,
        tr_noop("4-grams seen"),
        tr_noop("runs of 4 characters that occur in the training text"),
    ),
    "js_characters": _js(
        1,
        tr_noop("JS characters"),
        tr_noop("Jensen–Shannon distance of character frequencies to other real poems"),
    ),
    "js_bigrams": _js(
        2,
        tr_noop("JS pairs"),
        tr_noop("Jensen–Shannon distance of pair frequencies to other real poems"),
    ),
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
        if metric.is_binary and values:
            return wilson_share(round(sum(values)), len(values))
        return bootstrap_mean(values, seed=background.seed) if values else None
    if of_sample is None or len(measured) < 2:
        return None
    return jackknife([one.poem for one in measured], lambda poems: of_sample(poems, background))
