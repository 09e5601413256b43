"""The verse metrics of a regulated quatrain, and the effect of each fault."""

import pytest

from poetgen.data.poem import Poem
from poetgen.evaluation.metrics.table import METRICS, Background, MeasuredPoem

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


def verse_metrics(text: str, form: str = "五绝") -> dict[str, float | None]:
    """The verse metrics of one poem, without those that have no value."""
    measured = MeasuredPoem(Poem(text), form, Background())
    metrics = {name: METRICS[name].of_poem for name in PERFECT}
    values = {name: of_poem(measured) for name, of_poem in metrics.items() if of_poem}
    return {name: value for name, value in values.items() if value is not None}


def is_in_form(text: str, form: str) -> bool:
    return MeasuredPoem(Poem(text), form, Background()).scan is not None


@pytest.mark.parametrize(
    ("line", "instead", "changed"),
    [
        ("", "", {}),
        ("夜月临江水", "夜月照江梅", {"first_line_rhymes": 1}),
        # 水 in position 4 is oblique like 月 in position 2: one line of four; it and 江 break type a.
        ("夜月临江水", "夜月临水江", {"alternation": 0.75, "pattern_and_rhyme": 0}),
        # 天 is level, but in the group 先.
        ("白石满青苔", "白石满青天", {"rhyme": 0, "level_rhyme": 0, "pattern_and_rhyme": 0}),
        # The only level tone of 夜泉入户来, apart from the rhyme, is 泉.
        ("春泉入户来", "夜泉入户来", {"no_lone_level": 0}),
        ("白石满青苔", "白石多青苔", {"no_three_level_end": 0}),
        # Position 2 of the last couplet is level in both lines; so are positions 2 and 4 of the line.
        (
            "白石满青苔",
            "白云满青苔",
            {"opposed": 0, "alternation": 0.75, "pattern_and_rhyme": 0},
        ),
    ],
)
def test_verse_metrics_of_a_quatrain(line: str, instead: str, changed: dict[str, float]) -> None:
    text = REGULAR.replace(line, instead) if line else REGULAR
    assert verse_metrics(text) == PERFECT | changed


def test_joined_fails_for_couplets_in_wrong_order() -> None:
    first, second = "夜月临江水，春泉入户来。", "晓日生沧海，寒云度玉台。"
    # Position 2: 月 仄, 泉 平 | 日 仄, 云 平.
    values = verse_metrics(first + second)
    assert (values["joined"], values["opposed"], values["rhyme"]) == (0, 1, 1)


def test_level_rhyme_excludes_an_oblique_rhyme() -> None:
    values = verse_metrics("春泉入户来，夜月临江水。白石满青苔，山僧归故里。")
    # 水 and 里 are both in the group 纸.
    assert (values["rhyme"], values["level_rhyme"], values["pattern_and_rhyme"]) == (1, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "。", "山云。", REGULAR + "山云。", REGULAR.replace("古", "")]
)
def test_verse_metrics_of_a_poem_not_in_form(text: str) -> None:
    assert verse_metrics(text) == {}
    assert not is_in_form(text, "五绝")


def test_in_form_depends_on_the_requested_form() -> None:
    assert is_in_form(REGULAR, "五绝")
    assert not is_in_form(REGULAR, "五律")
    assert is_in_form(REGULAR * 2, "五律")
