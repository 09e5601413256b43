"""The figures of a regulated quatrain, and what each fault in it changes."""

import pytest

from poetgen.data.poem import Poem
from poetgen.evaluation.verse import in_form, verse_figures

# 仄仄平平仄 · 平平仄仄平 · 平平平仄仄 · 仄仄仄平平; 来 and 苔 are both in the group 灰.
REGULAR = "夜月临江水，春泉入户来。山僧归古寺，白石满青苔。"
PERFECT = {
    "rhyme": 1,
    "level_rhyme": 1,
    "first_line_rhymes": 0,
    "alternation": 1,
    "opposed": 1,
    "joined": 1,
    "no_lone_level": 1,
    "no_three_level_end": 1,
    "pattern_and_rhyme": 1,
}


@pytest.mark.parametrize(
    ("line", "instead", "changed"),
    [
        ("", "", {}),
        ("夜月临江水", "夜月照江梅", {"first_line_rhymes": 1}),
        # 水 in place 4 is oblique as 月 in place 2 is: one line of four; and both it and 江 break a.
        ("夜月临江水", "夜月临水江", {"alternation": 0.75, "pattern_and_rhyme": 0}),
        # 天 is level, but of the group 先.
        ("白石满青苔", "白石满青天", {"rhyme": 0, "level_rhyme": 0, "pattern_and_rhyme": 0}),
        # The only level tone of 夜泉入户来, rhyme apart, is 泉.
        ("春泉入户来", "夜泉入户来", {"no_lone_level": 0}),
        ("白石满青苔", "白石多青苔", {"no_three_level_end": 0}),
        # Place 2 of the last couplet is level in both lines; places 2 and 4 of the line too.
        (
            "白石满青苔",
            "白云满青苔",
            {"opposed": 0, "alternation": 0.75, "pattern_and_rhyme": 0},
        ),
    ],
)
def test_the_figures_of_a_quatrain(line: str, instead: str, changed: dict[str, float]) -> None:
    poem = Poem(REGULAR.replace(line, instead) if line else REGULAR)
    assert verse_figures(poem) == PERFECT | changed


def test_couplets_in_the_wrong_order_do_not_join() -> None:
    first, second = "夜月临江水，春泉入户来。", "晓日生沧海，寒云度玉台。"
    # Place 2: 月 仄, 泉 平 | 日 仄, 云 平.
    figures = verse_figures(Poem(first + second))
    assert (figures["joined"], figures["opposed"], figures["rhyme"]) == (0, 1, 1)


def test_an_oblique_rhyme_is_a_rhyme_and_not_level() -> None:
    poem = Poem("春泉入户来，夜月临江水。白石满青苔，山僧归故里。")
    figures = verse_figures(poem)  # 水 and 里 are both in the group 纸
    assert (figures["rhyme"], figures["level_rhyme"], figures["pattern_and_rhyme"]) == (1, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "。", "山云。", REGULAR + "山云。", REGULAR.replace("古", "")]
)
def test_a_poem_of_no_form_has_no_figures(text: str) -> None:
    assert verse_figures(Poem(text)) == {}
    assert not in_form(Poem(text), "五绝")


def test_a_poem_is_in_the_form_that_was_asked_for_or_not() -> None:
    assert in_form(Poem(REGULAR), "五绝")
    assert not in_form(Poem(REGULAR), "五律")
    assert in_form(Poem(REGULAR * 2), "五律")
