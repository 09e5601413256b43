"""Frequencies of characters, with values worked out by hand."""

import math

import pytest

from poetgen.data.poem import Poem
from poetgen.evaluation.distribution import frequencies, js_distance, rank_frequency


def test_frequencies_leave_marks_out_and_end_with_the_poem() -> None:
    poems = [Poem("山云，山。"), Poem("云山。")]
    assert frequencies(poems, 1) == {"山": 3, "云": 2}
    assert frequencies(poems, 2) == {"山云": 1, "云山": 2}


@pytest.mark.parametrize(
    ("ones", "others", "divergence"),
    [
        ({"山": 2, "云": 1}, {"山": 4, "云": 2}, 0),
        ({"山": 2}, {"云": 7}, 1),
        # m = ½ 山, ¼ 云, ¼ 月: of either ½ log₂(½/½) + ½ log₂(½/¼) = ½.
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
    ones: dict[str, int], others: dict[str, int], divergence: float
) -> None:
    assert js_distance(ones, others) == pytest.approx(math.sqrt(divergence), abs=1e-7)
    assert js_distance(others, ones) == pytest.approx(math.sqrt(divergence), abs=1e-7)


def test_shares_by_rank() -> None:
    assert rank_frequency([Poem("山山山云，云月。")]) == [(1, 3 / 6), (2, 2 / 6), (3, 1 / 6)]
    assert rank_frequency([Poem("山山。")]) == [(1, 1.0)]
    assert rank_frequency([]) == []


def test_ranks_are_even_in_the_logarithm_and_reach_from_first_to_last() -> None:
    text = "".join(chr(0x4E00 + i) for i in range(1000))
    ranks = [rank for rank, _ in rank_frequency([Poem(text)], num_points=4)]
    assert ranks == [1, 10, 100, 1000]
