"""Poems as text: JSON lines, verse, explained, and character by character."""

import json
import math
import sys
from typing import Any

import pytest
from rich.cells import cell_len

from poetgen.data.normalize import to_traditional
from poetgen.data.poem import Poem
from poetgen.engine.scoring import Likelihood
from poetgen.sampling.generator import Sample
from poetgen.sampling.hypothesis import SampledToken
from poetgen.sampling.options import Options
from poetgen.sampling.prompt import Prompt
from poetgen.sampling.request import Request
from poetgen.views.poem import OutputFormat, PoemFormatter, Script, StreamPrinter

TEXT = "山云归去晚，溪月照人来。松下无来客，花前独举杯。"
OTHER = "云归山，月照人。"


def sample(
    text: str, *, ended: bool = True, warnings: tuple[str, ...] = (), **options: Any
) -> Sample:
    """A poem whose first two characters are the prompt, with cyclic probabilities."""
    prompt = Prompt("山云", ("a warning", *warnings))
    request = Request(Options(temperature=0.5, **options), 7, 4, prompt, prompt.warnings)
    chances = [0.5, 1.0, 0.001, 0.04] * 7
    tokens = tuple(
        SampledToken(0, 9, -math.log(chance), in_prompt=index < 2, text=character)
        for index, (chance, character) in enumerate(
            zip(chances, [*text, *([""] if ended else [])], strict=False)
        )
    )
    likelihood = Likelihood(1, 25, 1, 20, 100.00123)
    return Sample(request, Poem(text), likelihood, ended=ended, tokens=tokens)


def formatter(
    output_format: OutputFormat = OutputFormat.text,
    script: Script = Script.simplified,
    **settings: Any,
) -> PoemFormatter:
    return PoemFormatter(output_format, script, "m", "0123456789abcdef", **settings)


JSONL = formatter(OutputFormat.jsonl)


def test_record_has_exactly_the_documented_keys() -> None:
    record = JSONL.record(sample(TEXT))
    assert record == {
        "index": 4,
        "prompt": "山云",
        "poem": TEXT,
        "lines": ["山云归去晚", "溪月照人来", "松下无来客", "花前独举杯"],
        "form": "五绝",
        "seed": 7,
        "temperature": 0.5,
        "nats_per_token": 4.0,
        "constraints": {},
        "warnings": ["a warning"],
        "model": "m",
        "model_hash": "0123456789abcdef",
    }
    assert list(record)[:3] == ["index", "prompt", "poem"]


@pytest.mark.parametrize(
    ("options", "constraints"),
    [
        ({"form": "wujue"}, {"form": "五绝"}),
        ({"form": "五绝", "soft": True}, {"form": "五绝", "soft": True}),
        ({"rhyme_group": "东"}, {"rhyme": True, "rhyme_group": "东"}),
        (
            {
                "form": "五绝",
                "tones": True,
                "acrostic": "春夏秋冬",
                "author": "李白",
                "title": "四时",
            },
            {
                "form": "五绝",
                "tones": True,
                "acrostic": "春夏秋冬",
                "title": "四时",
                "author": "李白",
            },
        ),
        (
            {"acrostic": "春夏", "acrostic_at": "end"},
            {"acrostic": "春夏", "acrostic_at": "end"},
        ),
        ({"top_k": 5, "best_of": 3, "particles": 2, "num": 4, "allow_copies": True}, {}),
    ],
    ids=["form", "soft", "rhyme", "all", "acrostic", "choice"],
)
def test_record_holds_the_constraints_by_option(
    options: dict[str, Any], constraints: dict[str, Any]
) -> None:
    found = JSONL.record(sample(TEXT, **options))["constraints"]
    assert found == constraints
    assert list(found) == list(constraints)


def test_record_of_a_poem_that_was_cut_off_says_so() -> None:
    record = JSONL.record(sample(TEXT, ended=False))
    assert record["warnings"] == ["a warning", "cut off after 25 characters without an end"]


