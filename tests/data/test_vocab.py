"""`poetgen.data.vocab`: the ids of characters, specials and conditions."""

import pytest

from poetgen.data.corpus import Corpus
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import BOS, EOS, PAD, UNK, Vocabulary
from poetgen.prosody.marks import MARKS

# 山 4, 水 3, 月 2, 云 2, 风 1.
POEMS = [Poem("山山水月，山水云风。"), Poem("水山月云。")]
FIXED = ("<pad>", "<bos>", "<eos>", "<unk>", "，", "。", "？", "！")


def test_build_order() -> None:
    assert ord("云") < ord("月") < ord("风")
    assert Vocabulary.build(POEMS, min_count=1).symbols == (*FIXED, *"山水云月风")
    assert [PAD, BOS, EOS, UNK] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("min_count", "characters"),
    [(1, "山水云月风"), (2, "山水云月"), (3, "山水"), (4, "山"), (5, "")],
)
def test_build_min_count(min_count: int, characters: str) -> None:
    vocab = Vocabulary.build(POEMS, min_count=min_count)
    assert vocab.symbols == (*FIXED, *characters)
    assert len(vocab) == 8 + len(characters)
    assert vocab.num_hanzi == len(characters)


def test_build_ignores_poem_order() -> None:
    assert Vocabulary.build(POEMS[::-1], min_count=1) == Vocabulary.build(POEMS, min_count=1)


CONDITIONS = ["<form:五绝>", "<title>", "<author:云>"]


def test_build_appends_conditions() -> None:
    vocab = Vocabulary.build(POEMS, min_count=1, conditions=CONDITIONS)
    assert vocab.symbols == (*FIXED, *"山水云月风", *CONDITIONS)
    assert vocab.num_hanzi == 5


def test_not_text_is_all_but_eos_and_text() -> None:
    assert Vocabulary.build(POEMS, min_count=1).not_text == (PAD, BOS, UNK)
    vocab = Vocabulary.build(POEMS, min_count=1, conditions=CONDITIONS)
    assert vocab.not_text == (PAD, BOS, UNK, 13, 14, 15)


def test_encode_ignores_condition_text() -> None:
    vocab = Vocabulary.build(POEMS, min_count=1, conditions=CONDITIONS)
    assert vocab.encode("<title>") == [UNK] * 7


def test_extended_appends_new_symbols() -> None:
    old = Vocabulary.build(POEMS[:1], min_count=2, conditions=CONDITIONS[:2])
    new = Vocabulary.build([Poem("花山，花雪。")], min_count=1, conditions=CONDITIONS)
    assert old.symbols == (*FIXED, *"山水", *CONDITIONS[:2])
    both = old.extended(new)
    assert both.symbols == (*old.symbols, *"花雪", CONDITIONS[2])
    assert {both.ids[symbol] for symbol in new.symbols} <= set(range(len(both)))
    assert both.num_hanzi == 4
    assert both.not_text == (PAD, BOS, UNK, 10, 11, 14)


def test_extended_by_nothing() -> None:
    vocab = Vocabulary.build(POEMS, min_count=1, conditions=CONDITIONS)
    assert vocab.extended(Vocabulary.build(POEMS[1:], min_count=1)) == vocab
    assert vocab.extended(vocab) == vocab


def test_build_contains_all_marks() -> None:
    assert Vocabulary.build([], min_count=1).symbols == FIXED


def test_encode_and_decode_by_hand() -> None:
    vocab = Vocabulary.build(POEMS, min_count=2)
    assert vocab.encode("山水。") == [8, 9, 5]
    assert vocab.encode_poem("月，云？") == [BOS, 11, 4, 10, 6, EOS]
    assert vocab.decode([BOS, 11, 4, 10, 6, EOS, PAD, PAD]) == "月，云？"
    assert vocab.encode("") == []
    assert vocab.encode_poem("") == [BOS, EOS]


def test_encode_unknown_characters() -> None:
    vocab = Vocabulary.build(POEMS, min_count=2)
    assert vocab.encode("风山花") == [UNK, 8, UNK]
    assert vocab.unknown("花风山花。x") == ["花", "风", "x"]
    assert vocab.unknown("山水。") == []
    assert vocab.decode([UNK, 8]) == "<unk>山"


def test_encode_ignores_special_text() -> None:
    vocab = Vocabulary.build(POEMS, min_count=1)
    assert vocab.encode("<eos>") == [UNK] * 5


def test_encode_round_trip(starter: Corpus) -> None:
    vocab = Vocabulary.build(starter.splits["train"], min_count=1)
    for poem in starter.splits["train"]:
        assert vocab.decode(vocab.encode_poem(poem.text)) == poem.text
    assert vocab.num_hanzi == sum(
        map(is_hanzi, {c for p in starter.splits["train"] for c in p.text})
    )


def test_build_excludes_held_out(starter: Corpus) -> None:
    held_out = [*starter.splits["valid"], *starter.splits["test"]]
    trained = {c for poem in starter.splits["train"] for c in poem.text}
    vocab = Vocabulary.build(starter.splits["train"], min_count=1)
    # Marks have ids even if they do not occur.
    only_held_out = {c for poem in held_out for c in poem.text} - trained - set(MARKS)
    assert only_held_out
    assert only_held_out.isdisjoint(vocab.symbols)
