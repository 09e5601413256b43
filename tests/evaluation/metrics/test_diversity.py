"""Diversity metrics and character frequencies, with values computed by hand."""

import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from poetgen.data.poem import Poem
from poetgen.evaluation.metrics.diversity import (
    character_ngrams,
    distinct,
    frequencies,
    js_distance,
    rank_frequency,
    repeated_characters,
    repeated_lines,
    self_bleu,
)


def poems(*texts: str) -> list[Poem]:
    return [Poem(text) for text in texts]


def test_character_ngrams_skip_punctuation() -> None:
    assert character_ngrams(Poem("山云，月。"), 2) == ["山云", "云月"]
    assert character_ngrams(Poem("山。"), 2) == []


@pytest.mark.parametrize(
    ("n", "expected"),
    # 山云月 and 山云云: six characters, three distinct; pairs 山云 云月 山云 云云, three distinct.
    [(1, 3 / 6), (2, 3 / 4), (4, 0)],
)
def test_distinct_n(n: int, expected: float) -> None:
    assert distinct(poems("山云，月。", "山云云。"), n) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        # 2 of 4 characters and 1 of 3 pairs of each poem occur in the other.
        (["春夏秋冬", "春夏东西"], math.sqrt(2 / 4 * 1 / 3)),
        # 春春夏 against 春夏夏: one 春 counts, and 夏: 2/3; the pair 春夏 of two: 1/2.  The other: same.
        (["春春夏", "春夏夏"], math.sqrt(2 / 3 * 1 / 2)),
        # A short poem inside a long one: all of it occurs there, but it is half as long: e^(1 − 4/2).
        (["春夏", "春夏秋冬"], (math.exp(-1) + math.sqrt(2 / 4 * 1 / 3)) / 2),
        (["春夏秋", "春夏秋"], 1),
        (["春夏", "秋冬"], 0),
        # No pair in common.
        (["春夏", "夏春"], 0),
        # Two references: characters of both count, 春夏秋冬 is covered whole; pairs 春夏 and 秋冬 of three.
        (
            ["春夏秋冬", "春夏东西", "南北秋冬"],
            (math.sqrt(1 * 2 / 3) + 2 * math.sqrt(2 / 4 * 1 / 3)) / 3,
        ),
        (["春夏"], 0),
    ],
)
def test_self_bleu(texts: list[str], expected: float) -> None:
    assert self_bleu(poems(*texts)) == pytest.approx(expected)


def reference_self_bleu(texts: Sequence[str]) -> float:
    """Self-BLEU by its definition, one reference at a time."""
    scores = []
    for i, text in enumerate(texts):
        others = [other for j, other in enumerate(texts) if j != i]
        precisions = []
        for n in (1, 2):
            own = Counter(text[k : k + n] for k in range(len(text) - n + 1))
            most = {
                gram: max(
                    sum(other[k : k + n] == gram for k in range(len(other))) for other in others
                )
                for gram in own
            }
            precisions.append(sum(min(c, most[g]) for g, c in own.items()) / max(1, own.total()))
        nearest = min(map(len, others), key=lambda length: (abs(length - len(text)), length))
        penalty = min(1.0, math.exp(1 - nearest / len(text)))
        scores.append(penalty * math.sqrt(precisions[0] * precisions[1]))
    return sum(scores) / len(scores)


def test_self_bleu_matches_its_definition() -> None:
    rng = random.Random(1)
    for _ in range(20):
        texts = ["".join(rng.choices("春夏秋冬东西", k=rng.randrange(2, 9))) for _ in range(6)]
        assert self_bleu(poems(*texts)) == pytest.approx(reference_self_bleu(texts))


@pytest.mark.parametrize(
    ("text", "expected"), [("山云，山月。", 1 / 4), ("山山山。", 2 / 3), ("山云。", 0), ("。", 0)]
)
def test_repeated_characters(text: str, expected: float) -> None:
    assert repeated_characters(Poem(text)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["山云，月明。", "山云，风起。"], 1 / 4),
        (["山云，山云。"], 1 / 2),
        (["山云，月明。"] * 10, 18 / 20),
        (["山云，月明。"], 0),
        ([], 0),
    ],
)
def test_repeated_lines(texts: list[str], expected: float) -> None:
    assert repeated_lines(poems(*texts)) == pytest.approx(expected)


def test_frequencies_skip_punctuation_and_poem_ends() -> None:
    poems = [Poem("山云，山。"), Poem("云山。")]
    assert frequencies(poems, 1) == {"山": 3, "云": 2}
    assert frequencies(poems, 2) == {"山云": 1, "云山": 2}


@pytest.mark.parametrize(
    ("counts", "other_counts", "divergence"),
    [
        ({"山": 2, "云": 1}, {"山": 4, "云": 2}, 0),
        ({"山": 2}, {"云": 7}, 1),
        # m = ½ 山, ¼ 云, ¼ 月: each side gives ½ log₂(½/½) + ½ log₂(½/¼) = ½.
        ({"山": 1, "云": 1}, {"山": 1, "月": 1}, 0.5),
        # p = 1 山, q = ½ 山, ½ 云, m = ¾, ¼: ½ log₂(4/3) + ½ (½ log₂(2/3) + ½ log₂ 2).
        (
            {"山": 1},
            {"山": 3, "云": 3},
            0.5 * math.log2(4 / 3) + 0.25 * math.log2(2 / 3) + 0.25,
        ),
        ({}, {"山": 1}, 1),
        ({}, {}, 0),
    ],
)
def test_js_distance_is_the_root_of_the_divergence(
    counts: dict[str, int], other_counts: dict[str, int], divergence: float
) -> None:
    assert js_distance(counts, other_counts) == pytest.approx(math.sqrt(divergence), abs=1e-7)
    assert js_distance(other_counts, counts) == pytest.approx(math.sqrt(divergence), abs=1e-7)


def test_rank_frequency_of_few_characters() -> None:
    assert rank_frequency([Poem("山山山云，云月。")]) == [(1, 0.5), (2, 0.3333333), (3, 0.1666667)]
    assert rank_frequency([Poem("山山。")]) == [(1, 1.0)]
    assert rank_frequency([]) == []


def test_rank_frequency_spaces_ranks_logarithmically() -> None:
    text = "".join(chr(0x4E00 + i) for i in range(1000))
    ranks = [rank for rank, _ in rank_frequency([Poem(text)], num_points=4)]
    assert ranks == [1, 10, 100, 1000]
