"""Files of prompts: text and JSON lines, good and bad, one at a time."""

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import pytest

from poetgen.data.conditions import Conditions
from poetgen.data.vocab import Vocabulary
from poetgen.errors import ConstraintError, PoetgenError
from poetgen.sampling.jobs import Job, describe_job, open_lines
from poetgen.sampling.options import Options
from poetgen.sampling.prompt import NO_PROMPT, prepare_prompt
from poetgen.sampling.request import Constraints, Request, Settings

VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"床前明月光云"))
OPTIONS = Options(temperature=0.9, top_k=5)
SETTINGS = Settings(temperature=0.9, top_k=5)


class Told(list[str]):
    def __call__(self, message: str) -> None:
        self.append(message)


def prepare(options: Options) -> Request:
    return options.request(VOCAB, seed=42)


def make_job(lines: Iterable[str | bytes], *, num: int = 1, told: Told | None = None) -> Job:
    encoded = (line.encode() if isinstance(line, str) else line for line in lines)
    return Job(encoded, num, OPTIONS, prepare, Told() if told is None else told)


def requests_of(job: Job, start: int = 0) -> list[Request]:
    return [request for chunk in job.chunks(start) for request in chunk.requests]


def requests_of_file(path: Path, told: Told | None = None) -> list[Request]:
    with open_lines(path) as lines:
        return requests_of(make_job(lines, told=told))


def test_a_line_of_text_is_a_prompt_with_the_calls_options() -> None:
    (request,) = requests_of(make_job(["  牀前 \n"]))
    assert request == Request(42, 0, prepare_prompt("床前", VOCAB), settings=SETTINGS)


def test_a_json_line_may_set_any_option() -> None:
    line: dict[str, Any] = {
        "prompt": "云",
        "temperature": 0.3,
        "top_k": 3,
        "top_p": 0.5,
        "min_p": 0.1,
        "seed": 9,
        "form": "wujue",
        "rhyme": True,
        "rhyme_group": "東",
        "tones": True,
        "acrostic": "云前明月",
        "acrostic_at": "start",
        "title": "月光",
        "author": "李白",
        "particles": 6,
        "best_of": 2,
        "allow_copies": True,
    }
    (request,) = requests_of(make_job([json.dumps(line)]))
    assert request == Options(**line).request(VOCAB, seed=42)
    assert request.seed == 9
    assert request.settings == Settings(0.3, 3, 0.5, 0.1, 6, 2, True)
    assert request.constraints == Constraints("五绝", True, "东", True, "云前明月")
    assert request.conditions == Conditions("五绝", "李白", "月光")


def test_a_json_line_changes_only_what_it_names() -> None:
    (request,) = requests_of(make_job(['{"prompt": "云", "top_p": 0.5}']))
    assert request.settings == Settings(temperature=0.9, top_k=5, top_p=0.5)
    assert request.seed == 42


@pytest.mark.parametrize("line", ["{}", '{"prompt": null}', '{"temperature": 0.9, "seed": null}'])
def test_a_json_line_without_a_prompt_lets_the_model_begin(line: str) -> None:
    (request,) = requests_of(make_job([line]))
    assert request == Request(42, 0, NO_PROMPT, settings=SETTINGS)


def test_the_index_is_line_number_times_num_plus_j_blank_lines_counted() -> None:
    requests = requests_of(make_job(["床\n", "\n", "云\n", "   \n", "月\n"], num=3))
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


def test_a_poems_place_is_told_by_its_line() -> None:
    assert make_job([]).place(6) == "line 7"
    assert make_job([], num=3).place(7) == "line 3, poem 2"


