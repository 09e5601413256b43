"""`poetgen.data.read`: four layouts; broken records are skipped, broken files are errors."""

import json
import os
from pathlib import Path

import pytest

from poetgen.data.corpus import load_corpus
from poetgen.data.read import BrokenRecord, RawRecord, corpus_files, read, read_lines
from poetgen.errors import CorpusError

BOM = b"\xef\xbb\xbf"
COUPLET = "山风吹竹径，溪月照柴门。"
RECORD = {"title": "夜坐", "author": "无名", "paragraphs": ["山风吹竹径，", "溪月照柴门。"]}


def write(path: Path, content: object, *, bom: bool = False) -> Path:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_bytes(BOM * bom + text.encode("utf-8", "surrogatepass"))
    return path


def refusal(path: Path) -> CorpusError:
    """Return the error of reading `path`; check its form."""
    with pytest.raises(CorpusError) as caught:
        list(read(path))
    error = caught.value
    assert error.exit_code == 1
    assert error.why
    assert error.fix
    assert "\n" not in error.why + error.fix
    assert str(path) in error.why
    return error


@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "location"),
    [
        ("a.json", json.dumps([RECORD]), "a.json: record 0"),
        ("a.json", json.dumps(RECORD), "a.json: record 0"),
        ("a.jsonl", json.dumps(RECORD) + "\n", "a.jsonl: line 1"),
        ("a.jsonl", json.dumps(RECORD), "a.jsonl: line 1"),
    ],
)
def test_read_json_layouts(
    tmp_path: Path, name: str, content: str, location: str, bom: bool
) -> None:
    path = write(tmp_path / name, content, bom=bom)
    assert list(read(path)) == [RawRecord(COUPLET, "夜坐", "无名", location)]


@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_read_text_with_comments(tmp_path: Path, newline: str, bom: bool) -> None:
    lines = ["# 注", COUPLET, "", "  霜叶随溪下，寒鸦绕树啼。 "]
    path = write(tmp_path / "a.txt", newline.join(lines), bom=bom)
    assert list(read(path)) == [
        RawRecord(COUPLET, "", "", "a.txt: line 2"),
        RawRecord("霜叶随溪下，寒鸦绕树啼。", "", "", "a.txt: line 4"),
    ]


def test_read_unknown_suffix_as_text(tmp_path: Path) -> None:
    path = write(tmp_path / "poems", COUPLET + "\n")
    assert list(read(path)) == [RawRecord(COUPLET, "", "", "poems: line 1")]


@pytest.mark.parametrize("key", ["paragraphs", "poem", "text"])
@pytest.mark.parametrize("body", [COUPLET, [COUPLET], ["山风吹竹径，", "溪月照柴门。"]])
def test_read_body_keys(tmp_path: Path, key: str, body: object) -> None:
    path = write(tmp_path / "a.json", [{key: body}])
    assert list(read(path)) == [RawRecord(COUPLET, "", "", "a.json: record 0")]


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (3, "object"),
        (None, "object"),
        (COUPLET, "object"),
        ([COUPLET], "object"),
        ({}, "paragraphs"),
        ({"title": "夜坐", "author": "无名"}, "paragraphs"),
        ({"paragraphs": None}, "paragraphs"),
        ({"paragraphs": 3}, "paragraphs"),
        ({"paragraphs": [COUPLET, 3]}, "paragraphs"),
        ({"poem": {"a": 1}}, "poem"),
        ({"title": 3, "paragraphs": [COUPLET]}, "title"),
        ({"author": 7, "paragraphs": [COUPLET]}, "author"),
    ],
)
@pytest.mark.parametrize("layout", ["json", "jsonl"])
def test_read_malformed_record(tmp_path: Path, layout: str, item: object, why: str) -> None:
    items = [RECORD, item, RECORD]
    content = json.dumps(items) if layout == "json" else "\n".join(map(json.dumps, items))
    first, broken, last = read(write(tmp_path / f"a.{layout}", content))
    assert isinstance(first, RawRecord)
    assert isinstance(last, RawRecord)
    assert isinstance(broken, BrokenRecord)
    assert broken.location == ("a.json: record 1" if layout == "json" else "a.jsonl: line 2")
    assert why in broken.why
    assert "\n" not in broken.why


