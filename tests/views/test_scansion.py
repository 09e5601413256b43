"""`poetgen.views.scansion`: the table of tones, and what is said of a poem."""

import pytest
from rich.cells import cell_len
from rich.console import Console

from poetgen.prosody.scan import scan
from poetgen.views.scansion import summary, tone_table
from tests.prosody.verses import HERON_TOWER, WHITE_EMPEROR

QUATRAIN = HERON_TOWER.rstrip("。").replace("。", "，").split("，")
LONG_LINES = WHITE_EMPEROR.rstrip("。").replace("。", "，").split("，")


def rows_of_table(lines: list[str], width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(tone_table(lines, scan(lines), width))
    return capture.get().splitlines()


def test_tone_table_in_columns() -> None:
    rows = rows_of_table(LONG_LINES, 80)
    assert len(rows) == 5
    assert rows[2].split() == ["千里江陵一日还", "平仄平平仄仄平", "仄仄平平仄仄平", "先", "删"]
    starts = {cell_len(row[: row.index(row.split()[1])]) for row in rows[1:]}
    assert starts == {16}


@pytest.mark.parametrize("width", [24, 40])
def test_tone_table_narrow(width: int) -> None:
    rows = rows_of_table(LONG_LINES, width)
    assert [row.rstrip() for row in rows[4:8]] == [
        "千里江陵一日还  先 删",
        "平仄平平仄仄平",
        "仄仄平平仄仄平",
        "",
    ]
    assert max(map(cell_len, rows)) <= width


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (QUATRAIN + QUATRAIN[:2], "6 lines, not 4 or 8"),
        (["白日依山尽入海"], "1 line, not 4 or 8"),
        (["白日依山"] * 4, "lines of 4 characters, not 5 or 7"),
        (["山", "高", "月", "小"], "lines of 1 character, not 5 or 7"),
        (["山高", "月"] * 5, "lines of 2, 1, 2, 1, 2, 1, 2, 1 … characters"),
    ],
)
def test_summary_of_other_shape(lines: list[str], reason: str) -> None:
    text = "none of the regulated forms 五绝 七绝 五律 七律 by its shape"
    assert list(summary(scan(lines), lines)) == [f"{text}: {reason}"]
    assert list(summary(scan(lines))) == [text]


@pytest.mark.parametrize(
    ("poem", "opening"),
    [
        (QUATRAIN, "仄起首句不入韵"),
        (LONG_LINES, "平起首句入韵"),
        (["明月照楼台", "江边一雁来", "客心正寥落", "又是菊花开"], "仄起首句入韵"),
        (["江边秋月白", "夜夜照楼台", "不见归来客", "菊花依旧开"], "平起首句不入韵"),
    ],
)
def test_summary_names_the_order(poem: list[str], opening: str) -> None:
    assert f": {opening} (" in next(summary(scan(poem)))


def test_summary_shows_level_groups_only() -> None:
    # 看 and 难 are level or oblique; both readings rhyme.
    lines = ["山中人不见", "月下独来看", "欲寄相思字", "江南行路难"]
    assert "even lines rhyme: 寒, level" in list(summary(scan(lines)))


def test_summary_of_an_oblique_rhyme_claims_no_opening() -> None:
    lines = ["山深人未晓", "云外闻归鸟", "松下老翁闲", "竹边行客少"]
    first, second, *_ = summary(scan(lines), lines)
    assert "仄韵" in first
    assert "首句" not in first
    assert second == "even lines rhyme: 筱, oblique"


def test_summary_names_the_opening_of_the_order() -> None:
    lines = ["山深人未晓", "云起满前峰", "松下一壶酒", "竹边三寺钟"]
    result = scan(lines)
    assert result is not None
    first = next(iter(summary(result, lines)))
    assert ("首句入韵" in first) == result.order[0].isupper()
