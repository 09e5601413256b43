"""`poetgen.prosody.scan`: scansion of well-known poems, expected values by hand."""

import pytest

from poetgen.prosody.forms import FORMS, find_form
from poetgen.prosody.phonology import tones
from poetgen.prosody.scan import Scan, line_fits, scan

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
    result = scan(lines)
    assert result is not None
    return result


def with_line(number: int, line: str) -> tuple[str, ...]:
    lines = list(HERON_TOWER)
    lines[number - 1] = line
    return tuple(lines)


def test_scan_regulated_quatrain() -> None:
    result = scanned(HERON_TOWER)
    assert (result.form.name, result.order) == ("五绝", "aBbA")
    assert [line.pattern for line in result.lines] == [
        "仄仄平平仄",
        "平平仄仄平",
        "平平平仄仄",
        "仄仄仄平平",
    ]
    assert [line.breaks for line in result.lines] == [(), (), (), ()]
    assert result.lines[0].tones == tuple(map(frozenset, "入入平平上"))
    assert (result.rhyme, result.level_rhyme, result.first_line_rhymes) == (
        frozenset("尤"),
        True,
        False,
    )
    assert (result.opposed, result.joined) == ((True, True), (True,))
    assert result.regulated


def test_scan_regulated_octave() -> None:
    result = scanned(SPRING_VIEW)
    assert (result.form.name, result.order) == ("五律", "aBbAaBbA")
    assert (result.rhyme, result.first_line_rhymes) == (frozenset("侵"), False)
    assert result.opposed == (True,) * 4
    assert result.joined == (True,) * 3
    assert result.regulated


def test_scan_first_line_rhyme() -> None:
    result = scanned(WHITE_EMPEROR)
    assert (result.form.name, result.order) == ("七绝", "ABbA")
    assert result.lines[0].pattern == "平平仄仄仄平平"
    assert (result.rhyme, result.first_line_rhymes) == (frozenset("删"), True)
    assert result.regulated


def test_scan_old_style_quatrain() -> None:
    result = scanned(QUIET_NIGHT)
    # 上 is oblique but 仄仄仄平平 requires level; 头 is level but 仄仄平平仄 requires oblique.
    assert (result.order, [line.breaks for line in result.lines]) == ("BAaB", [(), (4,), (2,), ()])
    assert (result.rhyme, result.first_line_rhymes) == (frozenset("阳"), True)
    assert (result.opposed, result.joined) == ((True, False), (False,))
    assert not result.regulated


def test_scan_yellow_crane_tower() -> None:
    result = scanned(CRANE_TOWER)
    broken = {i: line.breaks for i, line in enumerate(result.lines, start=1) if line.breaks}
    # Line 2 rescues 鹤 in line 1, line 6 rescues 汉 in line 5.
    assert broken == {3: (4,)}
    assert [line.rescued for line in result.lines[::2]] == [(6,), (), (5,), ()]
    assert not result.regulated


def test_scan_level_end_of_the_yellow_crane_tower() -> None:
    # 白云千载空悠悠: poets used 空 as level, though it has an oblique reading.
    assert [line.three_level_end for line in scanned(CRANE_TOWER).lines[2:5]] == [
        False,
        True,
        False,
    ]
    by_any = scan(CRANE_TOWER, any_reading=True)
    assert by_any is not None
    assert not any(line.three_level_end for line in by_any.lines)


def test_scan_licensed_variant() -> None:
    line = scanned(with_line(3, "遥怜小儿女")).lines[2]  # 平平仄平仄
    assert (line.pattern, line.breaks) == ("平平仄平仄", ())
    # With a level third position it fits neither the type nor its variant.
    assert len(scanned(with_line(3, "遥怜山儿女")).lines[2].breaks) == 1


def test_scan_lone_level() -> None:
    result = scanned(with_line(2, "落河入海流"))  # 仄平仄仄平
    assert [line.lone_level for line in result.lines] == [False, True, False, False]
    assert not result.regulated
    assert not any(line.lone_level for line in scanned(HERON_TOWER).lines)


