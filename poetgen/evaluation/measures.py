"""Every figure of a set of poems, with its interval, and beside it that of real poems.

Does not know where the poems come from: a model's, a poet's and a file's are measured alike.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from poetgen.data.poem import Poem
from poetgen.evaluation.distribution import frequencies, js_distance
from poetgen.evaluation.intervals import Estimate, bootstrap_mean, jackknife
from poetgen.evaluation.novelty import (
    TrainingGrams,
    TrainingLines,
    distinct,
    has_copy,
    repeated_characters,
    repeated_lines,
    seen_share,
    self_bleu,
)
from poetgen.evaluation.real import ByForm, RealPoems
from poetgen.evaluation.verse import in_form, verse_figures

ALL = "all"
"""The four forms together."""


class Measure(NamedTuple):
    """A row of the report."""

    group: str
    label: str
    meaning: str


MEASURES = {
    "in_form": Measure("verse", "in form", "poems with the lines and characters of the form"),
    "rhyme": Measure("verse", "rhyme", "poems in form whose even lines share a rhyme group"),
    "level_rhyme": Measure("verse", "level rhyme", "… and it is of the level tone"),
    "first_line_rhymes": Measure("verse", "line 1 rhymes", "… and line 1 has it too"),
    "alternation": Measure("verse", "2-4-6 alternation", "lines whose even places alternate"),
    "opposed": Measure("verse", "对", "poems with opposite tones in place 2 of each couplet"),
    "joined": Measure("verse", "粘", "poems with equal tones in place 2 across couplets"),
    "no_lone_level": Measure("verse", "no 孤平", "poems without a level tone alone"),
    "no_three_level_end": Measure(
        "verse", "no 三平尾", "poems without a line on three level tones"
    ),
    "pattern_and_rhyme": Measure(
        "verse", "pattern and rhyme", "poems in the relaxed pattern throughout, with a level rhyme"
    ),
    "distinct_1": Measure("diversity", "distinct-1", "distinct characters over all characters"),
    "distinct_2": Measure("diversity", "distinct-2", "distinct pairs over all pairs"),
    "self_bleu_2": Measure("diversity", "self-BLEU-2", "overlap of a poem with all the others"),
    "repeated_characters": Measure(
        "diversity", "repeated characters", "characters that stood in their poem before"
    ),
    "repeated_lines": Measure(
        "diversity", "repeated lines", "lines that stood in the sample before"
    ),
    "verbatim_lines": Measure(
        "novelty", "training lines", "lines word for word in the training text"
    ),
    "copied_5": Measure("novelty", "copies ≥ 5", "poems with 5 characters in a row from it"),
    "copied_7": Measure("novelty", "copies ≥ 7", "poems with 7 characters in a row from it"),
    "seen_2": Measure("novelty", "2-grams seen", "pairs of characters that stand in it"),
    "seen_3": Measure("novelty", "3-grams seen", "the same of three characters in a row"),
    "seen_4": Measure("novelty", "4-grams seen", "the same of four"),
    "js_characters": Measure(
        "distribution", "JS characters", "distance of character frequencies to other real poems"
    ),
    "js_bigrams": Measure("distribution", "JS pairs", "the same of pairs of characters"),
}
"""The rows in their order; every figure lies between 0 and 1."""

COPIES = (5, 7)
SEEN = (2, 3, 4)
_DISTRIBUTIONS = {"js_characters": 1, "js_bigrams": 2}
_TRAINING_GRAMS = {name for name in MEASURES if name.startswith(("copied_", "seen_"))}

Figures = dict[str, Estimate]


@dataclass(frozen=True)
class Background:
    """What poems are measured against; what is not there is not measured."""

    lines: TrainingLines = field(default_factory=TrainingLines)
    grams: TrainingGrams | None = None
    rest: Sequence[Poem] = ()
    """Real poems whose frequencies of characters are the measure."""
    seed: int = 1
    """Of the resampling."""

    @property
    def missing(self) -> dict[str, str]:
        """The measures that cannot be taken, and why."""
        reasons: dict[str, str] = {}
        if not self.lines:
            reasons["verbatim_lines"] = "neither the training text nor its fingerprints are here"
        if self.grams is None:
            reasons |= dict.fromkeys(sorted(_TRAINING_GRAMS), "the training text is not here")
        if not self.rest:
            reasons |= dict.fromkeys(_DISTRIBUTIONS, "no held-out poems are left to compare with")
        return reasons


def measure(groups: Mapping[str, Sequence[Poem]], background: Background) -> Figures:
    """The figures of the poems of one form, or of several together.

    What depends on the number of poems by definition (distinct-n, self-BLEU, repeated lines) is
    measured of one form alone.  What cannot be measured is left out.
    """
    asked = [(poem, form) for form, poems in groups.items() for poem in poems]
    poems = [poem for poem, _ in asked]
    figures = {
        name: bootstrap_mean(values, seed=background.seed)
        for name, values in _by_poem(asked, background).items()
    }
    if len(poems) > 1:
        whole = _of_whole(background, one_form=len(groups) == 1)
        figures |= {name: jackknife(poems, statistic) for name, statistic in whole.items()}
    return {name: figures[name] for name in MEASURES if name in figures}


def _by_poem(asked: Iterable[tuple[Poem, str]], background: Background) -> dict[str, list[float]]:
    """The measures that are means over poems: a list of each, shorter where a poem has no answer."""
    values: dict[str, list[float]] = {}
    for poem, form in asked:
        fits = in_form(poem, form)
        of_poem: dict[str, float | None] = {
            "in_form": float(fits),
            "repeated_characters": repeated_characters(poem),
            **(verse_figures(poem) if fits else {}),
        }
        if background.lines:
            of_poem["verbatim_lines"] = background.lines.verbatim(poem)
        if background.grams is not None:
            matches = background.grams.matches(poem)
            of_poem |= {f"copied_{n}": float(has_copy(matches, n)) for n in COPIES}
            of_poem |= {f"seen_{n}": seen_share(matches, n) for n in SEEN}
        for name, value in of_poem.items():
            if value is not None:
                values.setdefault(name, []).append(value)
    return values


_Statistic = Callable[[Sequence[Poem]], float]


def _of_whole(background: Background, *, one_form: bool) -> dict[str, _Statistic]:
    """The measures of a sample as a whole."""
    statistics: dict[str, _Statistic] = {}
    if one_form:
        statistics["distinct_1"] = lambda poems: distinct(poems, 1)
        statistics["distinct_2"] = lambda poems: distinct(poems, 2)
        statistics["self_bleu_2"] = self_bleu
        statistics["repeated_lines"] = repeated_lines
    if background.rest:
        for name, n in _DISTRIBUTIONS.items():
            statistics[name] = _distance_to(background.rest, n)
    return statistics


def _distance_to(rest: Sequence[Poem], n: int) -> _Statistic:
    real = frequencies(rest, n)
    return lambda poems: js_distance(frequencies(poems, n), real)


class Cell(NamedTuple):
    """A figure beside that of as many real poems."""

    figure: Estimate
    human: Estimate | None

    @property
    def distance(self) -> float | None:
        return None if self.human is None else self.figure.value - self.human.value

    @property
    def marked(self) -> bool:
        """Whether the two intervals do not touch."""
        return self.human is not None and not self.figure.touches(self.human)


Column = dict[str, dict[str, Cell]]
"""By form, and for `ALL` of them, by measure."""


class Yardstick:
    """Measures poems and real ones beside them, as many of each."""

    def __init__(self, real: RealPoems, background: Background) -> None:
        self.real = real
        self.background = background
        self._measured: dict[tuple[tuple[str, int], ...], Figures] = {}

    def column(self, poems: ByForm) -> Column:
        """The poems of each form, and all of them, beside real ones; forms without poems are left out.

        Where there are fewer poems than real ones or the other way round, the first so many of each
        are compared.
        """
        equal = {form: self._equal(form, own) for form, own in poems.items() if own}
        column = {form: self._compared({form: own}) for form, own in equal.items()}
        return column | ({ALL: self._compared(equal)} if len(equal) > 1 else {})

    def chance(self) -> list[Cell]:
        """The cells of the second sample of real poems, as if a model had written it."""
        return [cell for cells in self.column(self.real.second).values() for cell in cells.values()]

    def _equal(self, form: str, poems: Sequence[Poem]) -> Sequence[Poem]:
        return poems[: len(self.real.first[form]) or len(poems)]

    def _compared(self, groups: Mapping[str, Sequence[Poem]]) -> dict[str, Cell]:
        human = self._human({form: len(poems) for form, poems in groups.items()})
        return {
            name: Cell(figure, human.get(name))
            for name, figure in measure(groups, self.background).items()
        }

    def _human(self, counts: Mapping[str, int]) -> Figures:
        """Of the first so many real poems; none where of some form there is none."""
        key = tuple(counts.items())
        if key not in self._measured:
            groups = {form: self.real.first[form][:num] for form, num in counts.items()}
            figures = measure(groups, self.background) if all(groups.values()) else {}
            if figures:  # that real poems are in form is how they were chosen, no finding
                figures["in_form"] = Estimate(1.0, 1.0, 1.0)
            self._measured[key] = figures
        return self._measured[key]
