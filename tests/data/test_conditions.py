"""`poetgen.data.conditions`: what is known of a poem, as symbols, and what a model cannot take in."""

from typing import Any

import pytest

from poetgen.config import ConditionsConfig
from poetgen.data.conditions import (
    MAX_TITLE,
    NO_CONDITIONS,
    TITLE,
    Conditions,
    condition_symbols,
    conditions_of,
    drop_at_random,
    encode_conditions,
    known_authors,
    known_forms,
    only,
    title_characters,
    unmet,
)
from poetgen.data.poem import MARKS, Poem
from poetgen.data.vocab import SPECIALS, UNK, Vocabulary

FORMS = ["<form:五绝>", "<form:七绝>", "<form:五律>", "<form:七律>"]
VOCAB = Vocabulary(
    (*SPECIALS, *MARKS, *"山水云月", *FORMS, TITLE, "<author:竹客>", "<author:溪翁>")
)
BARE = Vocabulary(VOCAB.symbols[:12])
ALL = Conditions("五绝", "竹客", "山月")


def quatrain(length: int, num_lines: int = 4) -> str:
    return "，".join(["山水云月山水云月"[:length]] * num_lines) + "。"


def poem_by(author: str) -> Poem:
    return Poem(quatrain(5), "", author)


def symbols(conditions: Conditions, vocab: Vocabulary = VOCAB) -> list[str]:
    return [vocab.symbols[i] for i in encode_conditions(conditions, vocab)]


@pytest.mark.parametrize(
    ("conditions", "given"),
    [
        (Conditions(), False),
        (Conditions(form="五绝"), True),
        (Conditions(author="竹客"), True),
        (Conditions(title="山"), True),
    ],
)
def test_conditions_are_true_if_any_is_given(conditions: Conditions, given: bool) -> None:
    assert bool(conditions) is given


@pytest.mark.parametrize(
    ("length", "num_lines", "form"),
    [
        (5, 4, "五绝"),
        (7, 4, "七绝"),
        (5, 8, "五律"),
        (7, 8, "七律"),
        (6, 4, ""),
        (5, 6, ""),
    ],
)
def test_conditions_of_a_poem_are_its_form_author_and_title(
    length: int, num_lines: int, form: str
) -> None:
    poem = Poem(quatrain(length, num_lines), "山，月", "竹客")
    assert conditions_of(poem) == Conditions(form, "竹客", "山，月")
    assert conditions_of(Poem(poem.text)) == Conditions(form)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], NO_CONDITIONS),
        (["form"], Conditions(form="五绝")),
        (["title", "author"], Conditions(author="竹客", title="山月")),
        (["form", "author", "title"], ALL),
    ],
)
def test_only_leaves_the_other_kinds_out(kinds: list[str], expected: Conditions) -> None:
    assert only(ALL, kinds) == expected
    assert only(ALL, iter(kinds)) == expected


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, []),
        ({"form": 0.1}, FORMS),
        ({"title": 0.1}, [TITLE]),
        ({"author": 0.1}, ["<author:溪翁>", "<author:松友>", "<author:竹客>"]),
        (
            {"form": 1, "author": 1, "title": 1},
            [*FORMS, TITLE, "<author:溪翁>", "<author:松友>", "<author:竹客>"],
        ),
    ],
)
def test_symbols_are_those_of_what_is_trained_with(
    rates: dict[str, Any], expected: list[str]
) -> None:
    """溪翁 has four poems, 松友 and 竹客 three each (松 is U+677E, 竹 U+7AF9), 石叟 two."""
    assert ord("松") < ord("竹")
    names = ["竹客", "溪翁", "", "松友", "石叟"] * 2 + ["竹客", "溪翁", "", "松友"] + ["溪翁", ""]
    config = ConditionsConfig(author_min_poems=3, **rates)
    assert condition_symbols(map(poem_by, names), config) == expected


@pytest.mark.parametrize(("min_poems", "num_authors"), [(1, 2), (2, 2), (3, 1), (4, 0)])
def test_an_author_needs_so_many_poems(min_poems: int, num_authors: int) -> None:
    config = ConditionsConfig(author=0.5, author_min_poems=min_poems)
    poems = [poem_by(name) for name in ("竹客", "竹客", "竹客", "溪翁", "溪翁")]
    assert len(condition_symbols(poems, config)) == num_authors


def test_conditions_are_told_in_one_order() -> None:
    assert symbols(ALL) == ["<form:五绝>", "<author:竹客>", TITLE, "山", "月"]
    assert symbols(NO_CONDITIONS) == []


def test_what_the_vocabulary_has_no_symbol_for_is_left_out() -> None:
    stranger = Conditions("词", "石叟", "云")
    assert symbols(stranger) == [TITLE, "云"]
    assert symbols(ALL, BARE) == []


def test_an_author_is_not_taken_for_a_form_or_a_character() -> None:
    assert symbols(Conditions(author="五绝")) == []
    assert symbols(Conditions(form="竹客")) == []
    assert symbols(Conditions(author="山")) == []


def test_a_title_is_its_han_characters_unknown_ones_too() -> None:
    title = "山·水（其2）rain，〇鹤"
    assert title_characters(title) == "山水其鹤"
    ids = encode_conditions(Conditions(title=title), VOCAB)
    assert ids == [VOCAB.ids[TITLE], VOCAB.ids["山"], VOCAB.ids["水"], UNK, UNK]


@pytest.mark.parametrize("length", [MAX_TITLE - 1, MAX_TITLE, MAX_TITLE + 1, 3 * MAX_TITLE])
def test_a_title_is_told_up_to_its_24th_character(length: int) -> None:
    assert MAX_TITLE == 24
    title = ("山水云月" * length)[:length]
    assert symbols(Conditions(title=title)) == [TITLE, *title[:24]]


