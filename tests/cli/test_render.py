"""Poems made fit to be seen."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from poetgen.cli.options import OutputFormat, Script
from poetgen.cli.render import LiveVerse, Page, as_record
from poetgen.data.conditions import Conditions
from poetgen.data.normalise import to_traditional
from poetgen.data.poem import Poem
from poetgen.model.likelihood import Likelihood
from poetgen.sampling.decode import Sample
from poetgen.sampling.prompt import Prompt
from poetgen.sampling.request import Constraints, Request, Settings
from poetgen.sampling.writing import Choice

TEXT = "山云归去晚，溪月照人来。松下无来客，花前独举杯。"
OTHER = "云归山，月照人。"


def sample(text: str, *, ended: bool = True, **asked: Any) -> Sample:
    request = Request(7, 4, Prompt("山云", ("a remark",)), settings=Settings(0.5), **asked)
    chances = [0.5, 1.0, 0.001, 0.04] * 7
    choices = tuple(
        Choice(0, 9, -math.log(chance), in_prompt=place < 2, text=character)
        for place, (chance, character) in enumerate(
            zip(chances, [*text, *([""] if ended else [])], strict=False)
        )
    )
    likelihood = Likelihood(1, 25, 1, 20, 100.00123)
    return Sample(request, Poem(text), likelihood, ended=ended, choices=choices)


def page(
    output_format: OutputFormat = OutputFormat.text,
    script: Script = Script.simplified,
    **how: Any,
) -> Page:
    return Page(output_format, script, "m.safetensors", **how)


JSONL = page(OutputFormat.jsonl)


def test_a_record_has_exactly_the_keys_of_the_contract() -> None:
    assert as_record(sample(TEXT), JSONL) == {
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


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"constraints": Constraints("五绝"), "conditions": Conditions("五绝")}, {"form": "五绝"}),
        ({"conditions": Conditions("五绝")}, {"form": "五绝", "soft": True}),
        (
            {"constraints": Constraints(rhyme=True, rhyme_group="东")},
            {"rhyme": True, "rhyme_group": "东"},
        ),
        (
            {
                "constraints": Constraints("五绝", tones=True, acrostic="春夏秋冬"),
                "conditions": Conditions("五绝", "李白", "四时"),
            },
            {
                "form": "五绝",
                "author": "李白",
                "title": "四时",
                "tones": True,
                "acrostic": "春夏秋冬",
            },
        ),
        (
            {"constraints": Constraints(acrostic="春夏", acrostic_at="end")},
            {"acrostic": "春夏", "acrostic_at": "end"},
        ),
    ],
    ids=["form", "soft", "rhyme", "all told", "acrostic"],
)
def test_a_record_holds_what_was_asked_by_the_names_of_the_options(
    asked: dict[str, Any], told: dict[str, Any]
) -> None:
    assert as_record(sample(TEXT, **asked), JSONL)["constraints"] == told


def test_a_poem_that_was_cut_off_says_so_in_its_record() -> None:
    record = as_record(sample(TEXT, ended=False), JSONL)
    assert record["warnings"] == ["a remark", "cut off after 25 characters without an end"]


def test_what_the_model_cannot_be_told_is_in_the_record() -> None:
    record = as_record(sample(TEXT, remarks=("another",)), JSONL)
    assert record["warnings"] == ["a remark", "another"]


def test_a_record_of_another_shape_has_no_form() -> None:
    assert as_record(sample(OTHER), JSONL)["form"] == "other"


def test_a_record_in_traditional_characters() -> None:
    record = as_record(sample(OTHER), page(OutputFormat.jsonl, Script.traditional))
    assert (record["poem"], record["lines"]) == ("雲歸山，月照人。", ["雲歸山", "月照人"])


@pytest.mark.parametrize("ended", [True, False])
def test_an_explained_record_has_a_probability_for_each_character_and_the_end(
    ended: bool,
) -> None:
    record = as_record(sample(OTHER, ended=ended), page(OutputFormat.jsonl, explain=True))
    whole = [0.5, 1.0, 0.001, 0.04, 0.5, 1.0, 0.001, 0.04, 0.5]
    assert record["probabilities"] == whole[: len(OTHER) + ended]


def test_json_lines_are_one_object_per_poem_in_plain_characters() -> None:
    (line,) = JSONL.text(sample(TEXT), is_first=False).splitlines()
    assert json.loads(line)["index"] == 4
    assert TEXT in line


def test_text_is_laid_out_with_a_blank_line_between_poems() -> None:
    laid_out = "山云归去晚，溪月照人来。\n松下无来客，花前独举杯。\n"
    assert page().text(sample(TEXT), is_first=True) == laid_out
    assert page().text(sample(TEXT), is_first=False) == "\n" + laid_out
    assert page().text(sample("云归山"), is_first=True) == "云归山\n"


def test_text_in_traditional_characters() -> None:
    shown = page(script=Script.traditional).text(sample(OTHER), is_first=True)
    assert shown == "雲歸山，月照人。\n"


def explained(text: str, *, ended: bool = True, **how: Any) -> list[str]:
    """What stands below the poem."""
    shown = page(explain=True, **how).text(sample(text, ended=ended), is_first=True)
    poem, _, table = shown.partition("\n\n")
    assert len(poem.splitlines()) == len(Poem(text).laid_out().splitlines())
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


def test_an_explained_poem_has_tones_and_probabilities_below_its_characters() -> None:
    lines = explained(TEXT)
    assert cells(lines[0], 6) == [*"山云归去晚，"]
    assert cells(lines[1], 5) == [*"平平平仄仄"]
    assert cells(lines[2], 6) == ["50%", "100%", "<1%", "4%", "50%", "100%"]
    assert lines[3] == ""
    assert cells(lines[4], 6) == [*"溪月照人来。"]
    assert lines[0].split()[-1] == "阮"
    assert lines[16].startswith("五绝, order ")
    assert lines[-1] == "%: the model's own probability of each character; of the end 50%"


def test_the_end_of_a_poem_that_was_cut_off_has_no_probability() -> None:
    assert explained(OTHER, ended=False)[-1] == "%: the model's own probability of each character"


@pytest.mark.parametrize("text", [TEXT, OTHER, "云", "，云。", "云归？！山", "山☃，云" * 2])
@pytest.mark.parametrize("script", list(Script))
def test_every_figure_stands_below_its_character(text: str, script: Script) -> None:
    lines = explained(text, script=script)
    spans: list[list[str]] = []
    for row in range(0, len(lines), 4):
        if not lines[row] or "shape" in lines[row] or "order" in lines[row]:
            break
        characters, figures = cells(lines[row], 9), cells(lines[row + 2], 9)
        num = sum(bool(figure) for figure in figures)
        assert all(figure.endswith("%") for figure in figures[:num])
        spans.append(characters[:num])
    shown = "".join("".join(span) for span in spans)
    assert shown == (text if script is Script.simplified else to_traditional(text))


def test_a_break_of_the_pattern_is_red_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    old_style = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
    shown = page(explain=True).text(sample(old_style), is_first=True)
    assert shown.count("\x1b[1;31m") == 2  # 上 of line 2, 头 of line 3


def test_the_width_of_the_terminal_is_no_concern_of_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wide = explained(TEXT, output=tmp_path / "x")
    monkeypatch.setenv("COLUMNS", "20")
    assert explained(TEXT, output=tmp_path / "x") == wide


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
    LiveVerse(script).show(iter(text))
    assert capsys.readouterr().out == shown
    assert page(script=script).text(sample(text), is_first=True) == shown


def shown_so_far(text: str, script: Script, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is printed between one character and the next."""
    seen = []

    def characters() -> Iterator[str]:
        for character in text:
            yield character
            seen.append(capsys.readouterr().out)

    LiveVerse(script).show(characters())
    return seen