@pytest.mark.parametrize("line", ['{"text": ', "春眠", "[" * 100_000, "[" + "1" * 5000 + "]"])
def test_read_broken_jsonl_row(tmp_path: Path, line: str) -> None:
    good = json.dumps(RECORD)
    first, broken, last = read(write(tmp_path / "a.jsonl", f"{good}\n\n{line}\n{good}\n"))
    assert isinstance(first, RawRecord)
    assert isinstance(last, RawRecord)
    assert isinstance(broken, BrokenRecord)
    assert broken.location == "a.jsonl: line 3"


def test_read_jsonl_splits_at_line_feed_only(tmp_path: Path) -> None:
    # JSON strings may contain these unescaped; str.splitlines would split the record there.
    text = "山风\u2028吹竹径，\x85溪月\u2029照柴门。"
    path = write(tmp_path / "a.jsonl", {"text": text})
    assert list(read(path)) == [RawRecord(text, "", "", "a.jsonl: line 1")]


def test_read_lone_surrogate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '[{"text": "山\\ud800水"}]')
    assert list(read(path)) == [RawRecord("山\ud800水", "", "", "a.json: record 0")]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        json.dumps([RECORD])[:-5],
        '[{"text": "山"}] x',
        "[" * 100_000,
        "[" + "1" * 5000 + "]",
    ],
    ids=["empty", "bracket", "truncated", "trailing", "deep", "long number"],
)
def test_read_incomplete_json_fails(tmp_path: Path, content: str) -> None:
    error = refusal(write(tmp_path / "a.json", content))
    assert "JSON" in error.why


def test_read_truncated_json_names_line(tmp_path: Path) -> None:
    assert "line 3" in refusal(write(tmp_path / "a.json", '[\n{"text": "山"},\n{"te')).why


@pytest.mark.parametrize(
    ("content", "found"), [("3", "int"), ('"山"', "str"), ("null", "NoneType")]
)
def test_read_json_without_list_fails(tmp_path: Path, content: str, found: str) -> None:
    error = refusal(write(tmp_path / "a.json", content))
    assert found in error.why
    assert "paragraphs" in error.fix


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt"])
def test_read_non_utf8_names_byte(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes("春\n".encode() + "山风".encode("gb18030"))
    error = refusal(path)
    # 山 is c9 bd in GB18030, which is valid UTF-8; 风 begins with b7, which is not.
    assert "UTF-8" in error.why
    assert "byte 6 is 0xb7" in error.why
    assert "iconv" in error.fix


def test_read_missing_path_advises_fetch(tmp_path: Path) -> None:
    assert "poetgen corpus fetch" in refusal(tmp_path / "nowhere").fix


def test_read_impossible_path_is_missing(tmp_path: Path) -> None:
    refusal(tmp_path / ("a" * 300))


def test_read_empty_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing to read", encoding="utf-8")
    (tmp_path / "folder.json").mkdir()
    assert ".json, .jsonl, .txt" in refusal(tmp_path).why


@pytest.mark.skipif(not Path(os.devnull).is_char_device(), reason="no such device")
def test_load_of_device_fails() -> None:
    with pytest.raises(CorpusError, match=os.devnull):
        load_corpus([Path(os.devnull)])


def test_corpus_files_natural_order(tmp_path: Path) -> None:
    names = ["b.json", "a.10000.json", "a.2000.json", "a.0.json", "a.json", "a.1000.json"]
    for name in names:
        write(tmp_path / name, [])
    expected = ["a.0.json", "a.1000.json", "a.2000.json", "a.10000.json", "a.json", "b.json"]
    assert [file.name for file in corpus_files(tmp_path)] == expected


def test_corpus_files_break_ties_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write(tmp_path / name, []) for name in ("a.1.json", "a.01.json", "a.001.json")]
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(files))
    forwards = corpus_files(tmp_path)
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(files[::-1]))
    assert corpus_files(tmp_path) == forwards


