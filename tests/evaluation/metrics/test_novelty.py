"""Novelty metrics, with values computed by hand."""

import pytest

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.evaluation.metrics.novelty import (
    TrainingLines,
    TrainingNGrams,
    seen_rate,
)


def poems(*texts: str) -> list[Poem]:
    return [Poem(text) for text in texts]


@pytest.mark.parametrize(
    "lines",
    [
        TrainingLines(poems("山风吹夜雨，君不见。")),
        TrainingLines(
            filters=[
                LineBloomFilter.from_poems([]),
                LineBloomFilter.from_poems(poems("山风吹夜雨，君不见。")),
            ]
        ),
        TrainingLines(
            poems("江水连天去。"), [LineBloomFilter.from_poems(poems("山风吹夜雨，君不见。"))]
        ),
    ],
)
def test_copied_rate_from_poems_or_bloom_filters(
    lines: TrainingLines,
) -> None:
    assert lines
    # One of four; 君不见 is too short to count as a copy.
    assert lines.copied_rate(Poem("山风吹夜雨，江月满孤舟。君不见，山风吹夜云。")) == 1 / 4
    assert lines.copied_rate(Poem("。")) == 0


def test_copied_rate_without_training_text() -> None:
    assert not TrainingLines()
    assert TrainingLines().copied_rate(Poem("山风吹夜雨。")) == 0


def test_match_lengths_by_hand() -> None:
    training = TrainingNGrams(poems("山风吹夜雨。", "山吹。"))
    # 风吹夜, 吹夜, 夜, then 山 with no 夜山, and 山吹; 鹤 is not in the training text.
    lengths = training.match_lengths(Poem("风吹夜，山吹鹤。"))
    assert lengths.tolist() == [3, 2, 1, 2, 1, 0]
    # Pairs 风吹 吹夜 夜山 山吹 吹鹤: three of five; triples: 风吹夜 of four.
    assert [seen_rate(lengths, n) for n in (2, 3, 4)] == [3 / 5, 1 / 4, 0]


def test_match_lengths_cross_lines_but_not_poems() -> None:
    training = TrainingNGrams(poems("山风吹，夜雨。", "江月满孤舟。"))
    assert training.match_lengths(Poem("吹夜雨。")).tolist() == [3, 2, 1]
    assert training.match_lengths(Poem("雨江。")).tolist() == [1, 1]


def test_match_lengths_are_at_most_seven() -> None:
    training = TrainingNGrams(poems("春夏秋冬东西南北中"))
    assert training.match_lengths(Poem("春夏秋冬东西南北中")).tolist() == [
        7,
        7,
        7,
        6,
        5,
        4,
        3,
        2,
        1,
    ]


def test_seen_rate_of_a_poem_too_short() -> None:
    training = TrainingNGrams(poems("山风吹夜雨。"))
    lengths = training.match_lengths(Poem("山风。"))
    assert (seen_rate(lengths, 2), seen_rate(lengths, 3)) == (1, None)
    assert seen_rate(training.match_lengths(Poem("。")), 2) is None
