"""`poetgen corpus`."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from poetgen.cli.main import make_app
from poetgen.data.fetch import CorpusFile, Manifest
from tests.refusal import is_refused

app = make_app()

runner = CliRunner()

VERSES = ["山雲歸去晚，溪月照人來。", "松下無來客，花前獨舉杯。"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def corpus(*arguments: str) -> Result:
    return runner.invoke(app, ["corpus", *arguments])


def test_report_json() -> None:
    records: list[object] = [
        {"title": "一", "author": "甲", "paragraphs": VERSES},
        {"title": "二", "author": "乙", "paragraphs": VERSES},
        {"title": "三", "author": "丙", "paragraphs": ["山中。"]},
        {"title": "四", "paragraphs": 5},
        17,
    ]
    Path("poems.json").write_text(json.dumps(records), encoding="utf-8")
    result = corpus("report", "--corpus", "poems.json", "--min-count", "1", "--json")
    assert result.exit_code == 0
    counts = json.loads(result.stdout)
    assert (counts["read"], counts["kept"]) == (5, 1)
    assert counts["dropped"] == {"duplicate": 1, "stub": 1, "broken_record": 2}
    assert counts["forms"] == {"五绝": 1}
    assert sum(counts["split"].values()) == 1
    assert set(counts) == {
        "read",
        "kept",
        "dropped",
        "changed",
        "forms",
        "vocabulary",
        "split",
        "leaked_lines_rate",
        "fingerprint",
    }


def test_report_table() -> None:
    Path("poems.txt").write_text("".join(VERSES) + "\n山中。\n", encoding="utf-8")
    result = corpus("report", "--corpus", "poems.txt")
    assert result.exit_code == 0
    assert result.stdout.startswith("1 of 2 records are kept as poems: ")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["records", "read", "2"] in rows
    assert ["poems", "kept", "1"] in rows
    assert ["dropped", "stub", "1"] in rows


def test_report_several_corpora() -> None:
    Path("a.txt").write_text(VERSES[0] + "\n", encoding="utf-8")
    Path("b.txt").write_text(VERSES[1] + "\n", encoding="utf-8")
    result = corpus("report", "--corpus", "a.txt", "--corpus", "b.txt", "--json")
    assert json.loads(result.stdout)["kept"] == 2


def test_report_corpus_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.txt").write_text(VERSES[0] + "\n", encoding="utf-8")
    monkeypatch.setenv("POETGEN_CORPUS", "a.txt")
    assert json.loads(corpus("report", "--json").stdout)["kept"] == 1


def test_report_starter() -> None:
    counts = json.loads(corpus("report", "--corpus", "starter", "--json").stdout)
    assert counts["kept"] == counts["read"] > 300


CANNOT_BE_READ = {
    "empty": b"",
    "blank": b"\n\n",
    "truncated.json": json.dumps([{"paragraphs": VERSES}]).encode()[:-20],
    "number.json": b"5",
    "latin1.txt": b"\xff\xfe\xe9t\xe9",
    "gb.txt": VERSES[0].encode("gb18030"),
    "stubs.txt": "山中。\n".encode(),
    "bad.jsonl": b'{"paragraphs": 5}\n',
}


@pytest.mark.parametrize("name", CANNOT_BE_READ)
def test_report_unreadable_corpus_exits_1(name: str) -> None:
    Path(name).write_bytes(CANNOT_BE_READ[name])
    result = corpus("report", "--corpus", name)
    assert is_refused(result, 1)
    assert name in result.stderr


@pytest.mark.parametrize("arguments", [[], ["--corpus", "absent"], ["--corpus", "."]])
def test_report_missing_corpus_advises_fetch(arguments: list[str]) -> None:
    result = corpus("report", *arguments)
    assert is_refused(result, 1)
    assert "poetgen corpus fetch" in result.stderr


def test_fetch_from_empty_base_exits_1() -> None:
    result = corpus("fetch", "--url", "nowhere", "--output-dir", "here")
    assert is_refused(result, 1)
    assert "nowhere" in result.stderr
    assert list(Path("here").iterdir()) == []


@pytest.mark.parametrize("arguments", [["--collection", "ming"], ["--url", "ftp://example.org/"]])
def test_fetch_unknown_exits_2(arguments: list[str]) -> None:
    assert is_refused(corpus("fetch", *arguments), 2)
    assert list(Path().iterdir()) == []


def test_fetch_into_file_exits_1() -> None:
    Path("file").write_text("old")
    assert is_refused(corpus("fetch", "--url", "nowhere", "--output-dir", "file"), 1)
    assert Path("file").read_text() == "old"


def test_fetch_fills_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps([{"paragraphs": VERSES}]).encode()
    Path("mirror").mkdir()
    Path("mirror/poet.json").write_bytes(content)
    file = CorpusFile("poems/poet.json", len(content), hashlib.sha256(content).hexdigest())
    manifest = Manifest("tang", "someone/verses", "0" * 40, "MIT", 1, (file,))
    monkeypatch.setattr("poetgen.data.fetch.load_manifest", lambda _collection: manifest)
    first = corpus("fetch", "--url", "mirror")
    assert first.exit_code == 0
    assert (
        first.stdout == f"data/tang: 1 file downloaded ({len(content)} bytes), 0 already present\n"
    )
    again = corpus("fetch", "--url", "nowhere", "--json")
    assert json.loads(again.stdout) == {
        "folder": "data/tang",
        "downloaded": 0,
        "present": 1,
        "bytes": 0,
    }
    assert json.loads(corpus("report", "--json").stdout)["kept"] == 1