BAD_LINES = {
    '{"prompt": "床"': "not JSON",
    '{"prompt": "床"} x': "not JSON",
    '{"prompt": 5}': "prompt is 5, not a string",
    '{"prompt": ["床"]}': "not a string",
    '{"promt": "床"}': "unknown key 'promt'. Did you mean prompt?",
    '{"prompt": "床", "temperature": "warm"}': "temperature is 'warm', not a number",
    '{"prompt": "床", "temperature": true}': "temperature is True, not a number",
    '{"prompt": "床", "temperature": null}': "temperature is None, not a number",
    '{"prompt": "床", "temperature": -1}': "temperature is -1",
    '{"prompt": "床", "temperature": NaN}': "temperature is nan",
    '{"prompt": "床", "top_k": 2.5}': "top_k is 2.5, not a whole number",
    '{"prompt": "床", "top_p": 2}': "top-p is 2",
    '{"prompt": "床", "seed": "x"}': "seed is 'x', not a whole number",
    '{"form": "wujue", "tones": true, "soft": true}': "soft and tones contradict each other",
    '{"form": "wujue", "acrostic": "云月"}': "has 2 characters, but 五绝 has 4 lines",
    '{"rhyme_group": "中"}': "中 is no rhyme group",
    '{"num": 2}': "unknown key 'num'. Take one of prompt, temperature, top_k, top_p, min_p, seed, form",
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
    (chunk,) = job.chunks()
    found = [(r.prompt.text, r.index) for r in chunk.requests]
    assert found == [("床", 0), ("床", 1), ("云", 4), ("云", 5)]
    (message,) = told
    assert message.startswith("line 2: ")
    assert why in message
    assert "\n" not in message
    assert chunk.failed_lines == 1


def test_mending_a_bad_line_changes_no_other_poem() -> None:
    broken = requests_of(make_job(["床", "{", "云"], num=2))
    mended = requests_of(make_job(["床", "月", "云"], num=2))
    assert [r for r in mended if r.index not in (2, 3)] == broken


def test_a_line_whose_constraint_cannot_be_met_is_a_bad_line() -> None:
    def prepare_but_a_form(options: Options) -> Request:
        if options.form:
            raise ConstraintError("第2字 前 is level", "Change it.")
        return prepare(options)

    told = Told()
    job = Job([b"{}", b'{"form": "wujue"}'], 1, Options(), prepare_but_a_form, told)
    assert [r.index for r in requests_of(job)] == [0]
    assert told == ["line 2: 第2字 前 is level. Change it."]


@pytest.mark.parametrize(
    ("options", "batch_size", "num"),
    [
        (Options(), 64, 64),
        (Options(particles=16), 64, 64),  # without a constraint one is enough
        (Options(form="五绝"), 64, 16),
        (Options(form="五绝", particles=16, best_of=3), 64, 1),
        (Options(best_of=200), 64, 1),
        (Options(), 1, 1),
    ],
)
def test_a_chunk_is_what_fits_into_a_batch(options: Options, batch_size: int, num: int) -> None:
    job = Job(None, 200, options, prepare, Told(), batch_size=batch_size)
    chunks = list(job.chunks())
    assert [len(chunk.requests) for chunk in chunks[:-1]] == [num] * ((200 - 1) // num)


CHUNK_POEMS = Job([], 1, OPTIONS, prepare, Told()).chunk_poems
LINES = ["床", "{", "", "云", "hello", "月"] * 150


@pytest.mark.parametrize("num", [1, 2, 7, 300])
def test_chunks_end_at_fixed_indices_whatever_fails(num: int) -> None:
    chunks = list(make_job(LINES, num=num).chunks())
    whole = len(LINES) * num
    ends = [*range(CHUNK_POEMS, whole, CHUNK_POEMS), whole]
    assert [chunk.next_index for chunk in chunks] == ends
    for chunk, end in zip(chunks, ends, strict=True):
        assert all((end - 1) // CHUNK_POEMS == r.index // CHUNK_POEMS for r in chunk.requests)
    assert sum(chunk.failed_lines for chunk in chunks) == 300


@pytest.mark.parametrize("num", [1, 2, 7, 300])
def test_a_job_that_goes_on_has_the_chunks_that_were_left(num: int) -> None:
    told = Told()
    chunks = list(make_job(LINES, num=num, told=told).chunks())
    for done in (1, 2, len(chunks) - 1, len(chunks)):
        told_again = Told()
        start = chunks[done - 1].next_index
        assert list(make_job(LINES, num=num, told=told_again).chunks(start)) == chunks[done:]
        num_failed_before = sum(chunk.failed_lines for chunk in chunks[:done])
        assert told_again == told[num_failed_before:]


def test_without_a_file_of_prompts_the_options_alone_ask() -> None:
    job = Job(None, 700, Options(prompt="床"), prepare, Told(), batch_size=300)
    chunks = list(job.chunks())
    assert [chunk.next_index for chunk in chunks] == [300, 600, 700]
    assert [r.index for chunk in chunks for r in chunk.requests] == list(range(700))
    assert {r.prompt.text for chunk in chunks for r in chunk.requests} == {"床"}
    assert list(job.chunks(300)) == chunks[1:]
    assert job.place(6) == "poem 7"


def test_a_job_is_described_by_all_that_decides_its_poems_but_the_seed(tmp_path: Path) -> None:
    prompts, model = tmp_path / "prompts.txt", tmp_path / "model"
    prompts.write_text("床\n", encoding="utf-8")
    model.write_bytes(b"weights")

    def describe(options: Options = OPTIONS, num: int = 1) -> dict[str, object]:
        return describe_job(prompts, model, options, num=num)

    first = describe()
    assert describe_job(None, model, OPTIONS, num=1) == first | {"prompts": None}
    assert json.loads(json.dumps(first)) == first
    assert describe(replace(OPTIONS, seed=7)) == first
    assert describe(num=2) != first
    assert describe(replace(OPTIONS, form="五绝")) != first
    prompts.write_text("云\n", encoding="utf-8")
    assert describe()["prompts"] != first["prompts"]
    model.write_bytes(b"others")
    assert describe()["model"] != first["model"]


def test_an_unknown_character_is_no_failure_but_warned_about() -> None:
    (chunk,) = make_job(["床鹤"]).chunks()
    assert "鹤 (U+9E64" in chunk.requests[0].warnings[0]
    assert chunk.failed_lines == 0


def test_an_endless_file_is_read_only_as_far_as_asked() -> None:
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in repeat("床\n"):
            taken += 1
            yield line

    (chunk,) = islice(make_job(lines(), num=2).chunks(), 1)
    assert [r.index for r in chunk.requests] == list(range(CHUNK_POEMS))
    assert taken == CHUNK_POEMS / 2


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeff床前\n{}\n".encode())
    request, _ = requests_of_file(path)
    assert request.prompt.text == "床前"


def test_a_byte_order_mark_before_json_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"prompt": "云", "seed": 3}).encode() + b"\r\n")
    (request,) = requests_of_file(path)
    assert (request.prompt.text, request.seed) == ("云", 3)


def test_lines_that_are_not_utf8_are_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("床前\n明月\n".encode() + "云".encode("gb18030") + "\n光\n".encode())
    told = Told()
    requests = requests_of_file(path, told)
    assert [(r.index, r.prompt.text) for r in requests] == [(0, "床前"), (1, "明月"), (3, "光")]
    assert told == ["line 3: not UTF-8. Save the file as UTF-8."]


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(PoetgenError, match="cannot be read") as caught:
        requests_of_file(path)
    assert str(path) in caught.value.why
    assert caught.value.fix
    assert caught.value.exit_code == 1


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO("床\n云".encode()), encoding="ascii")
    monkeypatch.setattr("sys.stdin", stdin)
    with open_lines(Path("-")) as lines:
        assert list(lines) == ["床\n".encode(), "云".encode()]


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    with open_lines(path) as lines:
        assert list(make_job(lines).chunks()) == []
