"""`poetgen scan`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poetgen.cli.main import app
from tests.refusal import is_refused

QUATRAIN = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
OLD_STYLE = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"


def test_a_regulated_poem_is_laid_open() -> None:
    result = CliRunner().invoke(app, ["scan", QUATRAIN])
    assert result.exit_code == 0
    words = [line.split() for line in result.stdout.splitlines()]
    assert ["黄河入海流", "平平仄仄平", "平平仄仄平", "尤"] in words
    assert result.stdout.splitlines()[-7:] == [
        "五绝, order aBbA",
        "even lines rhyme: 尤, level",
        "tone pattern: kept",
        "对: kept",
        "粘: kept",
        "孤平: none",
        "三平尾: none",
    ]


def test_breaks_are_named() -> None:
    out = CliRunner().invoke(app, ["scan", OLD_STYLE]).stdout
    assert "tone pattern: broken at line 2 place 4; line 3 place 2" in out
    assert "对: lost at couplet 2" in out
    assert "粘: lost at joint 1" in out


def test_traditional_characters_and_half_width_marks_are_read_too() -> None:
    out = CliRunner().invoke(app, ["scan", "白日依山盡,黃河入海流.欲窮千里目,更上一層樓."]).stdout
    assert out == CliRunner().invoke(app, ["scan", QUATRAIN]).stdout


def test_a_file_and_standard_input_hold_several_poems(tmp_path: Path) -> None:
    file = tmp_path / "poems.txt"
    file.write_text(f"{QUATRAIN}\n{OLD_STYLE}\n", encoding="utf-8")
    from_file = CliRunner().invoke(app, ["scan", str(file)])
    assert from_file.exit_code == 0
    assert from_file.stdout.count("order ") == 2
    from_stdin = CliRunner().invoke(app, ["scan", "-"], input=file.read_text(encoding="utf-8"))
    assert from_stdin.stdout == from_file.stdout


def test_another_shape_gets_its_tones_all_the_same() -> None:
    out = CliRunner().invoke(app, ["scan", "床前明月光，☃。"]).stdout
    assert "平平平仄通" in out
    assert "none of 五绝 七绝 五律 七律" in out


def test_no_poem_is_a_wrong_call() -> None:
    result = CliRunner().invoke(app, ["scan", "，"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("poetgen: there is no poem to scan\n  → ")


@pytest.mark.parametrize("name", ["nosuch.txt", "poems/床前.jsonl", "x" * 5000 + ".json"])
def test_a_file_that_is_not_there_is_told(name: str) -> None:
    result = CliRunner().invoke(app, ["scan", name])
    assert is_refused(result, 2)
    assert result.stderr.startswith(f"poetgen: there is no file {name}\n")


def test_json_lines_on_standard_input_are_poems() -> None:
    lines = "".join(
        json.dumps({"poem": text, "form": "五绝"}) + "\n" for text in (QUATRAIN, OLD_STYLE)
    )
    result = CliRunner().invoke(app, ["scan", "-"], input=lines)
    as_text = CliRunner().invoke(app, ["scan", "-"], input=f"{QUATRAIN}\n{OLD_STYLE}\n")
    assert result.stdout == as_text.stdout
    assert result.stdout.count("order ") == 2


def test_standard_input_that_is_not_utf8_exits_1() -> None:
    result = CliRunner().invoke(app, ["scan", "-"], input=QUATRAIN.encode("gb18030"))
    assert is_refused(result, 1)
    assert "standard input is not UTF-8" in result.stderr
