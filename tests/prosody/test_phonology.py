"""`poetgen.prosody.phonology`: tones and rhyme groups, as in any rhyme dictionary."""

from collections import Counter
from pathlib import Path

import pytest
from tshet_uinh import 資料

from poetgen.data.corpus import load_corpus
from poetgen.prosody.phonology import (
    _FANQIE,
    _SPELLINGS,
    Reading,
    readings,
    rhyme_groups,
    rhymes,
    tones,
)


@pytest.mark.parametrize(
    ("character", "tone", "group"),
    [
        ("东", "平", "东"),
        ("東", "平", "东"),
        ("流", "平", "尤"),
        ("海", "上", "贿"),
        ("目", "入", "屋"),
        ("日", "入", "质"),
        ("窗", "平", "江"),
        ("严", "平", "盐"),
    ],
)
def test_readings_single(character: str, tone: str, group: str) -> None:
    assert readings(character) == {Reading(tone, group)}


def test_readings_several() -> None:
    assert readings("看") == {Reading("平", "寒"), Reading("去", "翰")}
    assert tones("看") == {"平", "去"}
    assert rhymes("看") == {"寒", "翰"}


def test_readings_of_simplified_character() -> None:
    # 发 replaces 發 and 髮; 干 replaces 干, 乾 and 幹.
    assert readings("发") >= readings("發")
    assert readings("干") >= readings("乾") | readings("幹") | readings("干")


@pytest.mark.parametrize("character", ["A", "，", "𠮷", "☃"])
def test_readings_of_unknown_character(character: str) -> None:
    assert readings(character) == frozenset()
    assert tones(character) == frozenset()
    assert rhymes(character) == frozenset()


def test_rhyme_groups_are_106() -> None:
    assert [len(rhyme_groups(tone)) for tone in "平上去入"] == [30, 29, 30, 17]
    assert len(set(rhyme_groups())) == 106
    assert rhyme_groups("平")[:3] == ("东", "冬", "江")


def test_readings_of_every_rhyme_book_head() -> None:
    heads = list(資料.m字頭檢索)
    assert len(heads) > 19_000
    assert all(readings(head) for head in heads)


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("滚", {Reading("上", "阮"), Reading("去", "愿")}),  # 集韻 古本切, 古困切
        ("滾", {Reading("上", "阮"), Reading("去", "愿")}),
        ("潇", {Reading("平", "萧")}),  # 集韻 先彫切
        ("罕", {Reading("上", "旱"), Reading("去", "翰")}),  # 䍐 in the 廣韻
        ("鶗", {Reading("平", "齐"), Reading("去", "霁")}),  # 廣韻 杜奚切, 特計切
    ],
)
def test_readings_of_added_character(character: str, expected: set[Reading]) -> None:
    assert readings(character) == expected


def test_fanqie_rhyme_with_lower_character() -> None:
    entries = [entry for row in _FANQIE.strip().split("\n") for entry in row.split()[1:]]
    assert len(entries) > 100
    assert [e for e in entries if len(e) != 4 or e[3] not in rhymes(e[2])] == []


def test_spellings_are_read_as_their_head() -> None:
    for pair in _SPELLINGS.split():
        assert len(pair) == 2
        assert readings(pair[0]) >= readings(pair[1]) != frozenset(), pair


@pytest.mark.corpus
def test_readings_cover_corpus(real_corpus: Path) -> None:
    poems = load_corpus([real_corpus]).poems
    counts = Counter(c for poem in poems for c in poem.characters)
    unknown = sum(n for c, n in counts.items() if not readings(c))
    assert unknown / counts.total() <= 0.0002
