"""The set of training lines: nothing that was put in is missed, strangers seldom pass."""

import itertools

import numpy as np
import pytest

from poetgen.data.lines import FALSE_POSITIVE_RATE, LineSet, mostly_in
from poetgen.data.poem import Poem

HANZI = "山水云月风花雪夜春秋江河日星林石松竹梅兰"


def lines_of(start: int, count: int) -> list[str]:
    """Distinct five-character lines, numbers written with characters as digits."""
    combinations = itertools.product(HANZI, repeat=5)
    return ["".join(c) for c in itertools.islice(combinations, start, start + count)]


def poem(*lines: str) -> Poem:
    return Poem("，".join(lines) + "。")


def test_every_line_that_was_put_in_is_found() -> None:
    lines = lines_of(0, 5000)
    found = LineSet.of([poem(*lines[i : i + 4]) for i in range(0, 5000, 4)])
    assert found.num_lines == 5000
    assert all(line in found for line in lines)


@pytest.mark.parametrize("count", [2, 50, 20_000])
def test_strangers_pass_no_more_often_than_promised(count: int) -> None:
    lines = lines_of(0, count)
    found = LineSet.of([poem(*lines)])
    strangers = lines_of(1_000_000, 50_000)
    rate = sum(line in found for line in strangers) / len(strangers)
    # Three standard deviations of 50 chance passes among 50,000 are 21.
    assert rate < FALSE_POSITIVE_RATE + 21 / 50_000


def test_lines_of_fewer_than_four_characters_are_set_phrases() -> None:
    found = LineSet.of([poem("君不见", "黄河之水天上来")])
    assert found.num_lines == 1
    assert "君不见" not in found
    assert "黄河之水天上来" in found


def test_what_others_know_is_left_out() -> None:
    old = LineSet.of([poem("山水云月风", "花雪夜春秋")])
    new = LineSet.of([poem("山水云月风", "江河日星林")], known=[old])
    assert new.num_lines == 1
    assert "江河日星林" in new


def test_a_smaller_rate_takes_more_bytes() -> None:
    poems = [poem(*lines_of(0, 4000))]
    sizes = [len(LineSet.of(poems, rate=rate).bits) for rate in (0.1, 0.01, 0.001)]
    assert sizes == sorted(set(sizes))
    # Bloom's bound: 1.44 log2(1/rate) bits a line.
    assert sizes[-1] * 8 / 4000 == pytest.approx(14.4, abs=0.1)


def test_an_empty_set_holds_nothing() -> None:
    empty = LineSet.of([])
    assert empty.num_lines == 0
    assert "山水云月风" not in empty
    assert empty.bits.dtype == np.uint8


def test_a_poem_is_mostly_in_a_text_that_has_more_than_half_of_its_lines() -> None:
    lines = lines_of(0, 8)
    sets = [LineSet.of([poem(*lines[:2])]), LineSet.of([poem(lines[2])])]
    assert mostly_in(lines[:4], sets)
    assert not mostly_in([lines[0], lines[1], *lines[4:6]], sets)
    assert not mostly_in(lines[4:8], sets)
    assert not mostly_in(lines[:4], [])