def test_corpus_files_with_other_digits(tmp_path: Path) -> None:
    for name in ("1²3.json", "1.json"):
        write(tmp_path / name, [])
    assert {file.name for file in corpus_files(tmp_path)} == {"1²3.json", "1.json"}


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["a.json", "b.jsonl", "c.txt"], ["a.json"]),
        (["b.jsonl", "c.txt"], ["b.jsonl"]),
        (["c.txt", "d.md"], ["c.txt"]),
    ],
)
def test_corpus_files_of_one_layout(tmp_path: Path, names: list[str], taken: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert [file.name for file in corpus_files(tmp_path)] == taken


def test_read_folder_in_order(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write(tmp_path / f"{number}.json", [{"text": f"{number}a"}, {"text": f"{number}b"}])
    locations = [record.location for record in read(tmp_path)]
    assert locations == [f"{n}.json: record {i}" for n in (1, 9, 10) for i in (0, 1)]


def test_read_titles_before_colon(tmp_path: Path) -> None:
    lines = ["夜坐：山风吹竹径，溪月照柴门。", "秋晚:霜叶随溪下，寒鸦绕树啼。", COUPLET]
    records = read(write(tmp_path / "a.txt", "\n".join(lines)))
    found = [(r.title, r.text) for r in records if isinstance(r, RawRecord)]
    assert found == [("夜坐", COUPLET), ("秋晚", "霜叶随溪下，寒鸦绕树啼。"), ("", COUPLET)]


def test_read_rare_colon_as_mark(tmp_path: Path) -> None:
    lines = ["问君：山风吹竹径，溪月照柴门。", COUPLET]
    texts = [
        r.text
        for r in read(write(tmp_path / "a.txt", "\n".join(lines)))
        if isinstance(r, RawRecord)
    ]
    assert texts == lines


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", [{"paragraphs": ["山风吹竹径", "溪月照柴门"]}]),
        ("a.json", [{"text": "山风吹竹径\n溪月照柴门\n"}]),
        ("a.txt", "山风吹竹径 溪月照柴门"),
        ("a.txt", "山风吹竹径\u3000溪月照柴门"),
    ],
)
def test_read_adds_marks_to_unmarked_lines(tmp_path: Path, name: str, content: object) -> None:
    (record,) = read(write(tmp_path / name, content))
    assert isinstance(record, RawRecord)
    assert record.text == COUPLET


def test_read_null_author(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [RECORD | {"author": None}])
    assert list(read(path)) == [RawRecord(COUPLET, "夜坐", "", "a.json: record 0")]


def test_read_jsonl_with_json_suffix(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", f"{json.dumps(RECORD)}\n{json.dumps(RECORD)}\n")
    assert [r.location for r in read(path)] == ["a.json: line 1", "a.json: line 2"]


def test_corpus_files_skip_hidden(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [RECORD])
    (tmp_path / "._a.json").write_bytes(b"\x00\x05\x16\x07")
    assert corpus_files(tmp_path) == [path]


def test_read_missing_song_advises_its_fetch(tmp_path: Path) -> None:
    assert "`poetgen corpus fetch --collection song`" in refusal(tmp_path / "song").fix
    assert "`poetgen corpus fetch`" in refusal(tmp_path / "tang").fix


@pytest.mark.parametrize("content", [COUPLET, json.dumps(RECORD)])
def test_read_lines_of_text_or_json(content: str) -> None:
    (record,) = read_lines(BOM + f"\n{content}\n".encode(), "standard input")
    assert isinstance(record, RawRecord)
    assert (record.text, record.location) == (COUPLET, "standard input: line 2")


def test_read_lines_non_utf8_names_source() -> None:
    with pytest.raises(CorpusError, match=r"^standard input is not UTF-8"):
        list(read_lines(COUPLET.encode("gb18030"), "standard input"))


def test_text_of_sample_is_read_poem_by_poem(tmp_path: Path) -> None:
    """A poem in several rows, and a blank line between poems."""
    rows = ["山云归去晚，溪月照人来。", "竹影摇秋水，松风扫石台。"]
    poems = tmp_path / "poems.txt"
    poems.write_text("\n".join([*rows, "", *rows[::-1], "", rows[0], ""]), encoding="utf-8")
    records = list(read(poems))
    assert [record.text for record in records if isinstance(record, RawRecord)] == [
        "".join(rows),
        "".join(rows[::-1]),
        rows[0],
    ]
    assert records[1].location.endswith("line 4")


def test_sections_of_a_poem_per_line_stay_apart(tmp_path: Path) -> None:
    row = "山云归去晚，溪月照人来。竹影摇秋水，松风扫石台。"
    poems = tmp_path / "poems.txt"
    poems.write_text(f"{row}\n{row}\n\n{row}\n{row}\n", encoding="utf-8")
    assert len(list(read(poems))) == 4
