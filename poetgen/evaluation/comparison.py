"""Comparison of poems with the same number of real, held-out poems, metric by metric.

Two disjoint samples of real poems are drawn.  The first is the reference of every comparison.  The second
is measured as if a model had generated it: it shows how many metrics are flagged at random.  The
remaining poems supply the n-gram frequencies that both are compared with.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from poetgen.data.poem import Poem
from poetgen.evaluation.intervals import NUM_DIGITS, Estimate
from poetgen.evaluation.metrics.table import ALL, Background, measure
from poetgen.language import tr
from poetgen.progress import track
from poetgen.prosody.forms import FORMS, form_of

PoemsByForm = dict[str, list[Poem]]
"""Poems by the form that was requested; a form may have none."""


@dataclass(frozen=True)
class RealPoems:
    """Samples of real poems."""

    first: PoemsByForm = field(default_factory=lambda: group_by_form([]))
    second: PoemsByForm = field(default_factory=lambda: group_by_form([]))
    rest: list[Poem] = field(default_factory=list)
    """The poems in one of the four forms that are in neither sample."""


def group_by_form(poems: Iterable[Poem]) -> PoemsByForm:
    """Return the poems that are in one of the four forms, by form."""
    groups: PoemsByForm = {form: [] for form in FORMS}
    for poem in poems:
        groups.get(form_of(poem.lines), []).append(poem)
    return groups


def draw_real(poems: Sequence[Poem], others: Sequence[Poem], *, count: int, seed: int) -> RealPoems:
    """Draw samples of `count` poems of each form, or of all that are available.

    The first sample is drawn from `poems`; the second, of the same size, from the rest of `poems` and
    then from `others`, which are other held-out poems.  The order of the poems has no influence.
    """
    rng = random.Random(f"{seed}:real")
    groups, other_groups = (group_by_form(_shuffled(part, rng)) for part in (poems, others))
    real = RealPoems()
    for form in FORMS:
        available = groups[form] + other_groups[form]
        num = min(count, len(groups[form]))
        real.first[form] = available[:num]
        real.second[form] = available[num : 2 * num]
        real.rest.extend(available[2 * num :])
    return real


def _shuffled(poems: Iterable[Poem], rng: random.Random) -> list[Poem]:
    shuffled = sorted(poems, key=lambda poem: poem.text)
    rng.shuffle(shuffled)
    return shuffled


@dataclass(frozen=True)
class Comparison:
    """A metric of some poems, and the same metric of the same number of real poems."""

    estimate: Estimate
    reference: Estimate | None
    """None where there are no real poems to compare with."""

    @property
    def distance(self) -> float | None:
        """The value minus that of the real poems, to `NUM_DIGITS`."""
        if self.reference is None:
            return None
        return round(self.estimate.value - self.reference.value, NUM_DIGITS)

    @property
    def flagged(self) -> bool:
        """Whether the two intervals do not overlap."""
        return self.reference is not None and not self.estimate.overlaps(self.reference)


ComparisonsByForm = dict[str, dict[str, Comparison]]
"""By form, and for `ALL` forms pooled, by metric."""


def count_flagged(by_form: ComparisonsByForm) -> tuple[int, int]:
    """Return the number of metrics that were compared with real poems, and of those flagged."""
    cells = [one for metrics in by_form.values() for one in metrics.values() if one.reference]
    return len(cells), sum(one.flagged for one in cells)


class RealBaseline:
    """Measures poems against samples of real poems.

    baseline = RealBaseline(draw_real(poems, [], count=200, seed=1), Background())
    comparisons = baseline.compare({"五绝": generated})
    """

    def __init__(self, real: RealPoems, background: Background) -> None:
        self.real = real
        self.background = background
        self._references: dict[tuple[tuple[str, int], ...], dict[str, Estimate]] = {}

    def cut(self, poems_by_form: PoemsByForm) -> PoemsByForm:
        """Return the poems of each form without those beyond the number of real poems, if any."""
        return {
            form: poems[: len(self.real.first[form]) or len(poems)]
            for form, poems in poems_by_form.items()
        }

    def compare(self, poems_by_form: PoemsByForm, stage: str = "") -> ComparisonsByForm:
        """Compare the poems of each form, and all of them pooled; forms without poems are absent.

        The larger of the two samples of a form is cut to the size of the smaller.  `stage` names the
        work where its progress is shown.
        """
        equal = {form: poems for form, poems in self.cut(poems_by_form).items() if poems}
        groups = {form: {form: poems} for form, poems in equal.items()}
        if len(groups) > 1:
            groups[ALL] = equal
        names = track(groups, stage or tr("measuring poems"))
        return {form: self._compare(groups[form]) for form in names}

    def _compare(self, poems_by_form: Mapping[str, Sequence[Poem]]) -> dict[str, Comparison]:
        reference = self._reference({form: len(poems) for form, poems in poems_by_form.items()})
        return {
            name: Comparison(estimate, reference.get(name))
            for name, estimate in measure(poems_by_form, self.background).items()
        }

    def _reference(self, counts: Mapping[str, int]) -> dict[str, Estimate]:
        """Measure the first `counts[form]` real poems; nothing if a form has none."""
        key = tuple(counts.items())
        if key not in self._references:
            groups = {form: self.real.first[form][:num] for form, num in counts.items()}
            estimates = measure(groups, self.background) if all(groups.values()) else {}
            if estimates:  # exact: the real poems were selected by their form
                estimates["in_form"] = Estimate(1.0, 1.0, 1.0)
            self._references[key] = estimates
        return self._references[key]
