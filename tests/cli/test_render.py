"""Poems on their way out."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from poetgen.cli.options import OutputFormat, Script
from poetgen.cli.render import as_record, stream_poem, write_samples
from poetgen.data.poem import Poem
from poetgen.errors import OutputError
from poetgen.model.likelihood import Likelihood
from poetgen.sampling.decode import Sample
from poetgen.sampling.prompt import Prompt
from poetgen.sampling.request import Request, Settings

TEXT = "山云归去晚，溪月照人来。松下无来客，花前独举杯。"
OTHER = "云归山，月照人。"


def sample(text: str, index: int = 0, *, ended: bool = True) -> Sample:
    request = Request(7, index, Prompt("山云", ("a remark",)), settings=Settings(0.5))
    return Sample(request, Poem(text), Likelihood(1, 25, 1, 20, 100.00123), ended=ended)


def write(
    samples: list[Sample],
    output_format: OutputFormat = OutputFormat.text,
    script: Script = Script.simplified,
    output: Path | None = None,
) -> None:
    write_samples(
        samples,
        output=output,
        output_format=output_format,
        script=script,
        model="m.safetensors",
        total=len(samples),
    )


def test_a_record_has_exactly_the_keys_of_the_contract() -> None:
    assert as_record(sample(TEXT, index=4), Script.simplified, "m.safetensors") == {
        "index": 4,
        "prompt": "山云",
        "poem": TEXT,
        "lines": ["山云归去晚", "溪月照人来", "松下无来客", "花前独举杯"],
        "form": "五绝",
        "seed": 7,
        "temperature": 0.5,
        "nats_per_token": 4.0,
        "constraints": {},
        "warnings": ["a remark"],
        "model": "m.safetensors",
    }


def test_a_poem_that_was_cut_off_says_so_in_its_record() -> None:
    record = as_record(sample(TEXT, ended=False), Script.simplified, "m")
    assert record["warnings"] == ["a remark", "cut off after 25 characters without an end"]


def test_a_record_of_another_shape_has_no_form() -> None:
    assert as_record(sample(OTHER), Script.simplified, "m")["form"] == "other"


def test_a_record_in_traditional_characters() -> None:
    record = as_record(sample(OTHER), Script.traditional, "m")
    assert (record["poem"], record["lines"]) == ("雲歸山，月照人。", ["雲歸山", "月照人"])


def test_text_is_laid_out_with_a_blank_line_between_poems(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write([sample(TEXT), sample(OTHER), sample("云归山")])
    assert capsys.readouterr() == (
        "山云归去晚，溪月照人来。\n松下无来客，花前独举杯。\n\n云归山，月照人。\n\n云归山\n",
        "",
    )


def test_text_in_traditional_characters(capsys: pytest.CaptureFixture[str]) -> None:
    write([sample(OTHER)], script=Script.traditional)
    assert capsys.readouterr().out == "雲歸山，月照人。\n"


def test_json_lines_are_one_object_per_poem_in_plain_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write([sample(TEXT, 0), sample(OTHER, 1)], OutputFormat.jsonl)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1]
    assert TEXT in lines[0]


def test_each_poem_is_written_before_the_next_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []

    def samples() -> Iterator[Sample]:
        for text in (TEXT, OTHER):
            seen.append(capsys.readouterr().out)
            yield sample(text)

    write_samples(
        samples(),
        output=None,
        output_format=OutputFormat.text,
        script=Script.simplified,
        model="m",
        total=2,
    )
    assert seen[0] == ""
    assert seen[1].startswith("山云归去晚")


def test_an_output_file_holds_what_stdout_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "poems.txt"
    write([sample(TEXT), sample(OTHER)], output=path)
    assert capsys.readouterr().out == ""
    written = path.read_text(encoding="utf-8")
    write([sample(TEXT), sample(OTHER)])
    assert capsys.readouterr().out == written
    assert [file.name for file in path.parent.iterdir()] == ["poems.txt"]


def test_what_was_in_the_output_file_stays_until_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("old")

    def failing() -> Iterator[Sample]:
        yield sample(TEXT)
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(
            failing(),
            output=path,
            output_format=OutputFormat.text,
            script=Script.simplified,
            model="m",
            total=2,
        )
    assert path.read_text() == "old"
    assert "山云归去晚" in (tmp_path / "poems.txt.part").read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        write([sample(TEXT)], output=tmp_path / "file" / "poems.txt")
    assert str(tmp_path / "file" / "poems.txt") in caught.value.why


@pytest.mark.parametrize(
    ("text", "script", "shown"),
    [
        (TEXT, Script.simplified, "山云归去晚，溪月照人来。\n松下无来客，花前独举杯。\n"),
        (OTHER, Script.traditional, "雲歸山，月照人。\n"),
        ("云归？山", Script.simplified, "云归？\n山\n"),
        ("云归？山", Script.traditional, "雲歸？\n山\n"),
    ],
)
def test_a_streamed_poem_looks_as_a_printed_one(
    capsys: pytest.CaptureFixture[str], text: str, script: Script, shown: str
) -> None:
    stream_poem(iter(text), script)
    assert capsys.readouterr().out == shown
    write([sample(text)], script=script)
    assert capsys.readouterr().out == shown


def test_a_stream_shows_each_character_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def characters() -> Iterator[str]:
        for character in "云归。":
            yield character
            seen.append(capsys.readouterr().out)

    stream_poem(characters(), Script.simplified)
    assert seen == ["云", "归", "。\n"]


def test_traditional_characters_are_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def characters() -> Iterator[str]:
        for character in "云归，山":
            yield character
            seen.append(capsys.readouterr().out)

    stream_poem(characters(), Script.traditional)
    assert seen == ["", "", "雲歸，", ""]
    assert capsys.readouterr().out == "山\n"
