"""`poetgen.data.training_text`: the same poems each epoch, each time with other conditions given."""

from typing import Any

import pytest

from poetgen.config import Config, build_config
from poetgen.data.conditions import condition_symbols, conditions_of, encode_conditions
from poetgen.data.poem import Poem
from poetgen.data.training_text import TrainingText, encode_for_training
from poetgen.data.vocab import BOS, EOS, UNK, Vocabulary

COUPLETS = [
    "山风吹竹径，溪月照柴门。",
    "霜叶随溪下，寒鸦绕树啼。",
    "夜静无人语，钟声过远村。",
]
QUATRAIN = COUPLETS[0] + COUPLETS[1]
AUTHORS = ["竹客", "溪翁"]
POEMS = [
    *(Poem(QUATRAIN, "溪山", AUTHORS[number % 2]) for number in range(400)),
    Poem(COUPLETS[2], "", "竹客"),  # of no form and no title
]


def text_of(poems: list[Poem] = POEMS, *, seed: int = 1, **conditions: Any) -> TrainingText:
    config = config_of(seed=seed, **conditions)
    return TrainingText(poems, vocab_of(poems, config), config)


def config_of(*, seed: int = 1, **conditions: Any) -> Config:
    given = {"author_min_poems": 2, **conditions}
    return build_config({"conditions": given, "train": {"seed": seed}, "data": {"min_count": 1}})


def vocab_of(poems: list[Poem], config: Config) -> Vocabulary:
    return Vocabulary.build(
        poems, min_count=1, conditions=condition_symbols(poems, config.conditions)
    )


@pytest.fixture(scope="module")
def vocab() -> Vocabulary:
    return Vocabulary.build(map(Poem, COUPLETS), min_count=1)


@pytest.mark.parametrize(
    ("max_tokens", "num_couplets"), [(37, 3), (36, 2), (25, 2), (24, 1), (13, 1)]
)
def test_only_a_whole_poem_has_an_end(
    vocab: Vocabulary, max_tokens: int, num_couplets: int
) -> None:
    (ids,) = encode_for_training([Poem("".join(COUPLETS))], vocab, max_tokens)
    assert ids[0] == BOS
    assert vocab.decode(ids) == "".join(COUPLETS[:num_couplets])
    assert ids.count(EOS) == (num_couplets == 3)
    assert len(ids) - 1 <= max_tokens
    if num_couplets == 3:
        assert ids[-1] == EOS


def test_poems_are_encoded_in_order(vocab: Vocabulary) -> None:
    sequences = encode_for_training(list(map(Poem, COUPLETS)), vocab, 64)
    assert sequences == [vocab.encode_poem(couplet) for couplet in COUPLETS]


def test_without_conditions_every_epoch_is_the_bare_text() -> None:
    config = config_of()
    vocab = vocab_of(POEMS, config)
    text = TrainingText(POEMS, vocab, config)
    for number in (0, 1, 7):
        assert text.epoch(number) == encode_for_training(POEMS, vocab, config.data.max_tokens)


def test_with_every_rate_1_all_is_told_of_every_poem() -> None:
    config = config_of(form=1, author=1, title=1)
    vocab = vocab_of(POEMS, config)
    text = TrainingText(POEMS, vocab, config)
    bare = encode_for_training(POEMS, vocab, config.data.max_tokens)
    for poem, ids, poem_ids in zip(POEMS, text.epoch(0), bare, strict=True):
        assert ids == encode_conditions(conditions_of(poem), vocab) + poem_ids
    first, *_, last = text.epoch(0)
    assert [vocab.symbols[i] for i in first[: first.index(BOS)]] == [
        "<form:五绝>",
        "<author:竹客>",
        "<title>",
        *"溪山",
    ]
    assert [vocab.symbols[i] for i in last[: last.index(BOS)]] == ["<author:竹客>"]
    assert text.epoch(0) == text.epoch(1)


@pytest.mark.parametrize("kind", ["form", "author", "title"])
def test_rate_is_the_share_of_poems_that_are_told(kind: str) -> None:
    config = config_of(form=1, author=1, title=1)
    vocab = vocab_of(POEMS, config)
    rates: dict[str, Any] = {"form": 1, "author": 1, "title": 1, kind: 0.3}
    some = config_of(**rates)
    beginning = {"form": "<form:", "author": "<author:", "title": "<title>"}
    told = {
        other: sum(
            any(vocab.symbols[i].startswith(symbol) for i in ids)
            for ids in TrainingText(POEMS[:-1], vocab, some).epoch(0)
        )
        for other, symbol in beginning.items()
    }
    # One seed in 10,000 strays further than four standard deviations, 37 poems, from 120 of 400.
    assert abs(told[kind] - 120) < 37
    assert {told[other] for other in told if other != kind} == {400}


def test_epochs_differ_in_what_is_told_and_in_nothing_else() -> None:
    text = text_of(form=0.5, author=0.5, title=0.5)
    epochs = [text.epoch(number) for number in (0, 1, 2)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    bare = text_of().epoch(0)
    for epoch in epochs:
        assert [ids[ids.index(BOS) :] for ids in epoch] == bare


def test_seed_and_epoch_decide_what_is_told_in_whatever_order_they_are_asked_for() -> None:
    one, other = (text_of(form=0.5, author=0.5, title=0.5) for _ in range(2))
    forwards = [one.epoch(number) for number in (0, 1, 2)]
    backwards = [other.epoch(number) for number in (2, 1, 0)]
    assert forwards == backwards[::-1]
    assert text_of(seed=2, form=0.5, author=0.5, title=0.5).epoch(0) != forwards[0]


def test_conditions_are_not_counted() -> None:
    expected = 400 * (len(QUATRAIN) + 1) + len(COUPLETS[2]) + 1
    assert text_of().num_tokens == expected
    assert text_of(form=1, author=1, title=1).num_tokens == expected


def test_form_is_that_of_the_whole_poem_though_it_is_cut() -> None:
    config = config_of(form=1)
    short = config.model_copy(update={"data": config.data.model_copy(update={"max_tokens": 16})})
    vocab = vocab_of(POEMS, config)
    ids = TrainingText(POEMS, vocab, short).epoch(0)[0]
    assert ids == [vocab.ids["<form:五绝>"], BOS, *vocab.encode(COUPLETS[0])]


def test_character_of_a_title_that_no_poem_has_is_unknown() -> None:
    poems = [Poem(QUATRAIN, "登鹳楼")] * 2
    ids = text_of(poems, title=1).epoch(0)[0]
    assert ids[1 : ids.index(BOS)] == [UNK] * 3


def test_fingerprint_names_the_ids_in_their_order() -> None:
    same = text_of().fingerprint
    assert same == text_of(list(POEMS)).fingerprint
    config = config_of()
    vocab = vocab_of(POEMS, config)
    others = [
        TrainingText(POEMS[1:], vocab, config),
        TrainingText(POEMS[::-1], vocab, config),
        TrainingText(POEMS, Vocabulary(vocab.symbols[:-1]), config),
        text_of(form=0.5),
        text_of(form=0.7),
        text_of(form=0.5, seed=2),
    ]
    assert len({same, *(text.fingerprint for text in others)}) == len(others) + 1


def test_where_a_text_is_divided_into_poems_matters_to_its_fingerprint(vocab: Vocabulary) -> None:
    config = build_config({})
    one, two = (
        TrainingText([Poem(a), Poem(b)], vocab, config).fingerprint
        for a, b in ((COUPLETS[0], ""), ("", COUPLETS[0]))
    )
    assert one != two
