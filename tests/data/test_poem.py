"""`poetgen.data.poem`: lines, formatting, hashes and Han characters."""

import pytest

from poetgen.data.poem import Poem, content_hash, fingerprint, is_hanzi
from poetgen.prosody.marks import split_lines

QUATRAIN = "山风吹竹径，溪月照柴门。夜静无人语？钟声过远村！"


@pytest.mark.parametrize(
    "character",
    ["一", "\u9fff", "\u3400", "\u4dbf", "\U00020000", "\U0003ffff", "\uf900", "\ufaff"],
)
def test_is_hanzi_of_every_block(character: str) -> None:
    assert is_hanzi(character)


@pytest.mark.parametrize(
    "character", ["〇", "，", "。", "a", "2", "□", "か", "\u4dc0", "\U0001f600", "\ue000", "\ufffd"]
)
def test_is_hanzi_rejects_marks_letters_zeros(character: str) -> None:
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
def test_poem_lines(text: str, lines: tuple[str, ...]) -> None:
    assert split_lines(text) == lines
    assert Poem(text).lines == lines


def test_poem_characters() -> None:
    assert Poem(QUATRAIN).characters == "山风吹竹径溪月照柴门夜静无人语钟声过远村"


def test_poem_str() -> None:
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
def test_poem_formatted(text: str, rows: str) -> None:
    assert Poem(text).formatted() == rows


def test_content_hash_is_blake2b() -> None:
    # `printf 春 | b2sum -l 64`
    assert content_hash("春") == 0x20721260B6EC4716


def test_content_hash_of_lone_surrogate() -> None:
    assert content_hash("\ud800") != content_hash("\ud801")


def test_fingerprint_is_sum_of_hashes() -> None:
    poems = [Poem("春"), Poem("夏"), Poem("秋")]
    total = sum(content_hash(poem.text) for poem in poems) % 2**64
    assert fingerprint(poems) == f"{total:016x}"
    assert fingerprint(reversed(poems)) == fingerprint(poems)
    assert fingerprint([Poem("春")]) == "20721260b6ec4716"
    assert fingerprint([]) == "0" * 16


def test_fingerprint_ignores_titles_and_authors() -> None:
    assert fingerprint([Poem("春。")]) != fingerprint([Poem("春！")])
    assert fingerprint([Poem("春。", "甲", "乙")]) == fingerprint([Poem("春。")])
