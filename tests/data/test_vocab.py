"""`poetgen.data.vocab`: which characters have an id, and which id."""

import pytest

from poetgen.data.corpus import Corpus
from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import BOS, EOS, PAD, UNK, Vocabulary

# 山 4, 水 3, 月 2, 云 2, 风 1.
POEMS = [Poem("山山水月，山水云风。"), Poem("水山月云。")]
FIXED = ("<pad>", "<bos>", "<eos>", "<unk>", "，", "。", "？", "！")


def test_the_order_is_specials_marks_then_count_then_code_point() -> None:
    assert ord("云") < ord("月") < ord("风")
    assert Vocabulary.build(POEMS, min_count=1).symbols == (*FIXED, *"山水云月风")
    assert [PAD, BOS, EOS, UNK] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("min_count", "characters"),
    [(1, "山水云月风"), (2, "山水云月"), (3, "山水"), (4, "山"), (5, "")],
)
def test_min_count_is_the_fewest_occurrences(min_count: int, characters: str) -> None:
    vocab = Vocabulary.build(POEMS, min_count=min_count)
    assert vocab.symbols == (*FIXED, *characters)
    assert len(vocab) == 8 + len(characters)
    assert vocab.num_hanzi == len(characters)


def test_the_order_of_the_poems_decides_nothing() -> None:
    assert Vocabulary.build(POEMS[::-1], min_count=1) == Vocabulary.build(POEMS, min_count=1)


def test_marks_have_an_id_even_where_no_poem_holds_them() -> None:
    assert Vocabulary.build([], min_count=1).symbols == FIXED


def test_encode_and_decode_by_hand() -> None:
    vocab = Vocabulary.build(POEMS, min_count=2)
    assert vocab.encode("山水。") == [8, 9, 5]
    assert vocab.encode_poem("月，云？") == [BOS, 11, 4, 10, 6, EOS]
    assert vocab.decode([BOS, 11, 4, 10, 6, EOS, PAD, PAD]) == "月，云？"
    assert vocab.encode("") == []
    assert vocab.encode_poem("") == [BOS, EOS]


def test_a_character_without_an_id_is_unknown_and_named_once_in_order() -> None:
    vocab = Vocabulary.build(POEMS, min_count=2)
    assert vocab.encode("风山花") == [UNK, 8, UNK]
    assert vocab.unknown("花风山花。x") == ["花", "风", "x"]
    assert vocab.unknown("山水。") == []
    assert vocab.decode([UNK, 8]) == "<unk>山"


def test_the_text_of_a_special_is_not_taken_for_it() -> None:
    vocab = Vocabulary.build(POEMS, min_count=1)
    assert vocab.encode("<eos>") == [UNK] * 5


def test_every_training_poem_comes_back(starter: Corpus) -> None:
    vocab = Vocabulary.build(starter.splits["train"], min_count=1)
    for poem in starter.splits["train"]:
        assert vocab.decode(vocab.encode_poem(poem.text)) == poem.text
    assert vocab.num_hanzi == sum(
        map(is_hanzi, {c for p in starter.splits["train"] for c in p.text})
    )


def test_the_held_out_poems_give_the_vocabulary_nothing(starter: Corpus) -> None:
    held_out = [*starter.splits["valid"], *starter.splits["test"]]
    trained = {c for poem in starter.splits["train"] for c in poem.text}
    vocab = Vocabulary.build(starter.splits["train"], min_count=1)
    only_held_out = {c for poem in held_out for c in poem.text} - trained
    assert only_held_out
    assert only_held_out.isdisjoint(vocab.symbols)
