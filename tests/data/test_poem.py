"""`poetgen.data.poem`: lines, layout, hashes and what counts as a Han character."""

import pytest

from poetgen.data.poem import Poem, content_hash, fingerprint, is_hanzi, split_lines

QUATRAIN = "山风吹竹径，溪月照柴门。夜静无人语？钟声过远村！"


@pytest.mark.parametrize(
    "character",
    ["一", "\u9fff", "\u3400", "\u4dbf", "\U00020000", "\U0003ffff", "\uf900", "\ufaff"],
)
def test_han_characters_of_every_block_are_hanzi(character: str) -> None:
    assert is_hanzi(character)


@pytest.mark.parametrize(
    "character", ["〇", "，", "。", "a", "2", "□", "か", "\u4dc0", "\U0001f600", "\ue000", "\ufffd"]
)
def test_marks_letters_and_zeros_are_not_hanzi(character: str) -> None:
    assert not is_hanzi(character)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ()),
        ("，。？！", ()),
        ("春眠", ("春眠",)),
        ("春眠，", ("春眠",)),
        ("，春眠。。不觉", ("春眠", "不觉")),
        (QUATRAIN, ("山风吹竹径", "溪月照柴门", "夜静无人语", "钟声过远村")),
    ],
)
def test_lines_are_what_stands_between_marks(text: str, lines: tuple[str, ...]) -> None:
    assert split_lines(text) == lines
    assert Poem(text).lines == lines


def test_characters_are_the_text_without_marks() -> None:
    assert Poem(QUATRAIN).characters == "山风吹竹径溪月照柴门夜静无人语钟声过远村"


def test_a_poem_prints_as_its_text() -> None:
    assert str(Poem(QUATRAIN, "夜坐", "无名")) == QUATRAIN


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (QUATRAIN, "山风吹竹径，溪月照柴门。\n夜静无人语？\n钟声过远村！"),
        ("山风吹竹径，溪月", "山风吹竹径，溪月"),
        ("山风。溪月", "山风。\n溪月"),
        ("", ""),
    ],
)
def test_laid_out_puts_a_sentence_on_a_row(text: str, rows: str) -> None:
    assert Poem(text).laid_out() == rows


def test_content_hash_is_the_first_64_bits_of_blake2b() -> None:
    # `printf 春 | b2sum -l 64`
    assert content_hash("春") == 0x20721260B6EC4716


def test_content_hash_takes_a_lone_surrogate() -> None:
    assert content_hash("\ud800") != content_hash("\ud801")


def test_fingerprint_is_the_sum_of_the_hashes_modulo_64_bits() -> None:
    poems = [Poem("春"), Poem("夏"), Poem("秋")]
    total = sum(content_hash(poem.text) for poem in poems) % 2**64
    assert fingerprint(poems) == f"{total:016x}"
    assert fingerprint(reversed(poems)) == fingerprint(poems)
    assert fingerprint([Poem("春")]) == "20721260b6ec4716"
    assert fingerprint([]) == "0" * 16


def test_fingerprint_tells_texts_apart_and_overlooks_titles() -> None:
    assert fingerprint([Poem("春。")]) != fingerprint([Poem("春！")])
    assert fingerprint([Poem("春。", "甲", "乙")]) == fingerprint([Poem("春。")])