def test_record_holds_every_warning() -> None:
    record = JSONL.record(sample(TEXT, warnings=("another",)))
    assert record["warnings"] == ["a warning", "another"]


def test_record_of_another_shape_has_no_form() -> None:
    assert JSONL.record(sample(OTHER))["form"] == "other"


def test_record_in_traditional_characters() -> None:
    record = formatter(OutputFormat.jsonl, Script.traditional).record(sample(OTHER))
    assert (record["poem"], record["lines"]) == ("雲歸山，月照人。", ["雲歸山", "月照人"])


@pytest.mark.parametrize("ended", [True, False])
def test_record_explained_has_all_probabilities(
    ended: bool,
) -> None:
    record = formatter(OutputFormat.jsonl, explain=True).record(sample(OTHER, ended=ended))
    whole = [0.5, 1.0, 0.001, 0.04, 0.5, 1.0, 0.001, 0.04, 0.5]
    assert record["probabilities"] == whole[: len(OTHER) + ended]


def test_formatter_prints_a_json_object_per_line() -> None:
    (line,) = JSONL.text(sample(TEXT)).splitlines()
    assert json.loads(line)["index"] == 4
    assert TEXT in line


def test_formatter_separates_poems_by_a_blank_line() -> None:
    laid_out = "山云归去晚，溪月照人来。\n松下无来客，花前独举杯。\n"
    assert formatter().text(sample(TEXT)) == laid_out
    assert formatter().text(sample("云归山")) == "云归山\n"
    assert (formatter().separator, JSONL.separator) == ("\n", "")


def test_formatter_prints_traditional_characters() -> None:
    shown = formatter(script=Script.traditional).text(sample(OTHER))
    assert shown == "雲歸山，月照人。\n"


def explained(text: str, *, ended: bool = True, **settings: Any) -> list[str]:
    """The lines below the poem."""
    shown = formatter(explain=True, **settings).text(sample(text, ended=ended))
    poem, _, table = shown.partition("\n\n")
    assert len(poem.splitlines()) == len(Poem(text).formatted().splitlines())
    return [line.rstrip() for line in table.splitlines()]


def cells(line: str, num: int) -> list[str]:
    """The first `num` cells of a row, five columns of the terminal each."""
    found, cell, width = [], "", 0
    for character in line:
        cell += character
        width += cell_len(character)
        assert width <= 5, f"{cell!r} does not fit its cell"
        if width == 5:
            found.append(cell.strip())
            cell, width = "", 0
    found.append(cell.strip())
    return (found + [""] * num)[:num]


def test_explanation_has_tones_and_probabilities() -> None:
    lines = explained(TEXT)
    assert cells(lines[0], 6) == [*"山云归去晚，"]
    assert cells(lines[1], 5) == [*"平平平仄仄"]
    assert cells(lines[2], 6) == ["50%", "100%", "<1%", "4%", "50%", "100%"]
    assert lines[3] == ""
    assert cells(lines[4], 6) == [*"溪月照人来。"]
    assert lines[0].split()[-1] == "阮"
    assert lines[16].startswith("五绝, order ")
    assert lines[-1] == "%: the model's own probability of each character; of the end 50%"


def test_explanation_of_a_cut_off_poem_lacks_the_end() -> None:
    assert explained(OTHER, ended=False)[-1] == "%: the model's own probability of each character"


@pytest.mark.parametrize("text", [TEXT, OTHER, "云", "，云。", "云归？！山", "山☃，云" * 2])
@pytest.mark.parametrize("script", list(Script))
def test_explanation_aligns_values_with_characters(text: str, script: Script) -> None:
    lines = explained(text, script=script)
    spans: list[list[str]] = []
    for row in range(0, len(lines), 4):
        if not lines[row] or "shape" in lines[row] or "order" in lines[row]:
            break
        characters, values = cells(lines[row], 9), cells(lines[row + 2], 9)
        num = sum(map(bool, values))
        assert all(value.endswith("%") for value in values[:num])
        spans.append(characters[:num])
    shown = "".join("".join(span) for span in spans)
    assert shown == (text if script is Script.simplified else to_traditional(text))


