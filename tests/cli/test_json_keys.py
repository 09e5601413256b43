"""docs/reference/json.md documents every key of JSON output, and in its tables no other.

`tests/evaluation/test_report.py` checks the section of `eval`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from poetgen.cli.main import make_app
from poetgen.data.fetch import Manifest

app = make_app()

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "json.md"
VERSES = ("山云归去晚，溪月照人来。", "松下无来客，花前独举杯。")


def section(command: str) -> str:
    """Return the section of a command."""
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (found,) = (one for one in sections if re.match(rf"JSON.* of `{command}`", one))
    return found


def documented(command: str) -> set[str]:
    """Return the keys in the table of a command, such as `forms.<form>`."""
    cells = re.findall(r"^\| (`.*?) \| ", section(command), re.MULTILINE)
    return {key for cell in cells for key in re.findall("`([^`]+)`", cell)}


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of the values in a JSON document; elements of a list have the same path."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from keys(one, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for one in value:
            yield from keys(one, f"{path}[]")
    else:
        yield path


def pattern_of(path: str, patterns: set[str]) -> str:
    """Return the documented key that a path is an example of; `<name>` matches any key."""
    for pattern in patterns:
        parts = re.split(r"<[^>]+>", pattern)
        if re.fullmatch(r"[^.\[\]]+".join(map(re.escape, parts)), path):
            return pattern
    return f"undocumented: {path}"


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def check(command: str, *documents: Any) -> None:
    """Assert that the keys of the documents together are those of the page."""
    patterns = documented(command)
    found = {pattern_of(path, patterns) for one in documents for path in keys(one)}
    assert found == patterns


def check_names(command: str, *documents: Any) -> None:
    """Assert that the section, whose keys are in a list, has every key of the documents."""
    names = {name for one in documents for path in keys(one) for name in re.findall(r"\w+", path)}
    text = section(command)
    assert names
    assert {name for name in names if not re.search(rf"`{name}(\[\])?`", text)} == set()


@pytest.mark.usefixtures("folder_with_a_model")
def test_sample_keys_are_documented() -> None:
    call = (
        "sample",
        "--num",
        "2",
        "--seed",
        "1",
        "--form",
        "wujue",
        "--explain",
        "--format",
        "jsonl",
    )
    lines = [json.loads(line) for line in printed(*call).splitlines()]
    assert lines[0]["constraints"] == {"form": "五绝"}  # keys are the names of the options
    check("sample", *({**line, "constraints": ""} for line in lines))


def test_corpus_report_keys_are_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("poems.txt").write_text("".join(VERSES) + "\n山中。\n", encoding="utf-8")
    Path("more.txt").write_text("".join(reversed(VERSES)) + "\n溪边。\n", encoding="utf-8")
    call = ("corpus", "report", "--corpus", "poems.txt", "--json", "--extra", "more.txt")
    check("corpus report", json.loads(printed(*call)))


def test_corpus_fetch_keys_are_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest("tang", "someone/verses", "0" * 40, "MIT", 0, ())
    monkeypatch.setattr("poetgen.data.fetch.load_manifest", lambda _collection: manifest)
    call = ("corpus", "fetch", "--output-dir", str(tmp_path), "--json")
    check("corpus fetch", json.loads(printed(*call)))


@pytest.mark.usefixtures("folder_with_a_model")
def test_export_keys_are_documented(tmp_path: Path) -> None:
    call = ("export", "tiny.safetensors", "-o", str(tmp_path / "copy.safetensors"), "--json")
    check("export", json.loads(printed(*call)))


@pytest.mark.usefixtures("folder_with_a_model")
def test_info_keys_are_documented() -> None:
    check("info", json.loads(printed("info", "--json")))


@pytest.mark.parametrize("arguments", [[], ["--gradients"]], ids=["trace", "gradients"])
@pytest.mark.usefixtures("folder_with_a_model")
def test_inspect_keys_are_documented(arguments: list[str]) -> None:
    check_names("inspect", json.loads(printed("inspect", VERSES[0], "--json", *arguments)))


@pytest.mark.parametrize("text", [VERSES[0], "".join(VERSES)])
def test_scan_keys_are_documented(text: str) -> None:
    check_names("scan", *json.loads(printed("scan", text, "--json")))


def test_plot_keys_are_documented(tmp_path: Path) -> None:
    step = {"kind": "step", "step": 1, "epoch": 1, "nats_per_token": 6.5, "learning_rate": 0.1}
    step |= {"gradient_norm": 1.0, "tokens_per_second": 9.0}
    validation = {"kind": "validation", "step": 1, "epoch": 1, "train_nats_per_token": 6.5}
    validation |= {
        "valid_nats_per_token": 6.0,
        "valid_perplexity": 400.0,
        "seconds": 2.0,
        "best": True,
    }
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text(f"{json.dumps(step)}\n{json.dumps(validation)}\n", encoding="utf-8")
    check("plot", json.loads(printed("plot", str(metrics), "--json")))
