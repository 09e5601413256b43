"""`poetgen.evaluation.reader.features`: hand-counted features of small poems."""

import numpy as np
import pytest

from poetgen.data.poem import Poem
from poetgen.evaluation.reader.features import FEATURES, PoemFeatures

BACKGROUND = [
    Poem("山月照江云，松风入水声。夜深人不语，独坐待天明。"),
    Poem("春水绿如天，轻舟泊柳边。故人书未到，花落又经年。"),
    Poem("山风吹落叶，江月照归人。一别三千里，相逢梦里身。"),
]


def features_of(text: str) -> dict[str, float]:
    (row,) = PoemFeatures(BACKGROUND).matrix([Poem(text)])
    return dict(zip(FEATURES, row.tolist(), strict=True))


def test_repeats_of_a_poem() -> None:
    found = features_of("山山山水水，山月水风云？花草木虫鱼，花鸟树石泉！")
    assert found["repeated characters"] == pytest.approx(6 / 20)
    assert found["repeats within a line"] == pytest.approx(3 / 20)
    assert found["repeats of the line before"] == pytest.approx(3 / 20)  # 山, 水 and 花
    assert found["most frequent character"] == 4
    assert found["characters used three times"] == 2
    assert found["doubled characters"] == 3
    assert found["equal first characters"] == 2
    assert (found["questions"], found["exclamations"]) == (1, 1)


def test_verse_of_a_poem() -> None:
    found = features_of("白日依山尽，黄河入海流。欲穷千里目，更上一层楼。")
    assert found["even lines rhyme"] == found["level rhyme"] == 1
    assert found["equal rhyme characters"] == 0
    assert found["alternating lines"] == 1
    assert found["breaks of the pattern"] == 0


def test_phrases_seen_in_the_background() -> None:
    found = features_of("山月照江云，松风入水声。甲乙丙丁戊，己庚辛壬癸。")
    assert found["2-grams seen"] == pytest.approx(9 / 19)
    assert found["longest n-gram seen"] == 7
    assert found["rare characters"] == pytest.approx(0.5)


def test_facing_characters_seen_together_are_parallel() -> None:
    seen = features_of("春月照江云，轻风入水声。甲乙丙丁戊，己庚辛壬癸。")
    unseen = features_of("春月照江云，松舟入水声。甲乙丙丁戊，己庚辛壬癸。")
    assert seen["parallelism of other couplets"] > unseen["parallelism of other couplets"]
    assert seen["parallelism of middle couplets"] == 0  # a quatrain has none


def test_copied_lines_surprise_less() -> None:
    copied = features_of("山月照江云，松风入水声。夜深人不语，独坐待天明。")
    mixed = features_of("天云入江水，声语不人深。独明月坐风，松照夜待山。")
    assert copied["mean surprise"] < mixed["mean surprise"]
    assert copied["least surprising line"] <= copied["mean surprise"]


def test_matrix_does_not_depend_on_other_poems() -> None:
    features = PoemFeatures(BACKGROUND)
    whole = features.matrix(BACKGROUND)
    assert whole.shape == (3, len(FEATURES))
    assert np.array_equal(PoemFeatures(BACKGROUND).matrix(BACKGROUND[1:2])[0], whole[1])
    assert np.array_equal(features.matrix(BACKGROUND[:1]), whole[:1])
    assert features.matrix([]).shape == (0, len(FEATURES))
