"""Shuffled poems: what is exchanged, and what stays."""

from collections import Counter

import pytest

from poetgen.data.poem import Poem
from poetgen.evaluation.shuffled import exchange_even_lines
from poetgen.prosody.forms import form_of
from poetgen.prosody.scan import scan
from tests.evaluation.verses import verses


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Poem, Poem]]:
    poems = [poem for form in ("五绝", "七律") for poem in verses(form, 150, 1)]
    return exchange_even_lines([*poems, Poem("山云，月明。", "短")], seed=1)


def test_exchange_keeps_odd_lines_and_line_numbers(pairs: list[tuple[Poem, Poem]]) -> None:
    assert len(pairs) == 300
    for poem, shuffled in pairs:
        assert shuffled.lines[::2] == poem.lines[::2]
        assert form_of(shuffled.lines) == form_of(poem.lines)
        assert not set(shuffled.lines[1::2]) & set(poem.lines[1::2])
        assert (shuffled.title, shuffled.author) == (poem.title, poem.author)
    for number in (1, 3, 5, 7):
        own, moved = (
            Counter(poem.lines[number] for poem in side if len(poem.lines) > number)
            for side in zip(*pairs, strict=True)
        )
        assert own == moved


def test_exchange_takes_each_line_from_another_poem(pairs: list[tuple[Poem, Poem]]) -> None:
    source = {line: poem for poem, _ in pairs for line in poem.lines}
    for poem, shuffled in pairs:
        sources = [source[line].text for line in shuffled.lines[1::2]]
        assert len({poem.text, *sources}) == 1 + len(sources)


def test_exchange_keeps_rhyme_and_pattern_where_possible(pairs: list[tuple[Poem, Poem]]) -> None:
    scans = [(scan(poem.lines), scan(shuffled.lines)) for poem, shuffled in pairs]
    found = [(own, moved) for own, moved in scans if own and moved]
    opposed = [[all(one.opposed) for one in side] for side in zip(*found, strict=True)]
    assert sum(opposed[1]) == pytest.approx(sum(opposed[0]), abs=0.1 * len(found))
    # The verses have dozens of rhyme groups, so some poems have none to exchange lines with.
    rhyming = [moved.rhyme for own, moved in found if own.rhyme]
    assert sum(map(bool, rhyming)) > 0.4 * len(rhyming)


def test_exchange_keeps_punctuation() -> None:
    poems = verses("五绝", 40, 1)
    asked = [Poem(poem.text[:-1] + "？") for poem in poems]
    assert all(shuffled.text[-1] == "？" for _, shuffled in exchange_even_lines(asked, seed=1))


def test_exchange_depends_on_seed_not_order() -> None:
    poems = verses("五绝", 30, 1)
    one = exchange_even_lines(poems, seed=1)
    assert exchange_even_lines(poems[::-1], seed=1) == one
    assert exchange_even_lines(poems, seed=2) != one


def test_exchange_leaves_out_a_form_of_few_poems() -> None:
    assert exchange_even_lines(verses("五绝", 2, 1), seed=1) == []
    assert len(exchange_even_lines(verses("五绝", 3, 1), seed=1)) == 3
    assert exchange_even_lines(verses("七律", 4, 1), seed=1) == []