FAREWELL = (
    *("饮酒莫辞醉", "醉多适不愁", "孰知非远别", "终念对穷秋"),
    *("滑台门外见", "淇水眼前流", "君去应回首", "风波满渡头"),
)
"""The two halves, with 失粘 between them, fit different orders."""


@pytest.mark.parametrize("any_reading", [False, True])
def test_scan_lone_level_in_a_poem_of_two_halves(any_reading: bool) -> None:
    result = scan(FAREWELL, any_reading=any_reading)
    assert result is not None
    assert result.joined == (True, False, True)
    # With any reading, the order is that of the second half, and 醉多适不愁 (仄平仄仄平) an A line.
    assert result.lines[1].line_type == ("A" if any_reading else "B")
    assert [line.lone_level for line in result.lines] == [False, True, *[False] * 6]


def test_scan_lone_level_needs_a_level_end_and_the_tones_of_b() -> None:
    # Oblique first and third positions in an A line (仄仄仄平平) and in a line that fits no type.
    lone = [line.lone_level for line in scanned(with_line(4, "更上一层楼")).lines]
    assert lone == [False] * 4
    assert not scanned(with_line(4, "落上一落楼")).lines[3].lone_level


CLEAR_BRIGHT = ("清明时节雨纷纷", "路上行人欲断魂", "借问酒家何处有", "牧童遥指杏花村")


def test_scan_neighboring_rhyme_in_line_1() -> None:
    result = scanned(CLEAR_BRIGHT)
    assert (result.order, result.rhyme, result.first_line_rhymes) == (
        "ABbA",
        frozenset("元"),
        False,
    )
    assert result.first_line_neighbors == frozenset("文")
    assert result.regulated


@pytest.mark.parametrize(
    "line_1",
    [
        "清明时节雨昏昏",  # 元, the rhyme itself
        "清明时节雨潇潇",  # 萧, no neighbor
        "清明时节雨初晚",  # oblique
    ],
)
def test_scan_no_neighboring_rhyme_in_line_1(line_1: str) -> None:
    assert scanned((line_1, *CLEAR_BRIGHT[1:])).first_line_neighbors == frozenset()


def test_scan_no_neighboring_rhyme_in_line_2() -> None:
    assert scanned((CLEAR_BRIGHT[0], "路上行人欲断云", *CLEAR_BRIGHT[2:])).rhyme == frozenset()


MOUNT_XIAN = (
    *("人事有代谢", "往来成古今", "江山留胜迹", "我辈复登临"),
    *("水落鱼梁浅", "天寒梦泽深", "羊公碑尚在", "读罢泪沾襟"),
)


@pytest.mark.parametrize(
    ("couplet", "breaks", "rescued"),
    [
        (("人事有代谢", "往来成古今"), (), (3, 4)),
        (("人事多代谢", "往来成古今"), (), (4,)),
        (("人事有今谢", "往来成古今"), (), (3,)),
        (("人事多今谢", "往来成古今"), (), ()),
        (("人事有代谢", "江来落古今"), (4,), ()),  # 落 is oblique
        (("人事有今谢", "江来落古今"), (), ()),  # position 3 is free
        (("人来有代谢", "往来成古今"), (2, 4), ()),  # a break elsewhere
        (("人事有代谢", "往事成古今"), (4,), ()),  # the lower line is no B
    ],
)
def test_scan_rescue_by_the_next_line(
    couplet: tuple[str, str], breaks: tuple[int, ...], rescued: tuple[int, ...]
) -> None:
    result = scanned((*couplet, *MOUNT_XIAN[2:]))
    assert result.order == "aBbAaBbA"
    assert (result.lines[0].breaks, result.lines[0].rescued) == (breaks, rescued)
    assert not any(line.rescued for line in result.lines[1:])


def test_scan_rescued_poem_is_regulated() -> None:
    assert scanned(MOUNT_XIAN).regulated
    assert not line_fits(scanned(MOUNT_XIAN).lines[0].tones, "a")  # constraints are stricter


def test_scan_prefers_order_without_lone_level() -> None:
    # 看 is level or oblique.  As B (仄平仄仄平) line 1 would rhyme with a lone level, so it is b.
    result = scanned(("夜来月下看", "城上有余寒", "落日山河在", "东风草木残"))
    assert result.order == "bAaB"
    assert result.rhyme == frozenset("寒")
    assert result.regulated


