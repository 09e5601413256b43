"""Whole poems: the test of each measure on shuffled poems, and comparisons with real poems."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from poetgen.data.corpus import load_corpus
from poetgen.data.poem import Poem
from poetgen.evaluation import whole_poems
from poetgen.evaluation.comparison import group_by_form
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.metrics.whole_poem import MEASURES, Measure, WholePoemModel
from poetgen.evaluation.whole_poems import (
    NUM_TITLED,
    ShuffleTest,
    WholePoemBaseline,
    fit_whole_poems,
    select_titled,
)
from tests.evaluation.verses import verses

MODEL = cast(WholePoemModel, SimpleNamespace())


def measure_of(of_poem: Callable[[Poem], float | None], **fields: Any) -> Measure:
    return Measure("", "", lambda _, poem: of_poem(poem), **fields)


@pytest.fixture
def baseline(monkeypatch: pytest.MonkeyPatch) -> WholePoemBaseline:
    """Measures that see all, nothing, and the title."""
    poems = [replace(poem, title=f"题{i}") for i, poem in enumerate(verses("五绝", 60, 1))]
    couplets = {poem.lines[:2] for poem in poems}
    measures = {
        "whole": measure_of(lambda poem: 0.5 + 2 * (poem.lines[:2] in couplets)),
        "blind": measure_of(lambda poem: float(len(poem.lines[0]))),
        "rare": measure_of(lambda poem: 1.0 if poem == poems[0] else None),
        "title_retrieval": measure_of(
            lambda poem: (poem.lines[:2] in couplets) / 2 if poem.title else None, given_title=True
        ),
    }
    monkeypatch.setattr(whole_poems, "MEASURES", measures)
    real = group_by_form(poems[:30])
    return WholePoemBaseline(MODEL, poems, real, seed=1)


def test_shuffled_poems_test_each_measure(baseline: WholePoemBaseline) -> None:
    assert list(baseline.tests) == ["whole", "blind", "title_retrieval"]
    test = baseline.tests["whole"]
    assert (test.poems, test.area) == (60, Estimate(1, 1, 1))
    assert (test.real.value, test.shuffled.value) == (2.5, 0.5)
    assert baseline.tests["blind"].area.value == 0.5
    assert [test.informative for test in baseline.tests.values()] == [True, False, True]


@pytest.mark.parametrize(("area", "expected"), [(0.6, True), (0.5999, False)])
def test_informative_needs_an_area_of_six_tenths(area: float, expected: bool) -> None:
    estimate = Estimate(area, 0.5, 0.9)
    assert ShuffleTest(9, estimate, estimate, estimate).informative is expected


def test_compare_uses_informative_measures_without_title(baseline: WholePoemBaseline) -> None:
    found = baseline.compare(group_by_form(verses("五绝", 40, 2)))
    assert found.keys() == {"whole"}
    assert found["whole"].reference == Estimate(2.5, 2.5, 2.5)
    assert (found["whole"].distance, found["whole"].flagged) == (-2, True)
    assert baseline.compare(group_by_form([])) == {}
    assert (
        baseline.compare(group_by_form(verses("七绝", 9, 2))) == {}
    )  # no real poem to compare with


def test_compare_titled_gives_the_title_of_the_real_poem(baseline: WholePoemBaseline) -> None:
    real = baseline.titled["五绝"]
    assert len(real) == NUM_TITLED
    pairs = list(zip(real, verses("五绝", 25, 2), strict=True))
    found = baseline.compare_titled(pairs)
    assert found.keys() == {"title_retrieval"}
    assert found["title_retrieval"].estimate.value == 0
    assert found["title_retrieval"].reference == Estimate(0.5, 0.5, 0.5)
    assert baseline.compare_titled([]) == {}


def test_select_titled_skips_poems_without_title() -> None:
    poems = [*verses("五绝", 2, 1), Poem("山。", "《》"), Poem("云。", "云")]
    assert select_titled({"五绝": poems}) == {"五绝": poems[3:]}


def test_fit_needs_training_text_and_real_poems() -> None:
    poems = verses("五绝", 60, 1)
    assert fit_whole_poems([], poems, group_by_form(poems), seed=1) is None
    assert fit_whole_poems(poems, [], group_by_form([]), seed=1) is None
    fitted = fit_whole_poems(poems * 5, poems, group_by_form(poems), seed=1)
    assert fitted is not None
    assert fitted.tests.keys() == {"coherence", "half_similarity"}  # no octaves, no titles
    assert fitted.titled == {}


@pytest.mark.slow
@pytest.mark.corpus
def test_every_measure_separates_shuffled_poems(request: pytest.FixtureRequest) -> None:
    splits = load_corpus([request.getfixturevalue("real_corpus")]).splits
    held_out = [poem for poems in group_by_form(splits["valid"]).values() for poem in poems]
    held_out = held_out[::3]
    fitted = fit_whole_poems(splits["train"][::2], held_out, group_by_form(held_out), seed=1)
    assert fitted is not None
    assert fitted.tests.keys() == MEASURES.keys()
    areas = {name: test.area.value for name, test in fitted.tests.items()}
    assert all(area >= 0.6 for area in areas.values()), areas
