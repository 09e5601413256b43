"""`poetgen.data.variants`: structure, agreement with OpenCC, and hand-picked pairs."""

import unicodedata
from collections import Counter

import opencc
import pytest

from poetgen.data.variants import _GROUPS, VARIANTS

FOLDED = """
隄堤 甎砖 覩睹 徧遍 鴈雁 窻窗 牎窗 牕窗 邨村 碁棋 靑青 淸清 嵓岩 疎疏 劒剑 猨猿 慙惭 簷檐
櫂棹 嬾懒 堦阶 廻回 僊仙 緜绵 髣仿 髴佛 慇殷 懃勤 秪只 秖只 彊强 逈迥 羇羁 鬬斗 髪发 冺泯
䟽疏 𬬻炉 𫏐暂 𫘞驼
"""
KEPT = "沈沉徵征徴祇祗乾余馀於着著球毬祐佑俛仝蒐釆"


@pytest.fixture(scope="module")
def t2s() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def test_groups_have_variants() -> None:
    assert all(len(group) > 1 for group in _GROUPS.split())


def test_groups_are_sorted() -> None:
    standards = [group[0] for group in _GROUPS.split()]
    assert standards == sorted(set(standards))


def test_variants_are_unique() -> None:
    counts = Counter(variant for group in _GROUPS.split() for variant in group[1:])
    assert [variant for variant, count in counts.items() if count > 1] == []
    assert len(counts) == len(VARIANTS)


def test_variants_are_single_ideographs() -> None:
    for key, target in VARIANTS.items():
        assert len(target) == 1
        for character in (chr(key), target):
            assert unicodedata.category(character) == "Lo"
            assert unicodedata.normalize("NFKC", character) == character


def test_targets_are_not_keys() -> None:
    assert [target for target in VARIANTS.values() if ord(target) in VARIANTS] == []


def test_targets_are_unchanged_by_opencc(t2s: opencc.OpenCC) -> None:
    assert [target for target in VARIANTS.values() if t2s.convert(target) != target] == []


def test_keys_are_unchanged_by_opencc(t2s: opencc.OpenCC) -> None:
    assert [chr(key) for key in VARIANTS if t2s.convert(chr(key)) != chr(key)] == []


@pytest.mark.parametrize("pair", FOLDED.split())
def test_variants_fold(pair: str) -> None:
    assert pair[0].translate(VARIANTS) == pair[1]


@pytest.mark.parametrize("character", KEPT)
def test_variants_keep_distinct_characters(character: str) -> None:
    assert character.translate(VARIANTS) == character


def test_variants_fold_a_line() -> None:
    line = "窻前疎竹影，簷下鴈来迟。"
    folded = line.translate(VARIANTS)
    assert folded == "窗前疏竹影，檐下雁来迟。"
    assert folded.translate(VARIANTS) == folded
