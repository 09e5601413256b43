"""Prompts files: lines of text, lines of JSON, and lines that cannot be used."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from poetgen.batch.prompts import PER_CALL, open_prompts, parse_prompt_line
from poetgen.errors import PoetgenError, UsageError
from poetgen.sampling.options import Options, declared_options

DEFAULTS = Options(temperature=0.9, top_k=5, num=3, batch_size=8)
VALUES: dict[str, Any] = {
    "prompt": "云",
    "temperature": 0.3,
    "top_k": 3,
    "top_p": 0.5,
    "min_p": 0.1,
    "seed": 9,
    "allow_copies": True,
    "form": "wujue",
    "soft": False,
    "rhyme": True,
    "rhyme_group": "東",
    "tones": True,
    "any_reading": True,
    "acrostic": "云前明月",
    "acrostic_at": "end",
    "title": "月光",
    "author": "李白",
    "particles": 6,
    "best_of": 2,
}


def parse(line: str) -> Options | None:
    return parse_prompt_line(line.encode(), DEFAULTS)


def test_prompt_line_of_text_sets_the_prompt() -> None:
    assert parse("  牀前 \n") == DEFAULTS.updated({"prompt": "牀前"})


def test_json_line_sets_every_option_of_a_poem() -> None:
    assert {*VALUES, *PER_CALL} == {*declared_options()}
    options = parse(json.dumps(VALUES))
    assert options == Options(**VALUES, num=3, batch_size=8)
    assert (options.form, options.rhyme_group) == ("五绝", "东")


def test_json_line_changes_only_what_it_names() -> None:
    assert parse('{"prompt": "云", "top_p": 0.5}') == Options(
        "云", temperature=0.9, top_k=5, top_p=0.5, num=3, batch_size=8
    )


@pytest.mark.parametrize("line", ["{}", '{"prompt": null}', '{"temperature": 0.9, "seed": null}'])
def test_json_line_without_a_prompt_is_accepted(line: str) -> None:
    assert parse(line) == DEFAULTS


@pytest.mark.parametrize("line", ["", "\n", "   \r\n", "\t", "\u3000"])
def test_blank_prompt_line_requests_nothing(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize("key", PER_CALL)
def test_json_line_cannot_set_options_of_the_call(key: str) -> None:
    with pytest.raises(UsageError, match=f"{key} applies to the whole call"):
        parse(json.dumps({"prompt": "床", key: 2}))


BAD_LINES = {
    '{"prompt": "床"': "not JSON",
    '{"prompt": "床"} x': "not JSON",
    '{"prompt": 5}': "prompt is 5, not a string",
    '{"prompt": ["床"]}': "not a string",
    '{"promt": "床"}': "unknown key 'promt'",
    '{"xyz": 1}': "unknown key 'xyz'",
    '{"prompt": "床", "temperature": "warm"}': "temperature is 'warm', not a number",
    '{"prompt": "床", "temperature": true}': "temperature is True, not a number",
    '{"prompt": "床", "temperature": null}': "temperature is None, not a number",
    '{"prompt": "床", "temperature": -1}': "temperature is -1",
    '{"prompt": "床", "temperature": NaN}': "temperature is nan",
    '{"prompt": "床", "top_k": 2.5}': "top_k is 2.5, not a whole number",
    '{"prompt": "床", "top_p": 2}': "top_p is 2",
    '{"prompt": "床", "seed": "x"}': "seed is 'x', not a whole number",
    '{"form": "wujue", "tones": true, "soft": true}': "soft and tones contradict each other",
    '{"form": "wujue", "acrostic": "云月云月云"}': "has 5 characters, but 五绝 has 4 lines",
    '{"rhyme_group": "中"}': "中 is not a rhyme group",
    '{"a":' * 10_000: "not JSON: nested deeper than 32 levels",
    '{"seed": ' + "1" * 5000 + "}": "digits",
}


@pytest.mark.parametrize(("line", "why"), BAD_LINES.items(), ids=[b[:40] for b in BAD_LINES])
def test_bad_prompt_line_is_refused_in_one_line(line: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert why in caught.value.why
    assert caught.value.fix
    assert "\n" not in caught.value.why + caught.value.fix


def test_unknown_key_suggests_the_nearest_option() -> None:
    for line, fix in (
        ('{"promt": "床"}', "Did you mean prompt?"),
        ('{"xyz": 1}', f"Use one of {', '.join(VALUES)}."),
        ('{"nums": 2}', "Use one of prompt, "),  # num is not an option of a line
    ):
        with pytest.raises(UsageError) as caught:
            parse(line)
        assert caught.value.fix.startswith(fix)


def test_prompt_line_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        parse_prompt_line("云".encode("gb18030"), DEFAULTS)


def read(path: Path) -> list[Options | None]:
    with open_prompts(path) as lines:
        return [parse_prompt_line(line, DEFAULTS) for line in lines]


def test_byte_order_mark_is_not_part_of_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeff床前\n{}\n".encode())
    assert read(path) == [DEFAULTS.updated({"prompt": "床前"}), DEFAULTS]


def test_byte_order_mark_before_json_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"prompt": "云", "seed": 3}).encode() + b"\r\n")
    assert read(path) == [DEFAULTS.updated({"prompt": "云", "seed": 3})]


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_open_prompts_names_an_unreadable_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(PoetgenError, match="cannot be read") as caught:
        read(path)
    assert str(path) in caught.value.why
    assert caught.value.fix
    assert caught.value.exit_code == 1


def test_open_prompts_reads_a_dash_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO("床\n云".encode()), encoding="ascii")
    monkeypatch.setattr("sys.stdin", stdin)
    with open_prompts(Path("-")) as lines:
        assert list(lines) == ["床\n".encode(), "云".encode()]


def test_open_prompts_of_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    assert read(path) == []


@pytest.mark.parametrize("line", [b"[1,2]", '["春风"]'.encode()])
def test_parse_prompt_line_refuses_a_json_array(line: bytes) -> None:
    with pytest.raises(UsageError, match="not a JSON object"):
        parse_prompt_line(line, DEFAULTS)
