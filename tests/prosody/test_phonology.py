"""`poetgen.prosody.phonology`: tones and rhyme groups, as in any rhyme dictionary."""

import json
from collections import Counter
from pathlib import Path

import pytest
from tshet_uinh import 資料

from poetgen.data.corpus import load_corpus
from poetgen.prosody.phonology import (
    _FANQIE,
    _SPELLINGS,
    TONE_COUNTS_FILE,
    Reading,
    ToneCounts,
    is_in_use,
    neighbors,
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
    own = readings("干", any_reading=True)
    assert own >= readings("乾") | readings("幹") | readings("干")


@pytest.mark.parametrize(
    ("level", "oblique", "used"),
    [
        (5, 95, (True, True)),  # one in twenty
        (4, 96, (False, True)),
        (96, 4, (True, False)),
        (1, 19, (True, True)),
        (0, 20, (False, True)),
        (20, 0, (True, False)),
        (0, 19, (True, True)),  # too few occurrences
        (0, 0, (True, True)),
    ],
)
def test_is_in_use_by_counts(level: int, oblique: int, used: tuple[bool, bool]) -> None:
    counts = ToneCounts(level, oblique)
    assert (is_in_use(counts, level=True), is_in_use(counts, level=False)) == used


@pytest.mark.parametrize(
    ("character", "tones_used", "any_tones", "groups"),
    [
        ("不", "上入", "平上入", {"有", "物"}),
        ("空", "平", "平去", {"东"}),
        ("望", "去", "平去", {"漾"}),
        ("看", "平去", "平去", {"寒", "翰"}),
        ("过", "平去", "平去", {"歌", "个"}),
    ],
)
def test_readings_that_poets_used(
    character: str, tones_used: str, any_tones: str, groups: set[str]
) -> None:
    assert tones(character) == set(tones_used)
    assert tones(character, any_reading=True) == set(any_tones)
    assert rhymes(character) == groups <= rhymes(character, any_reading=True)


def test_tone_counts_are_of_characters_of_two_tones() -> None:
    counts = json.loads(TONE_COUNTS_FILE.read_text(encoding="utf-8"))["characters"]
    assert list(counts) == sorted(counts)
    for character, (level, oblique) in counts.items():
        own = tones(character, any_reading=True)
        assert "平" in own
        assert len(own) > 1
        assert level + oblique >= 20
        assert tones(character)


def test_neighbors_are_mutual_level_groups() -> None:
    level = rhyme_groups("平")
    assert neighbors("文") == set("真元寒删先")
    assert neighbors("麻") == {"佳"}
    assert neighbors("尤") == neighbors("送") == frozenset()
    for group in rhyme_groups():
        assert neighbors(group) <= set(level) - {group}
        assert all(group in neighbors(other) for other in neighbors(group))


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
