"""Scansion of poems that every reader knows, each expectation worked out by hand."""

import pytest

from poetgen.prosody.forms import FORMS, Scan, find_form, scan
from poetgen.prosody.phonology import tones

HERON_TOWER = ("白日依山尽", "黄河入海流", "欲穷千里目", "更上一层楼")
QUIET_NIGHT = ("床前明月光", "疑是地上霜", "举头望明月", "低头思故乡")
WHITE_EMPEROR = ("朝辞白帝彩云间", "千里江陵一日还", "两岸猿声啼不住", "轻舟已过万重山")
SPRING_VIEW = (
    *("国破山河在", "城春草木深", "感时花溅泪", "恨别鸟惊心"),
    *("烽火连三月", "家书抵万金", "白头搔更短", "浑欲不胜簪"),
)
CRANE_TOWER = (
    *("昔人已乘黄鹤去", "此地空余黄鹤楼", "黄鹤一去不复返", "白云千载空悠悠"),
    *("晴川历历汉阳树", "芳草萋萋鹦鹉洲", "日暮乡关何处是", "烟波江上使人愁"),
)


def scanned(lines: tuple[str, ...]) -> Scan:
    found = scan(lines)
    assert found is not None
    return found


def with_line(number: int, line: str) -> tuple[str, ...]:
    lines = list(HERON_TOWER)
    lines[number - 1] = line
    return tuple(lines)


def test_a_regulated_quatrain() -> None:
    found = scanned(HERON_TOWER)
    assert (found.form.name, found.order) == ("五绝", "aBbA")
    assert [line.pattern for line in found.lines] == [
        "仄仄平平仄",
        "平平仄仄平",
        "平平平仄仄",
        "仄仄仄平平",
    ]
    assert [line.breaks for line in found.lines] == [(), (), (), ()]
    assert found.lines[0].tones == tuple(map(frozenset, "入入平平上"))
    assert (found.rhyme, found.level_rhyme, found.first_line_rhymes) == (
        frozenset("尤"),
        True,
        False,
    )
    assert (found.opposed, found.joined) == ((True, True), (True,))
    assert found.regulated


def test_a_regulated_octave() -> None:
    found = scanned(SPRING_VIEW)
    assert (found.form.name, found.order) == ("五律", "aBbAaBbA")
    assert (found.rhyme, found.first_line_rhymes) == (frozenset("侵"), False)
    assert found.opposed == (True,) * 4
    assert found.joined == (True,) * 3
    assert found.regulated


def test_a_first_line_that_rhymes_takes_the_type_that_ends_level() -> None:
    found = scanned(WHITE_EMPEROR)
    assert (found.form.name, found.order) == ("七绝", "ABbA")
    assert found.lines[0].pattern == "平平仄仄仄平平"
    assert (found.rhyme, found.first_line_rhymes) == (frozenset("删"), True)
    assert found.regulated


def test_an_old_style_quatrain_breaks_the_pattern_and_neither_opposes_nor_joins() -> None:
    found = scanned(QUIET_NIGHT)
    # 上 is oblique where 仄仄仄平平 wants level; 头 is level where 仄仄平平仄 wants oblique.
    assert (found.order, [line.breaks for line in found.lines]) == ("BAaB", [(), (4,), (2,), ()])
    assert (found.rhyme, found.first_line_rhymes) == (frozenset("阳"), True)
    assert (found.opposed, found.joined) == ((True, False), (False,))
    assert not found.regulated


def test_the_yellow_crane_tower_breaks_its_pattern_in_lines_1_and_3() -> None:
    found = scanned(CRANE_TOWER)
    broken = {i: line.breaks for i, line in enumerate(found.lines, start=1) if line.breaks}
    assert broken == {1: (6,), 3: (4,)}
    assert not found.regulated


def test_the_licensed_variant_is_no_break() -> None:
    line = scanned(with_line(3, "遥怜小儿女")).lines[2]  # 平平仄平仄
    assert (line.pattern, line.breaks) == ("平平仄平仄", ())
    # With a level third place it is neither the type nor its variant.
    assert len(scanned(with_line(3, "遥怜山儿女")).lines[2].breaks) == 1


def test_a_lone_level() -> None:
    found = scanned(with_line(2, "落河入海流"))  # 仄平仄仄平
    assert [line.lone_level for line in found.lines] == [False, True, False, False]
    assert not found.regulated
    assert not any(line.lone_level for line in scanned(HERON_TOWER).lines)


def test_a_line_that_can_be_meant_otherwise_has_no_lone_level() -> None:
    # 看 is level or oblique.  As B, 仄平仄仄平, line 1 would rhyme and have a lone level; it is a b.
    found = scanned(("夜来月下看", "城上有余寒", "落日山河在", "东风草木残"))
    assert found.order == "bAaB"
    assert found.rhyme == frozenset("寒")
    assert found.regulated


def test_three_levels_at_the_end() -> None:
    found = scanned(with_line(4, "更上高层楼"))  # … 平平平
    assert [line.three_level_end for line in found.lines] == [False, False, False, True]
    assert not found.regulated


def test_alternation_is_judged_in_any_type() -> None:
    # The poem's order asks for 仄 at place 2, the line has 平 … 仄: it still alternates.
    assert scanned(with_line(1, "床前明月光")).lines[0].alternates
    assert not scanned(QUIET_NIGHT).lines[1].alternates  # 是 and 上 are both oblique


def test_an_unknown_character_may_be_anything() -> None:
    assert tones("☃") == frozenset()
    found = scanned(with_line(1, "白☃依☃☃"))
    assert found.lines[0].breaks == ()
    assert found.lines[0].alternates


def test_lines_that_do_not_rhyme() -> None:
    found = scanned(with_line(4, "更上一层山"))
    assert (found.rhyme, found.level_rhyme, found.regulated) == (frozenset(), False, False)


def test_an_oblique_rhyme_is_no_level_rhyme() -> None:
    found = scanned(("山中独不见", "江上有明月", "夜久人未归", "天边飞白雪"))
    assert (found.rhyme, found.level_rhyme) == (frozenset(), False)
    found = scanned(("山中独不见", "云外有飞雪", "夜久人未归", "心中无一别"))
    assert (found.rhyme, found.level_rhyme) == (frozenset("屑"), False)


@pytest.mark.parametrize("lines", [(), ("白日依山尽",), HERON_TOWER[:3], ("白日",) * 4])
def test_another_shape_is_not_scanned(lines: tuple[str, ...]) -> None:
    assert scan(lines) is None


def test_a_form_goes_by_its_name_and_its_alias() -> None:
    assert [find_form(name) for name in ("wujue", "qijue", "wulv", "qilv")] == list(FORMS.values())
    assert find_form("七律") is FORMS["七律"]
    assert find_form("haiku") is None