def test_scan_three_level_end() -> None:
    result = scanned(with_line(4, "更上高层楼"))  # … 平平平
    assert [line.three_level_end for line in result.lines] == [False, False, False, True]
    assert not result.regulated


def test_scan_alternation_in_any_type() -> None:
    # The order requires 仄 at position 2; the line has 平 … 仄, which still alternates.
    assert scanned(with_line(1, "床前明月光")).lines[0].alternates
    assert not scanned(QUIET_NIGHT).lines[1].alternates  # 是 and 上 are both oblique


def test_scan_unknown_character() -> None:
    assert tones("☃") == frozenset()
    result = scanned(with_line(1, "白☃依☃☃"))
    assert result.lines[0].breaks == ()
    assert result.lines[0].alternates


def test_scan_without_rhyme() -> None:
    result = scanned(with_line(4, "更上一层山"))
    assert (result.rhyme, result.level_rhyme, result.regulated) == (frozenset(), False, False)


@pytest.mark.parametrize(
    ("line_1", "line_2", "line_4", "off_rhyme"),
    [
        ("白日依山尽", "黄河入海流", "更上一层楼", ()),
        ("白日依山尽", "黄河入海流", "更上一层山", ()),  # one against one
        ("白日照高秋", "黄河入海流", "更上一层山", (4,)),
        ("白日照高山", "黄河入海流", "更上一层山", (2,)),
        ("白日照高天", "黄河入海流", "更上一层山", ()),
        ("白日照高天", "黄河入海流", "更上一层楼", ()),  # line 1 cannot leave the rhyme
    ],
)
def test_scan_off_rhyme(line_1: str, line_2: str, line_4: str, off_rhyme: tuple[int, ...]) -> None:
    result = scanned((line_1, line_2, "欲穷千里目", line_4))
    assert result.off_rhyme == off_rhyme
    assert bool(result.main_rhyme) == bool(result.rhyme or off_rhyme)


@pytest.mark.parametrize("number", [2, 4, 6, 8])
def test_scan_rhyme_is_that_of_all_even_lines(number: int) -> None:
    octave = [*SPRING_VIEW]
    octave[number - 1] = octave[number - 1][:-1] + "山"
    result = scanned(tuple(octave))
    assert (result.rhyme, result.level_rhyme, result.regulated) == (frozenset(), False, False)
    assert result.off_rhyme == (number,)


def test_scan_off_rhyme_of_octave() -> None:
    octave = [*SPRING_VIEW]
    octave[5] = "家书抵万山"
    result = scanned(tuple(octave))
    assert (result.off_rhyme, result.main_rhyme, result.rhyme) == (
        (6,),
        frozenset("侵"),
        frozenset(),
    )
    octave[7] = "浑欲不胜天"
    assert scanned(tuple(octave)).off_rhyme == ()


@pytest.mark.parametrize(
    ("lines", "opens_level"),
    [(HERON_TOWER, False), (QUIET_NIGHT, True), (WHITE_EMPEROR, True), (SPRING_VIEW, False)],
)
def test_scan_opening(lines: tuple[str, ...], opens_level: bool) -> None:
    assert scanned(lines).opens_level is opens_level


def test_scan_oblique_rhyme() -> None:
    result = scanned(("山中独不见", "江上有明月", "夜久人未归", "天边飞白雪"))
    assert (result.rhyme, result.level_rhyme) == (frozenset(), False)
    result = scanned(("山中独不见", "云外有飞雪", "夜久人未归", "心中无一别"))
    assert (result.rhyme, result.level_rhyme) == (frozenset("屑"), False)


@pytest.mark.parametrize("lines", [(), ("白日依山尽",), HERON_TOWER[:3], ("白日",) * 4])
def test_scan_of_other_shape(lines: tuple[str, ...]) -> None:
    assert scan(lines) is None


def test_find_form_by_name_and_alias() -> None:
    assert [find_form(name) for name in ("wujue", "qijue", "wulv", "qilv")] == list(FORMS.values())
    assert find_form("七律") is FORMS["七律"]
    assert find_form("haiku") is None
