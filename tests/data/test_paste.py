"""`poetgen.data.paste`: poems as people paste them."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from poetgen.data.clean import clean
from poetgen.data.paste import read_poems
from poetgen.data.poem import Poem
from poetgen.data.read import read

LINES = ("山静月光白", "江清人影斜", "夜深无过客", "独坐看梅花")
BARE = "\n".join(LINES)
COUPLETS = "山静月光白，江清人影斜。\n夜深无过客，独坐看梅花。"
WHOLE = COUPLETS.replace("\n", "")
SONG = ("山月好", "夜夜照窗前", "谁向江头吹铁笛", "一声吹破水中天", "人在柳边船")
MODERN = "我走在山路上\n风从身后吹来\n月亮不说话\n只是照着\n我的影子"


def headings(text: str) -> list[tuple[str, str]]:
    return [(poem.title, poem.author) for poem in read_poems(text)]


def is_one(text: str, title: str, author: str, lines: Sequence[str]) -> bool:
    """Return whether `text` is read as one poem with this title, author and lines."""
    poems = read_poems(text)
    return [(p.title, p.author, p.lines) for p in poems] == [(title, author, tuple(lines))]


@pytest.mark.parametrize(
    "text",
    [
        BARE,
        BARE.replace("\n", "\r\n"),
        BARE.replace("\n", " "),
        BARE.replace("\n", "\u3000"),
        BARE.replace("\n", "\n\n"),
        BARE.replace("\n", "，\n"),
        BARE.replace("\n夜", "。\n夜"),  # a mark after every second line
        "\n".join(" ".join(line) for line in LINES),
        "\n".join(f"\u3000\u3000{line}" for line in LINES),
        COUPLETS,
        WHOLE,
        f"\n\n{COUPLETS}\n\n",
        "山靜月光白 江清人影斜 夜深無過客 獨坐看梅花",
    ],
)
def test_read_poems_ends_lines_at_breaks(text: str) -> None:
    assert is_one(text, "", "", LINES)


@pytest.mark.parametrize("verse", [BARE, COUPLETS, WHOLE, BARE.replace("\n", "\n\n")])
@pytest.mark.parametrize(
    "heading",
    [
        "月夜\n张若冰\n",
        "月夜\n\n张若冰\n\n",
        "月夜 张若冰\n",
        "\u3000\u3000月夜\u3000张若冰\n",
        "《月夜》\n张若冰\n",
        "《月夜》 张若冰\n",
        "《月夜》张若冰\n",
        "张若冰《月夜》\n\n",
        "月夜\n[唐] 张若冰\n",
        "月夜\n[唐]张若冰\n",
        "月夜\n【唐】张若冰\n",
        "月夜 〔宋代〕张若冰\n",
        "月夜\n（清） 张若冰\n",
        "月夜\n张若冰〔唐代〕\n",
        "月夜\n唐·张若冰\n",
        "月夜 唐 张若冰\n",
        "月夜\n唐代：张若冰\n",
        "月夜\n作者：张若冰\n",
        "月夜\n作者： 张若冰\n",
        "题目：月夜\n朝代：唐\n作者：张若冰\n",
        "月夜 / 张若冰\n",
        "月夜——张若冰\n",
    ],
)
def test_read_poems_sets_heading_aside(heading: str, verse: str) -> None:
    assert is_one(heading + verse, "月夜", "张若冰", LINES)


@pytest.mark.parametrize("verse", [BARE, COUPLETS, WHOLE])
def test_read_poems_sets_title_aside(verse: str) -> None:
    for title in ("月夜", "寄山中旧友", "秋日与诸公同登江楼", "水调"):
        assert is_one(f"{title}\n{verse}", title, "", LINES)
    assert is_one(f"江楼 其二\n唐·张若冰\n{verse}", "江楼 其二", "张若冰", LINES)


@pytest.mark.parametrize("verse", [BARE, COUPLETS])
def test_read_poems_sets_signature_aside(verse: str) -> None:
    assert is_one(f"{verse}\n——张若冰《月夜》", "月夜", "张若冰", LINES)
    assert is_one(f"{verse}\n\n—— 张若冰", "", "张若冰", LINES)
    assert is_one(f"月夜\n{verse}\n（唐）张若冰", "月夜", "张若冰", LINES)


def test_read_poems_in_one_line() -> None:
    assert is_one(f"月夜 张若冰 {BARE}".replace("\n", " "), "月夜", "张若冰", LINES)
    assert is_one(f"《月夜》 [唐] 张若冰 {WHOLE}", "月夜", "张若冰", LINES)
    assert is_one(f"月夜：{WHOLE}", "月夜", "", LINES)


def test_read_poems_keeps_spelling_of_title() -> None:
    assert is_one(f"靜夜·思 [1]\x1b\n{BARE}", "靜夜·思", "", LINES)


def test_read_poems_of_lyric() -> None:
    marked = "，".join(SONG[:2]) + "。\n" + "，".join(SONG[2:4]) + "。\n" + SONG[4] + "。"
    assert is_one(f"望江南\n张若冰\n{marked}", "望江南", "张若冰", SONG)
    assert is_one(f"望江南·山月\n\n{marked}", "望江南·山月", "", SONG)
    stanzas = marked.replace("\n", "")
    assert is_one(f"望江南 张若冰\n{stanzas}\n{stanzas}", "望江南", "张若冰", SONG * 2)
    assert is_one(f"望江南 张若冰\n\n{stanzas}\n\n{stanzas}", "望江南", "张若冰", SONG * 2)
    assert is_one("\n".join(SONG), "", "", SONG)


def test_read_poems_of_modern_verse() -> None:
    lines = MODERN.split("\n")
    assert is_one(MODERN, "", "", lines)
    assert is_one(f"夜行\n张若冰\n{MODERN}", "夜行", "张若冰", lines)
    assert is_one(f"夜行\n\n{MODERN}", "夜行", "", lines)
    stanzas = f"{MODERN}\n\n{MODERN}".replace("说话\n", "说话，\n")
    assert is_one(f"《夜行》\n{stanzas}", "夜行", "", lines * 2)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("\n".join(LINES[:2]), LINES[:2]),
        (f"{LINES[0]}\n{LINES[1]}。", LINES[:2]),
        ("\n".join([*LINES, *LINES[:2]]), [*LINES, *LINES[:2]]),
        ("\n".join([*SONG[2:4], *LINES, *LINES[:2]]), [*SONG[2:4], *LINES, *LINES[:2]]),
        ("月夜", ["月夜"]),
        ("《月夜》", ["月夜"]),
        (f"{LINES[0]}\n12\nabc\n{LINES[1]}", LINES[:2]),
    ],
)
def test_read_poems_takes_no_verse_for_a_title(text: str, lines: Sequence[str]) -> None:
    assert is_one(text, "", "", lines)


@pytest.mark.parametrize("text", ["", "\n \n", "，。", "abc\n123", "# 月夜"])
def test_read_poems_without_verse(text: str) -> None:
    assert read_poems(text) == []


def test_read_poems_with_poem_per_line() -> None:
    for row in (WHOLE, BARE.replace("\n", " "), WHOLE + WHOLE, "山高，月小，水落，石出。"):
        assert len(read_poems(f"{row}\n{row}\n{row}\n")) == 3
    assert headings(f"# two poems\n月夜：{WHOLE}\n江楼：{WHOLE}") == [("月夜", ""), ("江楼", "")]
    assert headings('{"text": "山高。", "title": "月", "author": "张"}\n{"text": "。"}') == [
        ("月", "张")
    ]


def test_read_poems_parts_poems_in_form() -> None:
    # As `poetgen sample --num 2` prints them.
    assert headings(f"{COUPLETS}\n\n{COUPLETS}") == [("", ""), ("", "")]
    assert headings(f"{BARE}\n\n{BARE}") == [("", ""), ("", "")]


@pytest.mark.parametrize("verse", [BARE, COUPLETS, WHOLE])
def test_read_poems_parts_poems_at_titles(verse: str) -> None:
    expected = [("月夜", "张若冰"), ("江楼", "李四")]
    assert headings(f"月夜\n张若冰\n{verse}\n\n江楼\n李四\n{verse}") == expected
    assert headings(f"《月夜》 张若冰\n{verse}\n《江楼》 李四\n{verse}") == expected
    assert headings(f"绝句二首\n其一\n{verse}\n其二\n{verse}")[1] == ("其二", "")


def test_read_poems_joins_stanzas_under_one_title() -> None:
    assert is_one(f"江楼 张若冰\n\n{COUPLETS}\n\n{COUPLETS}", "江楼", "张若冰", LINES * 2)
    assert is_one(f"江楼 张若冰\n{WHOLE}\n{WHOLE}", "江楼", "张若冰", LINES * 2)
    assert len(read_poems(f"江楼二首\n\n{COUPLETS}\n\n{COUPLETS}")) == 2


def pasted_forms() -> list[Callable[[Poem], list[str]]]:
    return [
        lambda poem: [poem.title, poem.author, poem.formatted()],
        lambda poem: [f"{poem.title} {poem.author}", poem.formatted()],
        lambda poem: [f"《{poem.title}》", f"[唐] {poem.author}", *poem.lines],
        lambda poem: [poem.title, "", f"{poem.author}〔唐代〕", "", *poem.lines],
        lambda poem: [f"《{poem.title}》 唐·{poem.author}", poem.text],
    ]


@pytest.mark.corpus
def test_read_poems_recovers_corpus(real_corpus: Path) -> None:
    poems, _report = clean(read(next(iter(sorted(real_corpus.glob("*.json"))))))
    titled = [poem for poem in poems if poem.title and 2 <= len(poem.author) <= 4]
    sample = random.Random(1).sample([p for p in titled if "，" not in p.title], 200)
    for form in pasted_forms():
        wrong = sum(
            not is_one("\n".join(form(poem)), poem.title, poem.author, poem.lines)
            for poem in sample
        )
        assert wrong <= 2