def test_a_stream_shows_each_character_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_so_far("云归。", Script.simplified, capsys) == ["云", "归", "。\n"]


def test_traditional_characters_are_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_so_far("云归，山", Script.traditional, capsys) == ["", "", "雲歸，", ""]
    assert capsys.readouterr().out == "山\n"


def on_screen(printed: str) -> list[str]:
    """What a terminal shows that obeys the two commands that are used."""
    rows, place = [""], 0
    for piece in printed.replace("\x1b[", "\x1b").split("\x1b"):
        if piece[:1].isdigit():
            place -= int(piece[0])
            piece = piece[2:]
        if piece.startswith("J"):
            rows = [*rows[:place], ""]
            piece = piece[1:]
        for character in piece:
            if character == "\n":
                place += 1
                rows.append("")
            elif character != "\r":
                rows[place] += character
    return rows


@pytest.mark.parametrize("script", list(Script))
@pytest.mark.parametrize("until", range(len(TEXT)))
def test_a_poem_begun_anew_is_wiped_off_the_terminal(
    capsys: pytest.CaptureFixture[str], script: Script, until: int
) -> None:
    live = LiveVerse(script)

    def characters() -> Iterator[str]:
        yield from TEXT[:until]
        live.take_back()
        yield from OTHER

    sys.stdout.write("before\n")
    live.show(characters())
    shown = on_screen(capsys.readouterr().out)
    assert shown[:2] == ["before", OTHER if script is Script.simplified else "雲歸山，月照人。"]
    assert set(shown[2:]) <= {""}
