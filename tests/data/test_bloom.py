"""The Bloom filter of training lines: no false negatives, few false positives."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from poetgen.data.bloom import FALSE_POSITIVE_RATE, LineBloomFilter, is_mostly_known
from poetgen.data.poem import Poem

HANZI = "山水云月风花雪夜春秋江河日星林石松竹梅兰"


def distinct_lines(start: int, count: int) -> list[str]:
    """Five-character lines: consecutive numbers with characters as digits."""
    combinations = itertools.product(HANZI, repeat=5)
    return ["".join(c) for c in itertools.islice(combinations, start, start + count)]


def poem(*lines: str) -> Poem:
    return Poem("，".join(lines) + "。")


def test_bloom_contains_every_added_line() -> None:
    lines = distinct_lines(0, 5000)
    added = LineBloomFilter.from_poems([poem(*lines[i : i + 4]) for i in range(0, 5000, 4)])
    assert added.num_lines == 5000
    assert all(line in added for line in lines)


@pytest.mark.parametrize("count", [2, 50, 20_000])
def test_bloom_false_positive_rate(count: int) -> None:
    added = LineBloomFilter.from_poems([poem(*distinct_lines(0, count))])
    others = distinct_lines(1_000_000, 50_000)
    rate = sum(line in added for line in others) / len(others)
    # 50 false positives are expected of 50,000 lines; three standard deviations are 21.
    assert rate < FALSE_POSITIVE_RATE + 21 / 50_000


def test_bloom_ignores_lines_under_four_characters() -> None:
    added = LineBloomFilter.from_poems([poem("君不见", "黄河之水天上来")])
    assert added.num_lines == 1
    assert "君不见" not in added
    assert "黄河之水天上来" in added


def test_bloom_omits_known_lines() -> None:
    old = LineBloomFilter.from_poems([poem("山水云月风", "花雪夜春秋")])
    new = LineBloomFilter.from_poems([poem("山水云月风", "江河日星林")], known=[old])
    assert new.num_lines == 1
    assert "江河日星林" in new


def test_bloom_size_grows_as_the_rate_falls() -> None:
    poems = [poem(*distinct_lines(0, 4000))]
    sizes = [len(LineBloomFilter.from_poems(poems, rate=rate).bits) for rate in (0.1, 0.01, 0.001)]
    assert sizes == sorted(set(sizes))
    # Bloom's bound: 1.44 log2(1/rate) bits per line.
    assert sizes[-1] * 8 / 4000 == pytest.approx(14.4, abs=0.1)


def test_bloom_of_no_poems_is_empty() -> None:
    empty = LineBloomFilter.from_poems([])
    assert empty.num_lines == 0
    assert "山水云月风" not in empty
    assert empty.bits.dtype == np.uint8


@pytest.mark.parametrize(
    ("bits", "num_hashes"),
    [
        (np.zeros(0, np.uint8), 3),
        (np.zeros(8, np.int8), 3),
        (np.zeros((2, 4), np.uint8), 3),
        (np.zeros(8, np.uint8), 0),
        (np.zeros(8, np.uint8), 65),
    ],
    ids=["no bits", "int8", "matrix", "no hash", "65 hashes"],
)
def test_bloom_rejects_impossible_parameters(bits: NDArray[np.uint8], num_hashes: int) -> None:
    with pytest.raises(ValueError, match="a filter of training lines"):
        LineBloomFilter(bits, num_hashes, 1)


def test_is_mostly_known_needs_a_majority() -> None:
    lines = distinct_lines(0, 8)
    filters = [
        LineBloomFilter.from_poems([poem(*lines[:2])]),
        LineBloomFilter.from_poems([poem(lines[2])]),
    ]
    assert is_mostly_known(lines[:4], filters)
    assert not is_mostly_known([lines[0], lines[1], *lines[4:6]], filters)
    assert not is_mostly_known(lines[4:8], filters)
    assert not is_mostly_known(lines[:4], [])
