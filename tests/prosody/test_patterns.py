"""The patterns character by character, against whole lines."""

from itertools import product

import pytest

from poetgen.prosody.forms import line_fits
from poetgen.prosody.patterns import may_begin, next_tones, tone_of

TONES = {"平": frozenset({"平"}), "仄": frozenset({"去"}), "中": frozenset[str]()}


@pytest.mark.parametrize(
    ("character", "tone"), [("山", "平"), ("月", "仄"), ("中", "中"), ("看", "中"), ("☃", "中")]
)
def test_the_tone_of_a_character(character: str, tone: str) -> None:
    assert tone_of(character) == tone


@pytest.mark.parametrize(
    ("line_type", "fitting"),
    [
        # Worked out by hand: places 2, 4 and 5 fixed, 1 and 3 free.
        ("a", {"仄仄平平仄", "平仄平平仄", "仄仄仄平仄", "平仄仄平仄"}),
        # Not 三平尾: the third is oblique.
        ("A", {"仄仄仄平平", "平仄仄平平"}),
        # The licensed variant 平平仄平仄 beside the type itself.
        ("b", {"平平平仄仄", "仄平平仄仄", "平平仄仄仄", "仄平仄仄仄", "平平仄平仄", "仄平仄平仄"}),
        # Not 孤平: not both the first and the third oblique.
        ("B", {"平平仄仄平", "平平平仄平", "仄平平仄平"}),
    ],
)
def test_the_lines_of_five_characters(line_type: str, fitting: set[str]) -> None:
    lines = {"".join(line) for line in product("平仄", repeat=5)}
    assert {line for line in lines if may_begin(line, line_type, 5)} == fitting


@pytest.mark.parametrize("length", [5, 7])
@pytest.mark.parametrize("line_type", "aAbB")
def test_followed_step_by_step_they_give_the_lines_that_scan_accepts(
    line_type: str, length: int
) -> None:
    found = {""}
    for _ in range(length):
        found = {line + t for line in found for t in next_tones(line, line_type, length)}
    accepted = {
        line
        for line in map("".join, product("平仄中", repeat=length))
        if line_fits([TONES[t] for t in line], line_type)
    }
    assert found <= accepted
    # Left out are only lines that a 中 saves from three levels at the end.
    assert all(line_type == "A" and line[-3] == "平" for line in accepted - found)
    assert {line for line in found if "中" not in line} == {
        line for line in accepted if "中" not in line
    }


def test_a_line_that_only_an_either_can_end_may_be_gone_on_with() -> None:
    assert next_tones("仄仄", "A", 5) == "仄中"
    assert may_begin("仄仄平平", "A", 5)
    assert next_tones("仄仄平平", "A", 5) == "中"
    assert next_tones("仄平", "A", 5) == ""
