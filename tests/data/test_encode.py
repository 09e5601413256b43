"""`poetgen.data.encode`: the same poems in each epoch, with sampled conditions."""

from typing import Any

import pytest

from poetgen.config import Config, build_config
from poetgen.data.conditions import condition_symbols, conditions_of, encode_conditions
from poetgen.data.encode import TrainingDataset, encode_poems
from poetgen.data.poem import Poem
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
    Poem(COUPLETS[2], "", "竹客"),  # neither form nor title
]


def dataset_of(poems: list[Poem] = POEMS, *, seed: int = 1, **conditions: Any) -> TrainingDataset:
    config = config_of(seed=seed, **conditions)
    return TrainingDataset(poems, vocab_of(poems, config), config)


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
def test_encode_omits_eos_if_truncated(
    vocab: Vocabulary, max_tokens: int, num_couplets: int
) -> None:
    (ids,) = encode_poems([Poem("".join(COUPLETS))], vocab, max_tokens)
    assert ids[0] == BOS
    assert vocab.decode(ids) == "".join(COUPLETS[:num_couplets])
    assert ids.count(EOS) == (num_couplets == 3)
    assert len(ids) - 1 <= max_tokens
    if num_couplets == 3:
        assert ids[-1] == EOS


def test_encode_keeps_order(vocab: Vocabulary) -> None:
    sequences = encode_poems(list(map(Poem, COUPLETS)), vocab, 64)
    assert sequences == [vocab.encode_poem(couplet) for couplet in COUPLETS]


def test_epoch_without_conditions() -> None:
    config = config_of()
    vocab = vocab_of(POEMS, config)
    dataset = TrainingDataset(POEMS, vocab, config)
    for number in (0, 1, 7):
        assert dataset.epoch(number) == encode_poems(POEMS, vocab, config.data.max_tokens)


def test_epoch_with_all_conditions() -> None:
    config = config_of(form_rate=1, author_rate=1, title_rate=1)
    vocab = vocab_of(POEMS, config)
    dataset = TrainingDataset(POEMS, vocab, config)
    bare = encode_poems(POEMS, vocab, config.data.max_tokens)
    for poem, ids, poem_ids in zip(POEMS, dataset.epoch(0), bare, strict=True):
        assert ids == encode_conditions(conditions_of(poem), vocab) + poem_ids
    first, *_, last = dataset.epoch(0)
    assert [vocab.symbols[i] for i in first[: first.index(BOS)]] == [
        "<form:五绝>",
        "<author:竹客>",
        "<title>",
        *"溪山",
    ]
    assert [vocab.symbols[i] for i in last[: last.index(BOS)]] == ["<author:竹客>"]
    assert dataset.epoch(0) == dataset.epoch(1)


@pytest.mark.parametrize("name", ["form", "author", "title"])
def test_epoch_rate_is_share_of_poems(name: str) -> None:
    config = config_of(form_rate=1, author_rate=1, title_rate=1)
    vocab = vocab_of(POEMS, config)
    rates: dict[str, Any] = {"form_rate": 1, "author_rate": 1, "title_rate": 1, f"{name}_rate": 0.3}
    some = config_of(**rates)
    prefixes = {"form": "<form:", "author": "<author:", "title": "<title>"}
    counts = {
        other: sum(
            any(vocab.symbols[i].startswith(prefix) for i in ids)
            for ids in TrainingDataset(POEMS[:-1], vocab, some).epoch(0)
        )
        for other, prefix in prefixes.items()
    }
    # Four standard deviations around 120 of 400 are 37 poems.
    assert abs(counts[name] - 120) < 37
    assert {counts[other] for other in counts if other != name} == {400}


def test_epochs_differ_in_conditions_only() -> None:
    dataset = dataset_of(form_rate=0.5, author_rate=0.5, title_rate=0.5)
    epochs = [dataset.epoch(number) for number in (0, 1, 2)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    bare = dataset_of().epoch(0)
    for epoch in epochs:
        assert [ids[ids.index(BOS) :] for ids in epoch] == bare


def test_epoch_depends_on_seed_and_number_only() -> None:
    one, other = (dataset_of(form_rate=0.5, author_rate=0.5, title_rate=0.5) for _ in range(2))
    forwards = [one.epoch(number) for number in (0, 1, 2)]
    backwards = [other.epoch(number) for number in (2, 1, 0)]
    assert forwards == backwards[::-1]
    assert (
        dataset_of(seed=2, form_rate=0.5, author_rate=0.5, title_rate=0.5).epoch(0) != forwards[0]
    )


def test_num_tokens_excludes_conditions() -> None:
    expected = 400 * (len(QUATRAIN) + 1) + len(COUPLETS[2]) + 1
    assert dataset_of().num_tokens == expected
    assert dataset_of(form_rate=1, author_rate=1, title_rate=1).num_tokens == expected


def test_form_condition_of_truncated_poem() -> None:
    config = config_of(form_rate=1)
    short = config.model_copy(update={"data": config.data.model_copy(update={"max_tokens": 16})})
    vocab = vocab_of(POEMS, config)
    ids = TrainingDataset(POEMS, vocab, short).epoch(0)[0]
    assert ids == [vocab.ids["<form:五绝>"], BOS, *vocab.encode(COUPLETS[0])]


def test_title_character_without_id_is_unknown() -> None:
    poems = [Poem(QUATRAIN, "登鹳楼")] * 2
    ids = dataset_of(poems, title_rate=1).epoch(0)[0]
    assert ids[1 : ids.index(BOS)] == [UNK] * 3


def test_fingerprint_depends_on_ids_and_order() -> None:
    same = dataset_of().fingerprint
    assert same == dataset_of(list(POEMS)).fingerprint
    config = config_of()
    vocab = vocab_of(POEMS, config)
    others = [
        TrainingDataset(POEMS[1:], vocab, config),
        TrainingDataset(POEMS[::-1], vocab, config),
        TrainingDataset(POEMS, Vocabulary(vocab.symbols[:-1]), config),
        dataset_of(form_rate=0.5),
        dataset_of(form_rate=0.7),
        dataset_of(form_rate=0.5, seed=2),
    ]
    assert len({same, *(other.fingerprint for other in others)}) == len(others) + 1


def test_fingerprint_depends_on_poem_boundaries(vocab: Vocabulary) -> None:
    config = build_config({})
    one, two = (
        TrainingDataset([Poem(a), Poem(b)], vocab, config).fingerprint
        for a, b in ((COUPLETS[0], ""), ("", COUPLETS[0]))
    )
    assert one != two
