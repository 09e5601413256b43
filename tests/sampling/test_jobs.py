"""Files of prompts: text and JSON lines, good and bad, one at a time."""

import io
import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice, repeat
from pathlib import Path

import pytest

from poetgen.data.vocab import Vocabulary
from poetgen.errors import PoetgenError
from poetgen.sampling.jobs import Job, open_lines
from poetgen.sampling.prompt import NO_PROMPT, prepare_prompt
from poetgen.sampling.request import Request, Settings

VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"床前明月光云"))
SETTINGS = Settings(temperature=0.9, top_k=5)


class Told(list[str]):
    def __call__(self, message: str) -> None:
        self.append(message)


def make_job(lines: Iterable[str | bytes], *, num: int = 1, told: Told | None = None) -> Job:
    prepare = partial(prepare_prompt, vocab=VOCAB)
    encoded = (line.encode() if isinstance(line, str) else line for line in lines)
    return Job(encoded, num, 42, SETTINGS, prepare, Told() if told is None else told)


def test_a_line_of_text_is_a_prompt_with_the_calls_settings() -> None:
    (request,) = make_job(["  牀前 \n"])
    assert request == Request(42, 0, prepare_prompt("床前", VOCAB), settings=SETTINGS)


def test_a_json_line_may_set_any_option() -> None:
    line = '{"prompt": "云", "temperature": 0, "top_k": 3, "top_p": 0.5, "min_p": 0.1, "seed": 9}'
    (request,) = make_job([line])
    assert request == Request(9, 0, prepare_prompt("云", VOCAB), settings=Settings(0, 3, 0.5, 0.1))


def test_a_json_line_changes_only_what_it_names() -> None:
    (request,) = make_job(['{"prompt": "云", "top_p": 0.5}'])
    assert request.settings == Settings(temperature=0.9, top_k=5, top_p=0.5)
    assert request.seed == 42


@pytest.mark.parametrize("line", ["{}", '{"prompt": null}', '{"temperature": 0.9}'])
def test_a_json_line_without_a_prompt_lets_the_model_begin(line: str) -> None:
    (request,) = make_job([line])
    assert request == Request(42, 0, NO_PROMPT, settings=SETTINGS)


def test_the_index_is_line_number_times_num_plus_j_blank_lines_counted() -> None:
    requests = list(make_job(["床\n", "\n", "云\n", "   \n", "月\n"], num=3))
    assert [(r.prompt.text, r.index) for r in requests] == [
        ("床", 0),
        ("床", 1),
        ("床", 2),
        ("云", 6),
        ("云", 7),
        ("云", 8),
        ("月", 12),
        ("月", 13),
        ("月", 14),
    ]


BAD_LINES = {
    '{"prompt": "床"': "not JSON",
    '{"prompt": "床"} x': "not JSON",
    '{"prompt": 5}': "prompt is 5, not a string",
    '{"prompt": ["床"]}': "not a string",
    '{"promt": "床"}': "unknown key 'promt' (known: prompt, temperature, top_k, top_p, min_p, seed)",
    '{"prompt": "床", "temperature": "warm"}': "temperature is 'warm', not a number",
    '{"prompt": "床", "temperature": true}': "temperature is True, not a number",
    '{"prompt": "床", "temperature": null}': "temperature is None, not a number",
    '{"prompt": "床", "temperature": -1}': "temperature is -1",
    '{"prompt": "床", "temperature": NaN}': "temperature is nan",
    '{"prompt": "床", "top_k": 2.5}': "top_k is 2.5, not a number",
    '{"prompt": "床", "top_p": 2}': "top-p is 2",
    '{"prompt": "床", "seed": "x"}': "seed is 'x', not a number",
    '{"prompt": ""}': "the prompt is empty",
    "，。": "has no character in it",
    "hello": "the model knows no character of the prompt hello",
    "[" * 5 + "\U0001f600": "the model knows no character",
    '{"a":' * 100_000: "not JSON",
    '{"seed": ' + "1" * 5000 + "}": "digits",
}


@pytest.mark.parametrize(("line", "why"), BAD_LINES.items(), ids=[b[:40] for b in BAD_LINES])
def test_a_bad_line_is_told_with_its_number_and_stops_nothing(line: str, why: str) -> None:
    told = Told()
    job = make_job(["床\n", line + "\n", "云\n"], num=2, told=told)
    assert [(r.prompt.text, r.index) for r in job] == [("床", 0), ("床", 1), ("云", 4), ("云", 5)]
    (message,) = told
    assert message.startswith("line 2: ")
    assert why in message
    assert "\n" not in message
    assert job.failed == 1


def test_mending_a_bad_line_changes_no_other_poem() -> None:
    broken = list(make_job(["床", "{", "云"], num=2))
    mended = list(make_job(["床", "月", "云"], num=2))
    assert [r for r in mended if r.index not in (2, 3)] == broken


def test_failed_lines_raise_at_the_end_with_their_number() -> None:
    job = make_job(["{", "床", "hello"])
    assert len(list(job)) == 1
    with pytest.raises(PoetgenError, match="2 lines could not be used") as caught:
        job.raise_if_lines_failed()
    assert caught.value.exit_code == 1
    assert caught.value.fix


def test_a_job_without_bad_lines_raises_nothing() -> None:
    job = make_job(["床", "", "云"])
    assert len(list(job)) == 2
    job.raise_if_lines_failed()


def test_an_unknown_character_is_no_failure_but_warned_about() -> None:
    job = make_job(["床鹤"])
    (request,) = job
    assert "鹤 (U+9E64" in request.prompt.warnings[0]
    assert job.failed == 0


def test_an_endless_file_is_read_only_as_far_as_asked() -> None:
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in repeat("床\n"):
            taken += 1
            yield line

    assert [r.index for r in islice(make_job(lines(), num=2), 5)] == [0, 1, 2, 3, 4]
    assert taken == 3


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeff床前\n{}\n".encode())
    (request,) = islice(make_job(open_lines(path)), 1)
    assert request.prompt.text == "床前"


def test_a_byte_order_mark_before_json_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"prompt": "云", "seed": 3}).encode() + b"\r\n")
    (request,) = make_job(open_lines(path))
    assert (request.prompt.text, request.seed) == ("云", 3)


def test_lines_that_are_not_utf8_are_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("床前\n明月\n".encode() + "云".encode("gb18030") + "\n光\n".encode())
    told = Told()
    job = make_job(open_lines(path), told=told)
    assert [(r.index, r.prompt.text) for r in job] == [(0, "床前"), (1, "明月"), (3, "光")]
    assert told == ["line 3: not UTF-8"]
    assert job.failed == 1


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(PoetgenError, match="cannot be read") as caught:
        open_lines(path)  # at once, not at the first line
    assert str(path) in caught.value.why
    assert caught.value.fix
    assert caught.value.exit_code == 1


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO("床\n云".encode()), encoding="ascii")
    monkeypatch.setattr("sys.stdin", stdin)
    assert list(open_lines(Path("-"))) == ["床\n".encode(), "云".encode()]


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    assert list(make_job(open_lines(path))) == []
