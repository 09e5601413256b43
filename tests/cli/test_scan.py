"""`poetgen scan`."""

import json
from io import BufferedReader
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poetgen.cli.main import make_app
from poetgen.errors import shorten
from tests.refusal import is_refused

app = make_app()

QUATRAIN = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
OLD_STYLE = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"


def test_scan_regulated_poem() -> None:
    result = CliRunner().invoke(app, ["scan", QUATRAIN])
    assert result.exit_code == 0
    words = [line.split() for line in result.stdout.splitlines()]
    assert ["黄河入海流", "平平仄仄平", "平平仄仄平", "尤"] in words
    assert result.stdout.splitlines()[-10:] == [
        "五绝, order aBbA: 仄起首句不入韵 (line 1 opens oblique, does not rhyme)",
        "even lines rhyme: 尤, level",
        "tone pattern: kept",
        "失对 (position 2 not opposed in a couplet): none",
        "失粘 (position 2 differs between couplets): none",
        "孤平 (a lone level tone): none",
        "三平尾 (a line ends in three level tones): none",
        "",
        "平 level, 仄 oblique, 通 either, ？ unknown",
        "Parallelism (对仗) is not judged.",
    ]


def test_scan_names_breaks() -> None:
    out = CliRunner().invoke(app, ["scan", OLD_STYLE]).stdout
    assert "tone pattern: broken at line 2 position 4; line 3 position 2" in out
    assert "失对 (position 2 not opposed in a couplet): lines 3–4\n" in out
    assert "失粘 (position 2 differs between couplets): lines 2–3\n" in out


def test_scan_names_lines_off_the_rhyme() -> None:
    out = (
        CliRunner().invoke(app, ["scan", "白日依山秋，黄河入海流。欲穷千里目，更上高层山。"]).stdout
    )
    assert "even lines rhyme: no, 出韵 (off the rhyme 尤): line 4\n" in out
    assert "仄起首句入韵 (line 1 opens oblique and rhymes)\n" in out
    assert "三平尾 (a line ends in three level tones): lines 1, 4\n" in out


def test_scan_normalizes() -> None:
    out = CliRunner().invoke(app, ["scan", "白日依山盡,黃河入海流.欲窮千里目,更上一層樓."]).stdout
    assert out == CliRunner().invoke(app, ["scan", QUATRAIN]).stdout


def test_scan_file_and_stdin(tmp_path: Path) -> None:
    file = tmp_path / "poems.txt"
    file.write_text(f"{QUATRAIN}\n{OLD_STYLE}\n", encoding="utf-8")
    from_file = CliRunner().invoke(app, ["scan", str(file)])
    assert from_file.exit_code == 0
    assert from_file.stdout.count("order ") == 2
    assert from_file.stdout.count("Parallelism") == 1
    from_stdin = CliRunner().invoke(app, ["scan", "-"], input=file.read_text(encoding="utf-8"))
    assert from_stdin.stdout == from_file.stdout


def test_scan_other_shape() -> None:
    out = CliRunner().invoke(app, ["scan", "床前明月看，☃。"]).stdout
    assert "平平平仄通" in out
    assert (
        "none of the regulated forms 五绝 七绝 五律 七律 by its shape: 1 line, not 4 or 8\n" in out
    )
    assert "Parallelism" not in out


def test_scan_lyric_names_the_reason() -> None:
    lyric = "山月好，\n夜夜照窗前。\n谁向江头吹铁笛，\n一声吹破水中天。\n人在柳边船。"
    out = CliRunner().invoke(app, ["scan", "望江南\n" + lyric]).stdout
    words = [line.split() for line in out.splitlines()]
    assert words[0] == ["《望江南》"]
    assert ["夜夜照窗前", "仄仄仄平平", "先"] in words
    assert "lines of 3, 5, 7, 7, 5 characters" in out.replace("\n", " ").replace("  ", " ")


@pytest.mark.parametrize(
    "heading", ["登鹳雀楼 王之涣\n", "《登鹳雀楼》\n[唐] 王之涣\n\n", "登鹳雀楼\n作者：王之涣\n"]
)
@pytest.mark.parametrize("given_as", ["argument", "file", "stdin"])
def test_scan_pasted_poem(heading: str, given_as: str, tmp_path: Path) -> None:
    pasted = heading + "白日依山尽\n黄河入海流\n欲穷千里目\n更上一层楼\n"
    if given_as == "argument":
        result = CliRunner().invoke(app, ["scan", pasted])
    elif given_as == "stdin":
        result = CliRunner().invoke(app, ["scan", "-"], input=pasted)
    else:
        file = tmp_path / "poem.txt"
        file.write_text(pasted, encoding="utf-8")
        result = CliRunner().invoke(app, ["scan", str(file)])
    plain = CliRunner().invoke(app, ["scan", QUATRAIN]).stdout
    assert result.stdout == "《登鹳雀楼》 王之涣\n" + plain


