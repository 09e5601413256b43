"""`poetgen.data.conditions`: conditions as tokens, their sampling, and unsupported ones."""

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
    encode_conditions,
    known_authors,
    known_forms,
    restrict_to,
    sample_conditions,
    title_characters,
    unsupported,
)
from poetgen.data.poem import Poem
from poetgen.data.vocab import SPECIALS, UNK, Vocabulary
from poetgen.prosody.marks import MARKS

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
def test_conditions_truth_value(conditions: Conditions, given: bool) -> None:
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
def test_conditions_of_poem(length: int, num_lines: int, form: str) -> None:
    poem = Poem(quatrain(length, num_lines), "山，月", "竹客")
    assert conditions_of(poem) == Conditions(form, "竹客", "山，月")
    assert conditions_of(Poem(poem.text)) == Conditions(form)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], NO_CONDITIONS),
        (["form"], Conditions(form="五绝")),
        (["title", "author"], Conditions(author="竹客", title="山月")),
        (["form", "author", "title"], ALL),
    ],
)
def test_restrict_to_clears_other_fields(names: list[str], expected: Conditions) -> None:
    assert restrict_to(ALL, names) == expected
    assert restrict_to(ALL, iter(names)) == expected


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, []),
        ({"form_rate": 0.1}, FORMS),
        ({"title_rate": 0.1}, [TITLE]),
        ({"author_rate": 0.1}, ["<author:溪翁>", "<author:松友>", "<author:竹客>"]),
        (
            {"form_rate": 1, "author_rate": 1, "title_rate": 1},
            [*FORMS, TITLE, "<author:溪翁>", "<author:松友>", "<author:竹客>"],
        ),
    ],
)
def test_symbols_follow_rates(rates: dict[str, Any], expected: list[str]) -> None:
    """溪翁 has four poems, 松友 and 竹客 have three each (松 is U+677E, 竹 U+7AF9), 石叟 has two."""
    assert ord("松") < ord("竹")
    names = ["竹客", "溪翁", "", "松友", "石叟"] * 2 + ["竹客", "溪翁", "", "松友"] + ["溪翁", ""]
    config = ConditionsConfig(author_min_poems=3, **rates)
    assert condition_symbols(map(poem_by, names), config) == expected


@pytest.mark.parametrize(("min_poems", "num_authors"), [(1, 2), (2, 2), (3, 1), (4, 0)])
def test_symbols_need_author_min_poems(min_poems: int, num_authors: int) -> None:
    config = ConditionsConfig(author_rate=0.5, author_min_poems=min_poems)
    poems = [poem_by(name) for name in ("竹客", "竹客", "竹客", "溪翁", "溪翁")]
    assert len(condition_symbols(poems, config)) == num_authors


def test_encode_order() -> None:
    assert symbols(ALL) == ["<form:五绝>", "<author:竹客>", TITLE, "山", "月"]
    assert symbols(NO_CONDITIONS) == []


def test_encode_omits_unknown() -> None:
    unknown = Conditions("词", "石叟", "云")
    assert symbols(unknown) == [TITLE, "云"]
    assert symbols(ALL, BARE) == []


def test_encode_separates_symbol_classes() -> None:
    assert symbols(Conditions(author="五绝")) == []
    assert symbols(Conditions(form="竹客")) == []
    assert symbols(Conditions(author="山")) == []


def test_title_is_its_hanzi() -> None:
    title = "山·水（其2）rain，〇鹤"
    assert title_characters(title) == "山水其鹤"
    ids = encode_conditions(Conditions(title=title), VOCAB)
    assert ids == [VOCAB.ids[TITLE], VOCAB.ids["山"], VOCAB.ids["水"], UNK, UNK]


@pytest.mark.parametrize("length", [MAX_TITLE - 1, MAX_TITLE, MAX_TITLE + 1, 3 * MAX_TITLE])
def test_title_is_truncated(length: int) -> None:
    assert MAX_TITLE == 24
    title = ("山水云月" * length)[:length]
    assert symbols(Conditions(title=title)) == [TITLE, *title[:24]]


def test_title_length_excludes_marks() -> None:
    title = "，".join("山水云月" * 6)
    assert symbols(Conditions(title=title)) == [TITLE, *"山水云月" * 6]
    assert unsupported(Conditions(title=title), VOCAB) == []


def test_title_without_hanzi_is_omitted() -> None:
    assert symbols(Conditions(title="No. 3")) == []


RATES = ConditionsConfig(form_rate=0.8, author_rate=0.4, title_rate=0.1)
MANY = [ALL] * 5000