def test_explanation_is_red_where_the_pattern_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    old_style = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
    shown = formatter(explain=True).text(sample(old_style))
    assert shown.count("\x1b[1;31m") == 2  # 上 of line 2, 头 of line 3


def test_formatter_ignores_the_terminal_for_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = explained(TEXT, to_terminal=False)
    monkeypatch.setenv("COLUMNS", "20")
    assert explained(TEXT, to_terminal=False) == wide


def show(printer: StreamPrinter, text: str) -> None:
    for character in text:
        printer.add(character)
    printer.add("")


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize(
    ("text", "script", "shown"),
    [
        (TEXT, Script.simplified, "山云归去晚，溪月照人来。\n松下无来客，花前独举杯。\n"),
        (OTHER, Script.traditional, "雲歸山，月照人。\n"),
        ("云归？山", Script.simplified, "云归？\n山\n"),
        ("云归？山", Script.traditional, "雲歸？\n山\n"),
    ],
)
def test_stream_printer_prints_what_the_formatter_does(
    capsys: pytest.CaptureFixture[str], text: str, script: Script, shown: str, is_live: bool
) -> None:
    show(StreamPrinter(script, is_live=is_live), text)
    assert capsys.readouterr().out == shown
    assert formatter(script=script).text(sample(text)) == shown


def shown_so_far(text: str, script: Script, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The text that is printed with each character, and at the end."""
    seen = []
    printer = StreamPrinter(script, is_live=True)
    for character in text:
        printer.add(character)
        seen.append(capsys.readouterr().out)
    printer.add("")
    return [*seen, capsys.readouterr().out]


def test_stream_printer_shows_each_character_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_so_far("云归。", Script.simplified, capsys) == ["云", "归", "。\n", ""]


def test_stream_printer_converts_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_so_far("云归，山", Script.traditional, capsys) == ["", "", "雲歸，", "", "山\n"]


def test_stream_printer_prints_a_pipe_at_the_end_only(capsys: pytest.CaptureFixture[str]) -> None:
    printer = StreamPrinter(Script.simplified, is_live=False)
    for character in TEXT:
        printer.add(character)
    printer.restart()
    for character in OTHER:
        printer.add(character)
    assert capsys.readouterr().out == ""
    printer.add("")
    assert capsys.readouterr().out == "云归山，月照人。\n"


def on_screen(printed: str) -> list[str]:
    """The screen of a terminal that supports the two commands in use."""
    rows, row = [""], 0
    for piece in printed.replace("\x1b[", "\x1b").split("\x1b"):
        if piece[:1].isdigit():
            row -= int(piece[0])
            piece = piece[2:]
        if piece.startswith("J"):
            rows = [*rows[:row], ""]
            piece = piece[1:]
        for character in piece:
            if character == "\n":
                row += 1
                rows.append("")
            elif character != "\r":
                rows[row] += character
    return rows


@pytest.mark.parametrize("script", list(Script))
@pytest.mark.parametrize("until", range(len(TEXT)))
def test_stream_printer_erases_a_poem_that_restarts(
    capsys: pytest.CaptureFixture[str], script: Script, until: int
) -> None:
    printer = StreamPrinter(script, is_live=True)
    sys.stdout.write("before\n")
    for character in TEXT[:until]:
        printer.add(character)
    printer.restart()
    show(printer, OTHER)
    shown = on_screen(capsys.readouterr().out)
    assert shown[:2] == ["before", OTHER if script is Script.simplified else "雲歸山，月照人。"]
    assert set(shown[2:]) <= {""}
