"""Whether the report tells real poems from what is not: on verses made by rule, and on the corpus."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pytest

from poetgen.data.corpus import load_corpus
from poetgen.data.poem import Poem
from poetgen.evaluation.intervals import Estimate
from poetgen.evaluation.measures import ALL, MEASURES, Background, Cell, Column, Yardstick, measure
from poetgen.evaluation.novelty import TrainingGrams, TrainingLines
from poetgen.evaluation.real import ByForm, RealPoems, by_form, draw_real
from poetgen.prosody.forms import FORMS
from tests.evaluation.verses import shuffled, verses

REGULAR = Poem("夜月临江水，春泉入户来。山僧归古寺，白石满青苔。")
BROKEN = Poem("夜月临江水，春泉入户。")

ONE_FORM_ONLY = {"distinct_1", "distinct_2", "self_bleu_2", "repeated_lines"}


def test_a_mean_over_poems_and_its_interval() -> None:
    figures = measure({"五绝": [REGULAR, BROKEN] * 50}, Background())
    assert figures["in_form"].value == 0.5
    assert figures["in_form"].low == pytest.approx(0.4, abs=0.02)
    # Of poems in form alone: all of these rhyme.
    assert figures["rhyme"].value == 1
    assert figures["rhyme"].low == pytest.approx(0.025 ** (1 / 50))
    # 20 characters, all different.
    assert figures["repeated_characters"] == Estimate(0, 0, 1 - 0.025 ** (1 / 100))
    # Of 100 poems with 4 and with 2 lines, 5 lines are distinct: 春泉入户 is another line.
    assert figures["repeated_lines"].value == pytest.approx(1 - 5 / 300)


def test_a_figure_of_the_whole_has_a_jackknife_interval() -> None:
    figures = measure({"五绝": [REGULAR, BROKEN]}, Background())
    # 29 characters, 20 of them distinct; without one of the poems all are: θ̄ = 1, no spread.
    assert figures["distinct_1"] == Estimate(20 / 29, 20 / 29, 20 / 29)


def test_what_there_is_nothing_to_measure_by_is_left_out_with_a_reason() -> None:
    background = Background()
    figures = measure({"五绝": [REGULAR, BROKEN]}, background)
    assert figures.keys() | background.missing.keys() == MEASURES.keys()
    assert figures.keys().isdisjoint(background.missing)
    full = Background(TrainingLines([REGULAR]), TrainingGrams([REGULAR]), [BROKEN])
    assert full.missing == {}
    assert measure({"五绝": [REGULAR, BROKEN]}, full).keys() == MEASURES.keys()


def test_novelty_and_distribution_of_a_poem_worked_out_by_hand() -> None:
    background = Background(TrainingLines([REGULAR]), TrainingGrams([REGULAR]), [REGULAR])
    figures = measure({"五绝": [REGULAR, REGULAR]}, background)
    assert {name: figures[name].value for name in ("verbatim_lines", "copied_7", "seen_4")} == {
        "verbatim_lines": 1,
        "copied_7": 1,
        "seen_4": 1,
    }
    assert figures["js_bigrams"].value == pytest.approx(0, abs=1e-6)


def test_no_poem_in_form_leaves_verse_unmeasured() -> None:
    figures = measure({"五绝": [BROKEN, BROKEN]}, Background())
    assert figures["in_form"].value == 0
    assert "rhyme" not in figures


def test_forms_together_leave_out_what_hangs_on_the_number_of_poems() -> None:
    groups = {"五绝": [REGULAR] * 2, "七绝": verses("七绝", 2, 1)}
    assert measure(groups, Background()).keys().isdisjoint(ONE_FORM_ONLY)


def test_a_cell_is_marked_where_the_intervals_do_not_touch() -> None:
    apart = Cell(Estimate(0.9, 0.85, 0.95), Estimate(0.5, 0.4, 0.6))
    assert apart.distance == pytest.approx(0.4)
    assert apart.marked
    near = Cell(Estimate(0.9, 0.6, 0.95), Estimate(0.5, 0.4, 0.6))
    assert not near.marked
    alone = Cell(Estimate(0.9, 0.6, 0.95), None)
    assert (alone.distance, alone.marked) == (None, False)


def test_as_many_real_poems_as_there_are_poems() -> None:
    real = draw_real(verses("五绝", 40, 1), [], count=20, seed=1)
    yardstick = Yardstick(real, Background())
    column = yardstick.column({"五绝": verses("五绝", 30, 2), "七绝": verses("七绝", 5, 2)})
    whole = measure({"五绝": real.first["五绝"]}, Background())
    assert column["五绝"]["distinct_2"].human == whole["distinct_2"]
    assert (
        column["五绝"]["distinct_2"].figure
        == (measure({"五绝": verses("五绝", 30, 2)[:20]}, Background())["distinct_2"])
    )
    few = yardstick.column({"五绝": verses("五绝", 8, 2)})
    first = measure({"五绝": real.first["五绝"][:8]}, Background())
    assert few["五绝"]["distinct_2"].human == first["distinct_2"]
    # There is no real poem of the other form to set beside it, nor beside both together.
    assert all(cell.human is None for form in ("七绝", ALL) for cell in column[form].values())


@dataclass(frozen=True)
class Bench:
    """Real poems and the text that a model would have been trained on."""

    train: list[Poem]
    yardstick: Yardstick

    @property
    def real(self) -> RealPoems:
        return self.yardstick.real

    def column(self, change: Callable[[list[Poem]], Iterable[Poem]]) -> Column:
        """What is left when the second sample is changed."""
        return self.yardstick.column(
            {form: list(change(poems)) for form, poems in self.real.second.items()}
        )


def bench(train: list[Poem], poems: list[Poem], more: list[Poem], count: int) -> Bench:
    real = draw_real(poems, more, count=count, seed=1)
    lines, grams = TrainingLines(train), TrainingGrams(train)
    return Bench(train, Yardstick(real, Background(lines, grams, real.rest)))


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


def marked(cells: Mapping[str, Cell]) -> set[str]:
    return {name for name, cell in cells.items() if cell.marked}


def test_real_poems_are_not_told_from_real_poems(poets: Bench) -> None:
    column = poets.column(lambda poems: poems)
    lines = [(form, name) for form, cells in column.items() for name in cells]
    found = [(form, name) for form, cells in column.items() for name in marked(cells)]
    # With equal errors, intervals of two samples of the same poems are apart in 0.6% of lines.
    assert len(lines) >= 60
    assert len(found) <= 0.03 * len(lines), found
    distances = [abs(cell.distance or 0) for cells in column.values() for cell in cells.values()]
    assert sum(distances) / len(distances) < 0.02


def test_the_second_sample_is_measured_as_a_model_would_be(poets: Bench) -> None:
    cells = poets.yardstick.chance()
    assert len(cells) >= 60
    assert sum(cell.marked for cell in cells) <= 0.03 * len(cells)


def test_shuffled_characters_are_marked_on_rhyme_tones_and_n_grams(poets: Bench) -> None:
    chance = random.Random(1)
    column = poets.column(lambda poems: [shuffled(poem, chance) for poem in poems])
    for form in forms_of(poets):
        assert marked(column[form]) >= {
            *("rhyme", "level_rhyme", "alternation", "opposed", "pattern_and_rhyme"),
            *("seen_2", "seen_3", "js_bigrams"),
        }
        # The characters are the same.
        assert not column[form]["distinct_1"].marked
        assert not column[form]["js_characters"].marked
        assert not column[form]["in_form"].marked


def test_one_poem_over_and_over_is_marked_on_diversity(poets: Bench) -> None:
    column = poets.column(lambda poems: poems[:1] * len(poems))
    for form in forms_of(poets):
        assert marked(column[form]) >= ONE_FORM_ONLY | {"js_characters", "js_bigrams"}
        assert column[form]["self_bleu_2"].figure.value == pytest.approx(1)


def test_training_poems_are_marked_on_novelty_and_not_on_verse(poets: Bench) -> None:
    # Shuffled, for the corpus is in order of time, and verse was regulated more strictly as time went on.
    known: ByForm = by_form(random.Random(1).sample(poets.train, len(poets.train)))
    column = poets.yardstick.column(known)
    novelty = {"verbatim_lines", "copied_5", "copied_7", "seen_3", "seen_4"}
    verse = {name for name, measure in MEASURES.items() if measure.group == "verse"}
    for form in forms_of(poets):
        assert marked(column[form]) >= novelty
        assert column[form]["verbatim_lines"].figure.value == 1
    found = [(form, name) for form in forms_of(poets) for name in marked(column[form]) & verse]
    assert len(found) <= 1, found


def test_every_measure_is_taken_of_real_poems(poets: Bench) -> None:
    column = poets.column(lambda poems: poems)
    for form in forms_of(poets):
        assert column[form].keys() == MEASURES.keys()
    assert column[ALL].keys() == MEASURES.keys() - ONE_FORM_ONLY
    assert set(forms_of(poets)) <= set(FORMS)