def test_scan_title_is_no_markup() -> None:
    pasted = "[red]楼[blue]\x1b[31m\n白日依山尽\n黄河入海流\n欲穷千里目\n更上一层楼"
    out = CliRunner().invoke(app, ["scan", pasted]).stdout
    assert out.startswith("《[red]楼[blue][31m》\n")


def test_scan_added_character_has_a_tone() -> None:
    out = CliRunner().invoke(app, ["scan", "滚滚大江来"]).stdout
    assert ["滚滚大江来", "仄仄仄平平", "灰"] in [line.split() for line in out.splitlines()]


def test_scan_counts_readings_that_poets_used() -> None:
    lines = [line.split() for line in scan_output("不见有人还，风吹月满船。")]
    assert ["不见有人还", "仄仄仄平平", "先", "删"] in lines
    lines = [line.split() for line in scan_output("不见有人还，风吹月满船。", "--any-reading")]
    assert ["不见有人还", "通仄仄平平", "先", "删"] in lines
    assert ["风吹月满船", "通通仄仄平", "先"] in lines


@pytest.mark.parametrize(
    ("poem", "sentence"),
    [
        (
            "清明时节雨纷纷，路上行人欲断魂。借问酒家何处有，牧童遥指杏花村。",
            "line 1 rhymes in a neighboring group (借韵): 文",
        ),
        (
            "野火烧不尽，春风吹又生。远芳侵古道，晴翠接荒城。",
            "拗救 (an oblique tone that the next line makes up for): line 1 position 4",
        ),
    ],
)
def test_scan_names_licences(poem: str, sentence: str) -> None:
    lines = scan_output(poem)
    assert sentence in lines
    assert "tone pattern: kept" in lines
    assert not any("借韵" in line or "拗救" in line for line in scan_output(QUATRAIN))


def scan_output(*arguments: str) -> list[str]:
    result = CliRunner().invoke(app, ["scan", *arguments])
    assert result.exit_code == 0
    return [line.rstrip() for line in result.stdout.splitlines()]


def test_scan_json() -> None:
    lines = json.dumps({"poem": OLD_STYLE, "title": "静夜思", "author": "李白"})
    result = CliRunner().invoke(
        app, ["scan", "-", "--json"], input=f"{lines}\n" + '{"text": "山☃。"}'
    )
    regular, other = json.loads(result.stdout)
    assert {key: value for key, value in regular.items() if key != "lines"} == {
        "title": "静夜思",
        "author": "李白",
        "form": "五绝",
        "order": "BAaB",
        "opens_level": True,
        "first_line_rhymes": True,
        "first_line_neighbors": [],
        "rhyme": ["阳"],
        "level_rhyme": True,
        "off_rhyme": [],
        "not_opposed": [[3, 4]],
        "not_joined": [[2, 3]],
        "regulated": False,
    }
    assert regular["lines"][1] == {
        "text": "疑是地上霜",
        "tones": ["平", "上", "去", "上去", "平"],
        "rhyme_groups": ["阳"],
        "type": "A",
        "pattern": "仄仄仄平平",
        "breaks": [4],
        "rescued": [],
        "alternates": False,
        "lone_level": False,
        "three_level_end": False,
    }
    assert [other["form"], other["order"], other["rhyme"], other["title"]] == [None, None, None, ""]
    assert other["lines"][0]["tones"] == ["平"]
    assert other["lines"][0]["pattern"] is None


def test_scan_unreadable_file_exits_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, _mode: str) -> BufferedReader:
        raise PermissionError(13, "Permission denied")

    file = tmp_path / "poem.txt"
    file.write_text(QUATRAIN, encoding="utf-8")
    monkeypatch.setattr(Path, "open", refuse)
    result = CliRunner().invoke(app, ["scan", str(file)])
    assert is_refused(result, 1)
    assert "cannot be read: permission denied" in result.stderr


def test_scan_without_poem_exits_2() -> None:
    result = CliRunner().invoke(app, ["scan", "，"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("poetgen: there is no poem to scan\n  → ")


@pytest.mark.parametrize("name", ["nosuch.txt", "poems/床前.jsonl", "x" * 5000 + ".json"])
def test_scan_missing_file_exits_2(name: str) -> None:
    result = CliRunner().invoke(app, ["scan", name])
    assert is_refused(result, 2)
    assert result.stderr.startswith(f"poetgen: there is no file {shorten(name)}\n")


def test_scan_json_lines_on_stdin() -> None:
    lines = "".join(
        json.dumps({"poem": text, "form": "五绝"}) + "\n" for text in (QUATRAIN, OLD_STYLE)
    )
    result = CliRunner().invoke(app, ["scan", "-"], input=lines)
    as_text = CliRunner().invoke(app, ["scan", "-"], input=f"{QUATRAIN}\n{OLD_STYLE}\n")
    assert result.stdout == as_text.stdout
    assert result.stdout.count("order ") == 2


def test_scan_non_utf8_stdin_exits_1() -> None:
    result = CliRunner().invoke(app, ["scan", "-"], input=QUATRAIN.encode("gb18030"))
    assert is_refused(result, 1)
    assert "standard input is not UTF-8" in result.stderr