def test_marks_do_not_count_towards_the_length_of_a_title() -> None:
    title = "，".join("山水云月" * 6)
    assert symbols(Conditions(title=title)) == [TITLE, *"山水云月" * 6]
    assert unmet(Conditions(title=title), VOCAB) == []


def test_a_title_without_a_han_character_is_left_out() -> None:
    assert symbols(Conditions(title="No. 3")) == []


RATES = ConditionsConfig(form=0.8, author=0.4, title=0.1)
MANY = [ALL] * 5000


def dropped(seed: int = 1, epoch: int = 0) -> list[Conditions]:
    return list(drop_at_random(MANY, RATES, seed, epoch))


def test_each_condition_is_given_at_its_own_rate_whatever_the_others() -> None:
    found = dropped()
    # Four standard deviations of 5000 coins are 0.028 at most.
    for kind, rate in (("form", 0.8), ("author", 0.4), ("title", 0.1)):
        share = sum(bool(getattr(one, kind)) for one in found) / len(found)
        assert share == pytest.approx(rate, abs=0.028)
    both = sum(bool(one.form and one.author) for one in found) / len(found)
    neither = sum(not (one.form or one.author) for one in found) / len(found)
    assert both == pytest.approx(0.8 * 0.4, abs=0.028)
    assert neither == pytest.approx(0.2 * 0.6, abs=0.028)


def test_what_is_given_is_as_it_was() -> None:
    for one in dropped():
        assert one.form in ("", ALL.form)
        assert one.author in ("", ALL.author)
        assert one.title in ("", ALL.title)


def test_rates_0_and_1_leave_nothing_to_chance() -> None:
    config = ConditionsConfig(form=1, author=0, title=1)
    found = set(drop_at_random(MANY, config, 1, 0))
    assert found == {Conditions("五绝", "", "山月")}


def test_what_is_not_known_is_not_given() -> None:
    config = ConditionsConfig(form=1, author=1, title=1)
    assert list(drop_at_random([NO_CONDITIONS], config, 1, 0)) == [NO_CONDITIONS]


def test_seed_and_epoch_decide_what_is_dropped() -> None:
    assert dropped(1, 3) == dropped(1, 3)
    kinds = [dropped(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert not any(a == b for i, a in enumerate(kinds) for b in kinds[:i])


def test_what_one_poem_is_dropped_does_not_hang_on_what_the_others_have() -> None:
    """So the chances of a poem hang on its place alone."""
    poorer = [NO_CONDITIONS if number % 2 else ALL for number in range(len(MANY))]
    found = list(drop_at_random(poorer, RATES, 1, 0))
    assert found[::2] == dropped()[::2]


@pytest.mark.parametrize(
    ("conditions", "vocab", "faults"),
    [
        (NO_CONDITIONS, BARE, []),
        (NO_CONDITIONS, VOCAB, []),
        (ALL, VOCAB, []),
        (
            Conditions(form="五绝"),
            BARE,
            ["the model was not trained with the form 五绝: not given to it"],
        ),
        (
            Conditions(author="竹客"),
            BARE,
            ["the model was not trained with authors: the author is left out"],
        ),
        (
            Conditions(author="石叟"),
            VOCAB,
            [
                "the model does not know the author 石叟: left out; "
                "poetgen info --json lists those it knows"
            ],
        ),
        (
            Conditions(author="老溪翁"),
            VOCAB,
            ["the model does not know the author 老溪翁: left out; did you mean 溪翁?"],
        ),
        (
            Conditions(title="山"),
            BARE,
            ["the model was not trained with titles: the title is left out"],
        ),
        (
            Conditions(title="No. 3"),
            VOCAB,
            ["the title No. 3 has no Han character in it: left out"],
        ),
        (
            Conditions(title="山水云月，" * 7),
            VOCAB,
            ["the title is long: the model is given its beginning, " + "山水云月" * 6],
        ),
        (Conditions(title="山水云月" * 6), VOCAB, []),
    ],
    ids=str,
)
def test_unmet_says_what_a_model_cannot_take_in(
    conditions: Conditions, vocab: Vocabulary, faults: list[str]
) -> None:
    assert unmet(conditions, vocab) == faults


def test_unmet_tells_everything_at_once_a_sentence_each() -> None:
    faults = unmet(ALL, BARE)
    assert [fault.split(":")[0].rsplit(" ", 1)[1] for fault in faults] == [
        "五绝",
        "authors",
        "titles",
    ]


@pytest.mark.parametrize("vocab", [VOCAB, BARE], ids=["with", "without"])
@pytest.mark.parametrize(
    "conditions",
    [
        Conditions("五绝"),
        Conditions("词"),
        Conditions(author="竹客"),
        Conditions(author="石叟"),
        Conditions(title="山"),
        Conditions(title="No. 3"),
    ],
    ids=str,
)
def test_one_condition_is_either_told_to_the_model_or_unmet(
    conditions: Conditions, vocab: Vocabulary
) -> None:
    assert bool(encode_conditions(conditions, vocab)) is not bool(unmet(conditions, vocab))


def test_known_forms_are_those_with_a_symbol() -> None:
    assert known_forms(VOCAB) == ["五绝", "七绝", "五律", "七律"]
    assert known_forms(BARE) == []


def test_known_authors_are_named_in_their_order() -> None:
    assert known_authors(VOCAB) == ["竹客", "溪翁"]
    assert known_authors(BARE) == []
    poems = [poem_by(name) for name in ("竹客", "溪翁", "溪翁")]
    config = ConditionsConfig(form=1, author=1, title=1, author_min_poems=1)
    built = Vocabulary.build(poems, min_count=1, conditions=condition_symbols(poems, config))
    assert known_authors(built) == ["溪翁", "竹客"]
