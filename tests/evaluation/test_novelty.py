"""Diversity and copying, with values worked out by hand."""

import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from poetgen.data.lines import LineSet
from poetgen.data.poem import Poem
from poetgen.evaluation.novelty import (
    TrainingGrams,
    TrainingLines,
    distinct,
    grams,
    has_copy,
    repeated_characters,
    repeated_lines,
    seen_share,
    self_bleu,
)


def poems(*texts: str) -> list[Poem]:
    return [Poem(text) for text in texts]


def test_grams_leave_marks_out() -> None:
    assert grams(Poem("山云，月。"), 2) == ["山云", "云月"]
    assert grams(Poem("山。"), 2) == []


@pytest.mark.parametrize(
    ("n", "expected"),
    # 山云月 and 山云云: six characters, three of them distinct; pairs 山云 云月 山云 云云, three distinct.
    [(1, 3 / 6), (2, 3 / 4), (4, 0)],
)
def test_distinct_n(n: int, expected: float) -> None:
    assert distinct(poems("山云，月。", "山云云。"), n) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        # Of each poem 2 of 4 characters and 1 of 3 pairs stand in the other.
        (["春夏秋冬", "春夏东西"], math.sqrt(2 / 4 * 1 / 3)),
        # 春春夏 against 春夏夏: one 春 counts, and 夏: 2/3; the pair 春夏 of two: 1/2.  The other alike.
        (["春春夏", "春夏夏"], math.sqrt(2 / 3 * 1 / 2)),
        # A short poem within a long one: all of it stands there, but it is half as long: e^(1 − 4/2).
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


def plain_self_bleu(texts: Sequence[str]) -> float:
    """By the definition, reference by reference."""
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


def test_self_bleu_agrees_with_its_definition() -> None:
    chance = random.Random(1)
    for _ in range(20):
        texts = [
            "".join(chance.choices("春夏秋冬东西", k=chance.randrange(2, 9))) for _ in range(6)
        ]
        assert self_bleu(poems(*texts)) == pytest.approx(plain_self_bleu(texts))


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


@pytest.mark.parametrize(
    "lines",
    [
        TrainingLines(poems("山风吹夜雨，君不见。")),
        TrainingLines(sets=[LineSet.of([]), LineSet.of(poems("山风吹夜雨，君不见。"))]),
        TrainingLines(poems("江水连天去。"), [LineSet.of(poems("山风吹夜雨，君不见。"))]),
    ],
)
def test_lines_of_the_training_text_are_known_by_poem_or_by_fingerprint(
    lines: TrainingLines,
) -> None:
    assert lines
    # One of four; 君不见 is too short to be a copy.
    assert lines.verbatim(Poem("山风吹夜雨，江月满孤舟。君不见，山风吹夜云。")) == 1 / 4
    assert lines.verbatim(Poem("。")) == 0


def test_without_training_text_no_line_is_known() -> None:
    assert not TrainingLines()
    assert TrainingLines().verbatim(Poem("山风吹夜雨。")) == 0


def test_runs_of_characters_that_stand_in_the_training_text() -> None:
    training = TrainingGrams(poems("山风吹夜雨。", "山吹。"))
    # 风吹夜, 吹夜, 夜, then 山 with no 夜山, and 山吹; 鹤 is in no training poem.
    matches = training.matches(Poem("风吹夜，山吹鹤。"))
    assert matches.tolist() == [3, 2, 1, 2, 1, 0]
    # Pairs 风吹 吹夜 夜山 山吹 吹鹤: three of five; triples: 风吹夜 of four.
    assert [seen_share(matches, n) for n in (2, 3, 4)] == [3 / 5, 1 / 4, 0]
    assert [has_copy(matches, n) for n in (2, 3, 4)] == [True, True, False]


def test_copies_run_over_the_ends_of_lines_and_not_of_poems() -> None:
    training = TrainingGrams(poems("山风吹，夜雨。", "江月满孤舟。"))
    assert training.matches(Poem("吹夜雨。")).tolist() == [3, 2, 1]
    assert training.matches(Poem("雨江。")).tolist() == [1, 1]


def test_the_longest_run_that_is_told_is_seven() -> None:
    training = TrainingGrams(poems("春夏秋冬东西南北中"))
    assert training.matches(Poem("春夏秋冬东西南北中")).tolist() == [7, 7, 7, 6, 5, 4, 3, 2, 1]


def test_a_poem_too_short_for_an_n_gram_has_no_share() -> None:
    training = TrainingGrams(poems("山风吹夜雨。"))
    matches = training.matches(Poem("山风。"))
    assert (seen_share(matches, 2), seen_share(matches, 3)) == (1, None)
    assert seen_share(training.matches(Poem("。")), 2) is None
    assert not has_copy(training.matches(Poem("。")), 5)
