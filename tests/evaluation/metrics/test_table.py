"""Whether the metrics separate real poems from others: on composed verses, and on the corpus."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pytest

from poetgen.data.corpus import load_corpus
from poetgen.data.poem import Poem
from poetgen.evaluation.comparison import (
    Comparison,
    ComparisonsByForm,
    RealBaseline,
    RealPoems,
    count_flagged,
    draw_real,
    group_by_form,
)
from poetgen.evaluation.intervals import Estimate, wilson_share
from poetgen.evaluation.metrics.novelty import TrainingLines, TrainingNGrams
from poetgen.evaluation.metrics.table import ALL, METRICS, Background, measure
from poetgen.prosody.forms import FORMS
from tests.evaluation.verses import shuffled, verses

REGULAR = Poem("夜月临江水，春泉入户来。山僧归古寺，白石满青苔。")
BROKEN = Poem("夜月临江水，春泉入户。")

ONE_FORM_ONLY = {"distinct_1", "distinct_2", "self_bleu_2", "repeated_lines"}


def test_measure_mean_over_poems_and_interval() -> None:
    metrics = measure({"五绝": [REGULAR, BROKEN] * 50}, Background())
    assert metrics["in_form"].value == 0.5
    assert metrics["in_form"].low == pytest.approx(0.4, abs=0.02)
    # Only of poems in form: all of these rhyme.
    assert metrics["rhyme"].value == 1
    assert metrics["rhyme"] == wilson_share(50, 50)
    # 20 characters, all different.
    assert metrics["repeated_characters"] == Estimate(0, 0, 1 - 0.025 ** (1 / 100))
    # 100 poems with 4 and with 2 lines: 5 lines are distinct, because 春泉入户 is another line.
    assert metrics["repeated_lines"].value == pytest.approx(1 - 5 / 300)


def test_measure_uses_wilson_for_shares_of_poems() -> None:
    background = Background(TrainingLines([REGULAR]), TrainingNGrams([REGULAR]))
    poems = [REGULAR, *verses("五绝", 99, 1)]
    metrics = measure({"五绝": poems}, background)
    assert metrics["in_form"] == wilson_share(100, 100)
    assert metrics["copied_7"] == wilson_share(1, 100)
    for name in {name for name, metric in METRICS.items() if metric.is_binary}:
        share = metrics[name].value
        assert share * 100 == pytest.approx(round(share * 100)), name
    assert not METRICS["alternation"].is_binary
    assert not METRICS["verbatim_lines"].is_binary


def test_measure_whole_sample_and_jackknife() -> None:
    metrics = measure({"五绝": [REGULAR, BROKEN]}, Background())
    # 29 characters, 20 of them distinct; without one of the poems all are: θ̄ = 1, no spread.
    assert metrics["distinct_1"] == Estimate(20 / 29, 20 / 29, 20 / 29)


def test_missing_metrics_have_a_reason() -> None:
    background = Background()
    metrics = measure({"五绝": [REGULAR, BROKEN]}, background)
    assert metrics.keys() | background.missing.keys() == METRICS.keys()
    assert metrics.keys().isdisjoint(background.missing)
    full = Background(TrainingLines([REGULAR]), TrainingNGrams([REGULAR]), [BROKEN])
    assert full.missing == {}
    assert measure({"五绝": [REGULAR, BROKEN]}, full).keys() == METRICS.keys()


def test_measure_novelty_and_distribution_by_hand() -> None:
    background = Background(TrainingLines([REGULAR]), TrainingNGrams([REGULAR]), [REGULAR])
    metrics = measure({"五绝": [REGULAR, REGULAR]}, background)
    assert {name: metrics[name].value for name in ("verbatim_lines", "copied_7", "seen_4")} == {
        "verbatim_lines": 1,
        "copied_7": 1,
        "seen_4": 1,
    }
    assert metrics["js_bigrams"].value == pytest.approx(0, abs=1e-6)
    # 夜月临江水 has five characters in common with the training text, not seven.
    partly = measure({"五绝": [Poem("夜月临江水，鹤。")] * 2}, background)
    assert [partly[name].value for name in ("copied_5", "copied_7")] == [1, 0]


def test_measure_skips_verse_without_poem_in_form() -> None:
    metrics = measure({"五绝": [BROKEN, BROKEN]}, Background())
    assert metrics["in_form"].value == 0
    assert "rhyme" not in metrics


def test_measure_pooled_forms_skips_size_dependent() -> None:
    groups = {"五绝": [REGULAR] * 2, "七绝": verses("七绝", 2, 1)}
    assert measure(groups, Background()).keys().isdisjoint(ONE_FORM_ONLY)


def test_comparison_is_flagged_without_overlap() -> None:
    apart = Comparison(Estimate(0.9, 0.85, 0.95), Estimate(0.5, 0.4, 0.6))
    assert apart.distance == pytest.approx(0.4)
    assert apart.flagged
    near = Comparison(Estimate(0.9, 0.6, 0.95), Estimate(0.5, 0.4, 0.6))
    assert not near.flagged
    alone = Comparison(Estimate(0.9, 0.6, 0.95), None)
    assert (alone.distance, alone.flagged) == (None, False)


def test_compare_uses_samples_of_equal_size() -> None:
    real = draw_real(verses("五绝", 40, 1), [], count=20, seed=1)
    baseline = RealBaseline(real, Background())
    column = baseline.compare({"五绝": verses("五绝", 30, 2), "七绝": verses("七绝", 5, 2)})
    whole = measure({"五绝": real.first["五绝"]}, Background())
    assert column["五绝"]["distinct_2"].reference == whole["distinct_2"]
    assert (
        column["五绝"]["distinct_2"].estimate
        == (measure({"五绝": verses("五绝", 30, 2)[:20]}, Background())["distinct_2"])
    )
    few = baseline.compare({"五绝": verses("五绝", 8, 2)})
    first = measure({"五绝": real.first["五绝"][:8]}, Background())
    assert few["五绝"]["distinct_2"].reference == first["distinct_2"]
    # There is no real poem of the other form to compare with, nor for both forms pooled.
    assert all(cell.reference is None for form in ("七绝", ALL) for cell in column[form].values())


@dataclass(frozen=True)
class Bench:
    """Real poems, and the text that a model would have been trained on."""

    train: list[Poem]
    baseline: RealBaseline

    @property
    def real(self) -> RealPoems:
        return self.baseline.real

    def column(self, change: Callable[[list[Poem]], Iterable[Poem]]) -> ComparisonsByForm:
        """Compare the second sample after a change."""
        return self.baseline.compare(
            {form: list(change(poems)) for form, poems in self.real.second.items()}
        )


def bench(train: list[Poem], poems: list[Poem], more: list[Poem], count: int) -> Bench:
    real = draw_real(poems, more, count=count, seed=1)
    lines, grams = TrainingLines(train), TrainingNGrams(train)
    return Bench(train, RealBaseline(real, Background(lines, grams, real.rest)))


@pytest.fixture(
    scope="module",
    params=["composed", pytest.param("corpus", marks=[pytest.mark.slow, pytest.mark.corpus])],
)
def poets(request: pytest.FixtureRequest) -> Bench:
    if request.param == "composed":
        held_out = [poem for form in ("五绝", "七绝") for poem in verses(form, 250, 1)]
        train = [poem for form in ("五绝", "七绝") for poem in verses(form, 800, 2)]
        return bench(train, held_out, [], 100)
    corpus = load_corpus([request.getfixturevalue("real_corpus")])
    return bench(corpus.splits["train"], corpus.splits["test"], corpus.splits["valid"], 200)


def forms_of(poets: Bench) -> list[str]:
    return [form for form, poems in poets.real.first.items() if poems]


def flagged(comparisons: Mapping[str, Comparison]) -> set[str]:
    return {name for name, one in comparisons.items() if one.flagged}


def test_real_poems_are_rarely_flagged(poets: Bench) -> None:
    column = poets.column(lambda poems: poems)
    names = [(form, name) for form, cells in column.items() for name in cells]
    found = [(form, name) for form, cells in column.items() for name in flagged(cells)]
    # With equal errors, the intervals of two samples of one population are disjoint in 0.6% of cases.
    assert len(names) >= 60
    assert len(found) <= 0.03 * len(names), found
    distances = [abs(cell.distance or 0) for cells in column.values() for cell in cells.values()]
    assert sum(distances) / len(distances) < 0.02


def test_null_sample_is_rarely_flagged(poets: Bench) -> None:
    compared, num_flagged = count_flagged(poets.column(lambda poems: poems))
    assert compared >= 60
    assert num_flagged <= 0.03 * compared


def test_shuffled_poems_are_flagged_on_tones_and_ngrams(poets: Bench) -> None:
    rng = random.Random(1)
    column = poets.column(lambda poems: [shuffled(poem, rng) for poem in poems])
    for form in forms_of(poets):
        assert flagged(column[form]) >= {
            *("rhyme", "level_rhyme", "alternation", "opposed", "pattern_and_rhyme"),
            *("seen_2", "seen_3", "js_bigrams"),
        }
        # The characters are the same.
        assert not column[form]["distinct_1"].flagged
        assert not column[form]["js_characters"].flagged
        assert not column[form]["in_form"].flagged


def test_one_repeated_poem_is_flagged_on_diversity(poets: Bench) -> None:
    column = poets.column(lambda poems: poems[:1] * len(poems))
    for form in forms_of(poets):
        assert flagged(column[form]) >= ONE_FORM_ONLY | {"js_characters", "js_bigrams"}
        assert column[form]["self_bleu_2"].estimate.value == pytest.approx(1)


def test_training_poems_are_flagged_on_novelty_only(poets: Bench) -> None:
    # Shuffled: the corpus is chronological, and verse was regulated more strictly over time.
    known = group_by_form(random.Random(1).sample(poets.train, len(poets.train)))
    column = poets.baseline.compare(known)
    novelty = {"verbatim_lines", "copied_5", "copied_7", "seen_3", "seen_4"}
    verse = set(list(METRICS)[: list(METRICS).index("distinct_1")])
    for form in forms_of(poets):
        assert flagged(column[form]) >= novelty
        assert column[form]["verbatim_lines"].estimate.value == 1
    found = [(form, name) for form in forms_of(poets) for name in flagged(column[form]) & verse]
    assert len(found) <= 1, found


def test_every_metric_is_measured_of_real_poems(poets: Bench) -> None:
    column = poets.column(lambda poems: poems)
    for form in forms_of(poets):
        assert column[form].keys() == METRICS.keys()
    assert column[ALL].keys() == METRICS.keys() - ONE_FORM_ONLY
    assert set(forms_of(poets)) <= set(FORMS)