def sampled(seed: int = 1, epoch: int = 0) -> list[Conditions]:
    return list(sample_conditions(MANY, RATES, seed, epoch))


def test_sample_rates_are_independent() -> None:
    found = sampled()
    # Four standard deviations of 5000 coins are 0.028 at most.
    for name, rate in (("form", 0.8), ("author", 0.4), ("title", 0.1)):
        share = sum(bool(getattr(one, name)) for one in found) / len(found)
        assert share == pytest.approx(rate, abs=0.028)
    both = sum(bool(one.form and one.author) for one in found) / len(found)
    neither = sum(not (one.form or one.author) for one in found) / len(found)
    assert both == pytest.approx(0.8 * 0.4, abs=0.028)
    assert neither == pytest.approx(0.2 * 0.6, abs=0.028)


def test_sample_keeps_values() -> None:
    for one in sampled():
        assert one.form in ("", ALL.form)
        assert one.author in ("", ALL.author)
        assert one.title in ("", ALL.title)


def test_sample_rates_0_and_1() -> None:
    config = ConditionsConfig(form_rate=1, author_rate=0, title_rate=1)
    found = set(sample_conditions(MANY, config, 1, 0))
    assert found == {Conditions("五绝", "", "山月")}


def test_sample_of_no_conditions() -> None:
    config = ConditionsConfig(form_rate=1, author_rate=1, title_rate=1)
    assert list(sample_conditions([NO_CONDITIONS], config, 1, 0)) == [NO_CONDITIONS]


def test_sample_depends_on_seed_and_epoch() -> None:
    assert sampled(1, 3) == sampled(1, 3)
    samples = [sampled(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert not any(a == b for i, a in enumerate(samples) for b in samples[:i])


def test_sample_of_a_poem_ignores_other_poems() -> None:
    others = [NO_CONDITIONS if number % 2 else ALL for number in range(len(MANY))]
    found = list(sample_conditions(others, RATES, 1, 0))
    assert found[::2] == sampled()[::2]


@pytest.mark.parametrize(
    ("conditions", "vocab", "faults"),
    [
        (NO_CONDITIONS, BARE, []),
        (NO_CONDITIONS, VOCAB, []),
        (ALL, VOCAB, []),
        (
            Conditions(form="五绝"),
            BARE,
            ["the model was not trained with the form 五绝: the form is left out"],
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
                "the model was not trained with the author 石叟: the author is left out; "
                "poetgen info --json lists the known authors"
            ],
        ),
        (
            Conditions(author="老溪翁"),
            VOCAB,
            [
                "the model was not trained with the author 老溪翁: the author is left out; "
                "did you mean 溪翁?"
            ],
        ),
        (
            Conditions(title="山"),
            BARE,
            ["the model was not trained with titles: the title is left out"],
        ),
        (
            Conditions(title="No. 3"),
            VOCAB,
            ["the title No. 3 has no Han character: the title is left out"],
        ),
        (
            Conditions(title="山水云月，" * 7),
            VOCAB,
            ["the title is long: only its beginning is used, " + "山水云月" * 6],
        ),
        (Conditions(title="山水云月" * 6), VOCAB, []),
        (
            Conditions(title="山鳌"),
            VOCAB,
            ["not in the model's vocabulary, read as unknown in the title: 鳌"],
        ),
    ],
    ids=str,
)
def test_unsupported_messages(conditions: Conditions, vocab: Vocabulary, faults: list[str]) -> None:
    assert unsupported(conditions, vocab) == faults


def test_unsupported_lists_all() -> None:
    faults = unsupported(ALL, BARE)
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
def test_unsupported_or_encoded(conditions: Conditions, vocab: Vocabulary) -> None:
    assert bool(encode_conditions(conditions, vocab)) is not bool(unsupported(conditions, vocab))


def test_known_forms() -> None:
    assert known_forms(VOCAB) == ["五绝", "七绝", "五律", "七律"]
    assert known_forms(BARE) == []


def test_known_authors_order() -> None:
    assert known_authors(VOCAB) == ["竹客", "溪翁"]
    assert known_authors(BARE) == []
    poems = [poem_by(name) for name in ("竹客", "溪翁", "溪翁")]
    config = ConditionsConfig(form_rate=1, author_rate=1, title_rate=1, author_min_poems=1)
    built = Vocabulary.build(poems, min_count=1, conditions=condition_symbols(poems, config))
    assert known_authors(built) == ["溪翁", "竹客"]
