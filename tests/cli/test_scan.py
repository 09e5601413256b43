"""`poetgen scan`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poetgen.cli.main import app
from tests.refusal import is_refused

QUATRAIN = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
OLD_STYLE = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"


def test_scan_regulated_poem() -> None:
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


def test_scan_names_breaks() -> None:
    out = CliRunner().invoke(app, ["scan", OLD_STYLE]).stdout
    assert "tone pattern: broken at line 2 position 4; line 3 position 2" in out
    assert "对: lost at couplet 2" in out
    assert "粘: lost at joint 1" in out


def test_scan_normalizes() -> None:
    out = CliRunner().invoke(app, ["scan", "白日依山盡,黃河入海流.欲窮千里目,更上一層樓."]).stdout
    assert out == CliRunner().invoke(app, ["scan", QUATRAIN]).stdout


def test_scan_file_and_stdin(tmp_path: Path) -> None:
    file = tmp_path / "poems.txt"
    file.write_text(f"{QUATRAIN}\n{OLD_STYLE}\n", encoding="utf-8")
    from_file = CliRunner().invoke(app, ["scan", str(file)])
    assert from_file.exit_code == 0
    assert from_file.stdout.count("order ") == 2
    from_stdin = CliRunner().invoke(app, ["scan", "-"], input=file.read_text(encoding="utf-8"))
    assert from_stdin.stdout == from_file.stdout


def test_scan_other_shape() -> None:
    out = CliRunner().invoke(app, ["scan", "床前明月光，☃。"]).stdout
    assert "平平平仄通" in out
    assert "none of 五绝 七绝 五律 七律" in out


def test_scan_without_poem_exits_2() -> None:
    result = CliRunner().invoke(app, ["scan", "，"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("poetgen: there is no poem to scan\n  → ")


@pytest.mark.parametrize("name", ["nosuch.txt", "poems/床前.jsonl", "x" * 5000 + ".json"])
def test_scan_missing_file_exits_2(name: str) -> None:
    result = CliRunner().invoke(app, ["scan", name])
    assert is_refused(result, 2)
    assert result.stderr.startswith(f"poetgen: there is no file {name}\n")


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
