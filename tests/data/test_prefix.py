"""`poetgen.data.prefix`: line, place, facing character, rhyme and uses, computed one id at a time here."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poetgen.data.prefix import (
    MAX_LINES,
    MAX_POSITIONS,
    NOT_USED,
    NUM_USES,
    RELATIONS,
    next_tokens,
    table_rows,
    uses,
)
from poetgen.data.vocab import BOS, EOS, PAD, UNK

COMMA, STOP, QUESTION = 4, 5, 6
CHARACTERS = range(8, 1200)


def facts_after(ids: Sequence[int]) -> tuple[int, int, int, int]:
    """Return (line, place, facing, rhyme) of the token after `ids`, a prefix."""
    if BOS not in ids:
        return 0, 0, PAD, PAD
    lines: list[list[int]] = [[]]
    marks: list[int] = []
    for token in ids[len(ids) - ids[::-1].index(BOS) :]:
        if COMMA <= token < 8:
            lines.append([])
            marks.append(token)
        else:
            lines[-1].append(token)
    place = len(lines[-1])
    facing = lines[-2][place] if len(lines) > 1 and place < len(lines[-2]) else PAD
    sentences = [line for line, mark in zip(lines, marks, strict=False) if mark != COMMA]
    ended = sentences or lines[:-1]
    return len(lines) - 1, place, facing, ended[-1][-1] if ended else PAD


@st.composite
def poems(draw: st.DrawFn) -> list[int]:
    """Return conditions, `BOS`, and lines of characters with marks, the last one unfinished."""
    before = draw(st.lists(st.sampled_from(CHARACTERS), max_size=4))
    line = st.lists(st.sampled_from([UNK, *CHARACTERS]), min_size=1, max_size=9)
    mark = st.sampled_from([COMMA, STOP, QUESTION])
    lines = draw(st.lists(st.tuples(line, mark), max_size=7))
    ids = [token for line, mark in lines for token in [*line, mark]]
    return [*before, BOS, *ids, *draw(st.lists(st.sampled_from(CHARACTERS), max_size=6))]


@given(poems(), st.integers(0, 5), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_facts_of_every_prefix(ids: list[int], num_before: int, num_after: int) -> None:
    tokens = np.array([[PAD] * num_before + ids + [PAD] * num_after])
    found = next_tokens(tokens)
    for end in range(1, len(ids) + 1):
        after = tuple(int(values[0, num_before + end - 1]) for values in found)
        if BOS in ids[:end]:
            assert after == facts_after(ids[:end])


def relation(ids: Sequence[int], earlier: int) -> str:
    """Return how the character at `earlier` stands to the token after `ids`."""
    if earlier < ids.index(BOS):
        return "before the poem"
    if earlier == len(ids) - 1:
        return "just read"
    line, place, _, _ = facts_after(ids)
    own_line, own_place, _, _ = facts_after(ids[:earlier])
    if line - own_line == 1:
        return "facing" if place == own_place else "line before"
    return {0: "same line", 2: "two lines before"}.get(line - own_line, "earlier")


@given(poems(), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_uses_of_every_earlier_character(ids: list[int], num_before: int) -> None:
    tokens = np.array([[PAD] * num_before + ids])
    facts = next_tokens(tokens)
    (kinds,) = uses(tokens, facts)
    (last,) = uses(tokens, facts, slice(-1, None))
    assert last.tolist() == kinds[-1:].tolist()
    for end in range(ids.index(BOS) + 1, len(ids) + 1):
        for earlier, token in enumerate(ids):
            kind = int(kinds[num_before + end - 1, num_before + earlier])
            if earlier >= end or token < 8:
                assert kind == NOT_USED
                continue
            rank_class = 0 if token < 158 else 1 if token < 1008 else 2
            assert kind == 3 * RELATIONS.index(relation(ids[:end], earlier)) + rank_class
        assert (kinds[num_before + end - 1, :num_before] == NOT_USED).all()


def test_uses_are_numbered_without_gaps() -> None:
    assert 3 * len(RELATIONS) == NUM_USES


@pytest.mark.parametrize(("line", "row"), [(0, 0), (31, 31), (32, 30), (33, 31), (50, 30)])
def test_late_lines_count_as_the_last_two(line: int, row: int) -> None:
    assert MAX_LINES == 32
    ids = np.array([[BOS, *[COMMA] * line, 9, EOS]])
    assert table_rows(next_tokens(ids))[0][0, -1] == row


def test_late_positions_count_as_the_last() -> None:
    ids = np.array([[BOS, *[9] * 40]])
    assert table_rows(next_tokens(ids))[1].tolist() == [[*range(MAX_POSITIONS), *[15] * 25]]
