"""Whole poems: whether each measure separates shuffled poems from real ones, and comparisons by it.

A measure whose area under the curve, real against shuffled poems, is below `MIN_AREA` is uninformative:
it is reported as such, and nothing is compared by it.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from poetgen.data.conditions import title_characters
from poetgen.data.poem import Poem
from poetgen.evaluation.comparison import Comparison, PoemsByForm
from poetgen.evaluation.cooccurrence import Characters
from poetgen.evaluation.intervals import Estimate, area_under_curve, percentile_mean
from poetgen.evaluation.metrics.whole_poem import MEASURES, Measure, WholePoemModel
from poetgen.evaluation.shuffled import exchange_even_lines
from poetgen.language import tr
from poetgen.progress import track

MIN_AREA = 0.6
"""Area under the curve that a measure needs to be informative."""
MIN_PAIRS = 20
"""Real poems with a value, and their shuffled versions, that a test needs."""
NUM_TITLED = 25
"""Poems per form that are generated for the title of a real one."""


@dataclass(frozen=True)
class ShuffleTest:
    """A measure of real poems and of the same poems shuffled."""

    poems: int
    """Number of real poems with a value."""
    area: Estimate
    """Area under the curve: the probability that a real poem has a higher value than a shuffled one."""
    real: Estimate
    shuffled: Estimate

    @property
    def informative(self) -> bool:
        return self.area.value >= MIN_AREA


class WholePoemBaseline:
    """Measures whole poems, and compares them with the same number of real poems.

    baseline = WholePoemBaseline(model, held_out, real.first, seed=1)
    baseline.tests["coherence"].area
    baseline.compare(generated)
    """

    def __init__(
        self, model: WholePoemModel, held_out: Sequence[Poem], real: PoemsByForm, *, seed: int
    ) -> None:
        """Test the measures on `held_out`; generated poems are compared with `real`."""
        self._model = model
        self._real = real
        self._seed = seed
        self.tests = self._shuffle_tests(exchange_even_lines(held_out, seed=seed))
        test = self.tests.get("title_retrieval")
        self.titled = select_titled(real) if test and test.informative else {}
        """By form, the real poems whose titles are given to models; empty if nothing uses them."""

    def _shuffle_tests(self, pairs: Sequence[tuple[Poem, Poem]]) -> dict[str, ShuffleTest]:
        tests = {}
        for name, measure in track(MEASURES.items(), tr("measuring shuffled poems")):
            both = [tuple(self._values(measure, pair)) for pair in pairs]
            known = [(values[0], values[1]) for values in both if len(values) == 2]
            if len(known) >= MIN_PAIRS:
                real, shuffled = zip(*known, strict=True)
                tests[name] = ShuffleTest(
                    len(known), area_under_curve(known), self._mean(real), self._mean(shuffled)
                )
        return tests

    def compare(self, poems_by_form: PoemsByForm) -> dict[str, Comparison]:
        """Compare the poems of all forms with the first real poems of the same forms.

        Only informative measures that need no title; the larger sample of a form is cut.
        """
        generated: list[Poem] = []
        real: list[Poem] = []
        for form, poems in poems_by_form.items():
            num = min(len(poems), len(self._real[form]))
            generated += poems[:num]
            real += self._real[form][:num]
        return self._comparisons(generated, real, given_title=False)

    def compare_titled(self, poems: Sequence[tuple[Poem, Poem]]) -> dict[str, Comparison]:
        """Compare generated poems with the real poems whose title they were given.

        `poems` are pairs of a real poem and the one generated for its title.
        """
        generated = [Poem(one.text, real.title) for real, one in poems]
        return self._comparisons(generated, [real for real, _ in poems], given_title=True)

    def _comparisons(
        self, generated: Sequence[Poem], real: Sequence[Poem], *, given_title: bool
    ) -> dict[str, Comparison]:
        found = {}
        for name, measure in MEASURES.items():
            test = self.tests.get(name)
            if measure.given_title != given_title or test is None or not test.informative:
                continue
            values, real_values = (self._values(measure, poems) for poems in (generated, real))
            if values:
                reference = self._mean(real_values) if real_values else None
                found[name] = Comparison(self._mean(values), reference)
        return found

    def _values(self, measure: Measure, poems: Iterable[Poem]) -> list[float]:
        found = (measure.of_poem(self._model, poem) for poem in poems)
        return [value for value in found if value is not None]

    def _mean(self, values: Sequence[float]) -> Estimate:
        return percentile_mean(values, seed=self._seed)


def select_titled(poems_by_form: Mapping[str, Sequence[Poem]]) -> dict[str, list[Poem]]:
    """Return the first `NUM_TITLED` poems of each form that have a title."""
    return {
        form: [poem for poem in poems if title_characters(poem.title)][:NUM_TITLED]
        for form, poems in poems_by_form.items()
    }


def fit_whole_poems(
    train: Sequence[Poem], held_out: Sequence[Poem], real: Mapping[str, list[Poem]], *, seed: int
) -> WholePoemBaseline | None:
    """Count the training text and test the measures; None without a training text or real poems."""
    characters = Characters(train)
    if not len(characters) or not any(real.values()):
        return None
    titles = sorted({poem.title for poem in held_out})
    random.Random(f"{seed}:titles").shuffle(titles)
    model = WholePoemModel(train, characters, titles)
    return WholePoemBaseline(model, held_out, dict(real), seed=seed)
