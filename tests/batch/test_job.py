"""Jobs: the requests of a prompts file or of one call, and their poems in an output."""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any, cast

import pytest

from poetgen.batch.job import Job, describe_job, raise_if_failed, run_job
from poetgen.batch.journal import JobProgress, open_output
from poetgen.batch.prompts import open_prompts
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.errors import ConstraintError, OutputError, PoetgenError, UsageError
from poetgen.model.scoring import Likelihood
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.prompt import NO_PROMPT, Prompt, prepare_prompt
from poetgen.sampling.request import Request, make_request
from poetgen.views.poem import OutputFormat, PoemFormatter, Script

VOCAB = Vocabulary(("<pad>", "<bos>", "<eos>", "<unk>", *"，。？！", *"床前明月光云"))
OPTIONS = Options(temperature=0.9, top_k=5)


@pytest.fixture(autouse=True)
def _log_infos(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="poetgen")


def prepare(options: Options) -> Request:
    return make_request(options, VOCAB, seed=42)


def make_job(lines: Iterable[str | bytes], **options: Any) -> Job:
    encoded = (line.encode() if isinstance(line, str) else line for line in lines)
    return Job(replace(OPTIONS, **options), prepare, encoded)


def requests_of(job: Job, start: int = 0) -> list[Request]:
    return [request for chunk in job.chunks(start) for request in chunk.requests]


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages since the last call."""
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_job_requests_a_poem_for_a_line_of_text() -> None:
    (request,) = requests_of(make_job(["  牀前 \n"]))
    options = OPTIONS.updated({"prompt": "牀前"})
    assert request == Request(options, 42, 0, prepare_prompt("床前", VOCAB))


def test_job_requests_a_poem_for_a_json_line() -> None:
    line = {"prompt": "云", "top_k": 3, "seed": 9, "form": "wujue", "acrostic": "云前明月"}
    (request,) = requests_of(make_job([json.dumps(line)]))
    assert request == prepare(OPTIONS.updated(line))
    assert request.seed == 9


@pytest.mark.parametrize("line", ["{}", '{"prompt": null}', '{"temperature": 0.9, "seed": null}'])
def test_job_without_a_prompt_requests_a_free_poem(line: str) -> None:
    (request,) = requests_of(make_job([line]))
    assert request == Request(OPTIONS, 42, 0, NO_PROMPT)


def test_job_index_counts_blank_lines() -> None:
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


def test_job_position_names_the_line() -> None:
    assert make_job([]).position(6) == "line 7"
    assert make_job([], num=3).position(7) == "line 3, poem 2"
    assert Job(OPTIONS, prepare).position(6) == "poem 7"


BAD_LINES = {
    '{"prompt": "床"': "not JSON",
    '{"promt": "床"}': "unknown key 'promt'. Did you mean prompt?",
    '{"temperature": -1}': "temperature is -1. Expected a number from 0 to 100.",
    '{"num": 2}': "num applies to the whole call. Set it on the command line.",
    '{"prompt": ""}': "the prompt is empty",
    "，。": "has no character in it",
    "hello": "the model's vocabulary has no character of the prompt hello",
    "[" * 5 + "\U0001f600": "the model's vocabulary has no character",
}


@pytest.mark.parametrize(("line", "why"), BAD_LINES.items(), ids=[b[:40] for b in BAD_LINES])
def test_job_reports_a_bad_line_and_continues(
    caplog: pytest.LogCaptureFixture, line: str, why: str
) -> None:
    (chunk,) = make_job(["床\n", line + "\n", "云\n"], num=2).chunks()
    found = [(r.prompt.text, r.index) for r in chunk.requests]
    assert found == [("床", 0), ("床", 1), ("云", 4), ("云", 5)]
    (message,) = messages(caplog)
    assert message.startswith("line 2: ")
    assert why in message
    assert "\n" not in message
    assert chunk.num_failed_lines == 1


def test_job_keeps_other_poems_if_a_line_changes() -> None:
    with_bad = requests_of(make_job(["床", "{", "云"], num=2))
    corrected = requests_of(make_job(["床", "月", "云"], num=2))
    assert [r for r in corrected if r.index not in (2, 3)] == with_bad


def test_job_counts_an_unsatisfiable_line_as_failed(caplog: pytest.LogCaptureFixture) -> None:
    def prepare_without_form(options: Options) -> Request:
        if options.form:
            raise ConstraintError("第2字 前 is level", "Change it.")
        return prepare(options)

    job = Job(Options(), prepare_without_form, [b"{}", b'{"form": "wujue"}'])
    (chunk,) = job.chunks()
    assert [r.index for r in chunk.requests] == [0]
    assert chunk.num_failed_lines == 1
    assert messages(caplog) == ["line 2: 第2字 前 is level. Change it."]


def test_job_numbers_lines_that_are_not_utf8(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("床前\n明月\n".encode() + "云".encode("gb18030") + "\n光\n".encode())
    with open_prompts(path) as lines:
        requests = requests_of(make_job(lines))
    assert [(r.index, r.prompt.text) for r in requests] == [(0, "床前"), (1, "明月"), (3, "光")]
    assert messages(caplog) == ["line 3: not UTF-8. Save the file as UTF-8."]


@pytest.mark.parametrize(
    ("options", "num"),
    [
        (Options(), 64),
        (Options(particles=16), 64),  # without a constraint one is enough
        (Options(form="五绝"), 16),
        (Options(form="五绝", particles=16, best_of=3), 1),
        (Options(best_of=200), 1),
        (Options(batch_size=1), 1),
    ],
)
def test_job_chunk_is_one_batch(options: Options, num: int) -> None:
    chunks = list(Job(replace(options, num=200), prepare).chunks())
    assert [len(chunk.requests) for chunk in chunks[:-1]] == [num] * ((200 - 1) // num)


CHUNK_SIZE = Job(OPTIONS, prepare).chunk_size
LINES = ["床", "{", "", "云", "hello", "月"] * 150


@pytest.mark.parametrize("num", [1, 2, 7, 300])
def test_job_chunks_end_at_fixed_indices(num: int) -> None:
    chunks = list(make_job(LINES, num=num).chunks())
    total = len(LINES) * num
    ends = [*range(CHUNK_SIZE, total, CHUNK_SIZE), total]
    assert [chunk.next_index for chunk in chunks] == ends
    for chunk, end in zip(chunks, ends, strict=True):
        assert all((end - 1) // CHUNK_SIZE == r.index // CHUNK_SIZE for r in chunk.requests)
    assert sum(chunk.num_failed_lines for chunk in chunks) == 300


@pytest.mark.parametrize("num", [1, 2, 7, 300])
def test_job_resumed_has_the_remaining_chunks(caplog: pytest.LogCaptureFixture, num: int) -> None:
    chunks = list(make_job(LINES, num=num).chunks())
    reported = messages(caplog)
    assert len(reported) == 300
    for done in (1, 2, len(chunks) - 1, len(chunks)):
        start = chunks[done - 1].next_index
        assert list(make_job(LINES, num=num).chunks(start)) == chunks[done:]
        num_failed_before = sum(chunk.num_failed_lines for chunk in chunks[:done])
        assert messages(caplog) == reported[num_failed_before:]


def test_job_without_prompts_requests_num_poems() -> None:
    job = Job(Options("床", num=700, batch_size=300), prepare)
    chunks = list(job.chunks())
    assert job.num_poems == 700
    assert [chunk.next_index for chunk in chunks] == [300, 600, 700]
    assert [r.index for chunk in chunks for r in chunk.requests] == list(range(700))
    assert {r.prompt.text for chunk in chunks for r in chunk.requests} == {"床"}
    assert list(job.chunks(300)) == chunks[1:]


def test_job_of_prompts_has_no_total() -> None:
    assert make_job(["床"], num=3).num_poems is None


def test_job_of_no_lines_has_no_chunks() -> None:
    assert list(make_job([]).chunks()) == []


def test_job_warns_of_an_unknown_character(caplog: pytest.LogCaptureFixture) -> None:
    (chunk,) = make_job(["床鹤"]).chunks()
    (warning,) = chunk.requests[0].warnings
    assert "鹤 (U+9E64" in warning
    assert chunk.num_failed_lines == 0
    assert messages(caplog) == []  # a JSON line carries it
    list(replace(make_job(["床", "床鹤"], num=2), log_warnings=True).chunks())
    assert messages(caplog) == [f"line 2: {warning}"]


def test_job_reads_only_as_far_as_asked() -> None:
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in repeat("床\n"):
            taken += 1
            yield line

    (chunk,) = islice(make_job(lines(), num=2).chunks(), 1)
    assert [r.index for r in chunk.requests] == list(range(CHUNK_SIZE))
    assert taken == CHUNK_SIZE / 2


def test_describe_job_covers_all_but_the_seed(tmp_path: Path) -> None:
    prompts, model = tmp_path / "prompts.txt", tmp_path / "model"
    prompts.write_text("床\n", encoding="utf-8")
    model.write_bytes(b"weights")

    def describe(options: Options = OPTIONS, **settings: Any) -> dict[str, object]:
        return describe_job(prompts, model, options, **settings)

    first = describe()
    assert describe_job(None, model, OPTIONS) == first | {"prompts": None}
    assert json.loads(json.dumps(first)) == first
    assert describe(replace(OPTIONS, seed=7)) == first
    assert describe(replace(OPTIONS, batch_size=7)) == first
    assert describe(replace(OPTIONS, num=2)) != first
    assert describe(replace(OPTIONS, form="五绝")) != first
    assert describe(format="text") == first | {"format": "text"}
    prompts.write_text("云\n", encoding="utf-8")
    assert describe()["prompts"] != first["prompts"]
    model.write_bytes(b"others")
    assert describe()["model"] != first["model"]


TEXT = "山云归去晚，溪月照人来。松下无来客，花前独举杯。"
OTHER = "云归山，月照人。"
DEAD_END = ConstraintError("a dead end", "Drop a constraint.")


class FakeGenerator:
    """Gives the results of a function of the requests."""

    def __init__(self, results: Any) -> None:
        self.results = results

    def generate(
        self, requests: Iterable[Request], *, batch_size: int
    ) -> Iterator[Sample | Failure]:
        del batch_size
        yield from self.results(requests)


def formatter(output_format: OutputFormat = OutputFormat.text) -> PoemFormatter:
    return PoemFormatter(output_format, Script.simplified, "m.safetensors")


def sample(text: str, index: int = 0, *, ended: bool = True) -> Sample:
    request = Request(Options(), 7, index)
    return Sample(request, Poem(text), Likelihood(1, 25, 1, 20, 100.0), ended=ended)


def failure(index: int) -> Failure:
    return Failure(Request(Options(), 7, index), DEAD_END)


def write(
    results: Iterable[Sample | Failure], path: Path | None = None, *, num: int = 9
) -> JobProgress:
    """Run a job without prompts that has these results; return its progress."""
    job = Job(Options(num=num), lambda options: Request(options, 7))
    generator = cast("Generator", FakeGenerator(lambda _: results))
    with open_output(path, 7, {"num": num}) as output:
        list(run_job(job, generator, output, formatter().text))
    raise_if_failed(job, output.progress)
    return output.progress


def test_run_job_separates_poems_by_a_blank_line(capsys: pytest.CaptureFixture[str]) -> None:
    write([sample(TEXT), sample(OTHER), sample("云归山")])
    assert capsys.readouterr() == (
        "山云归去晚，溪月照人来。\n松下无来客，花前独举杯。\n\n云归山，月照人。\n\n云归山\n",
        "",
    )


def test_run_job_writes_each_poem_before_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def samples() -> Iterator[Sample]:
        for text in (TEXT, OTHER):
            seen.append(capsys.readouterr().out)
            yield sample(text)

    write(samples())
    assert seen[0] == ""
    assert seen[1].startswith("山云归去晚")


def test_run_job_writes_the_same_to_file_and_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "poems.txt"
    write([sample(TEXT), sample(OTHER)], path)
    assert capsys.readouterr().out == ""
    written = path.read_text(encoding="utf-8")
    write([sample(TEXT), sample(OTHER)])
    assert capsys.readouterr().out == written
    assert [file.name for file in path.parent.iterdir()] == ["poems.txt"]


def test_run_job_keeps_the_old_output_until_its_end(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("old")

    def interrupted() -> Iterator[Sample]:
        yield sample(TEXT)
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(interrupted(), path)
    assert path.read_text() == "old"


def test_run_job_names_an_unwritable_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        write([sample(TEXT)], tmp_path / "file" / "poems.txt")
    assert str(tmp_path / "file" / "poems.txt") in caught.value.why


def test_run_job_counts_poems_that_were_cut_off() -> None:
    progress = write([sample(TEXT), sample("云", ended=False)])
    assert (progress.num_poems, progress.num_cut_off) == (2, 1)


def test_run_job_raises_the_error_of_the_only_poem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("old")
    for output in (None, path):
        with pytest.raises(ConstraintError) as caught:
            write([failure(0)], output, num=1)
        assert caught.value is DEAD_END
    assert capsys.readouterr().out == ""
    assert messages(caplog) == []  # the error itself is printed
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["poems.txt"]


def test_run_job_raises_the_error_if_all_poems_failed(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConstraintError):
        write([failure(0), failure(1)], num=2)
    assert capsys.readouterr().out == ""
    assert messages(caplog) == ["poem 1: a dead end", "poem 2: a dead end"]


def test_run_job_writes_the_others_if_a_poem_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.txt"
    with pytest.raises(PoetgenError, match="1 poem could not be generated") as caught:
        write([failure(0), sample(OTHER, 1), sample("云归", 2)], path)
    assert caught.value.exit_code == 1
    assert caught.value.fix == "Drop a constraint, or use another seed."
    assert path.read_text(encoding="utf-8") == "云归山，月照人。\n\n云归\n"
    assert messages(caplog) == ["poem 1: a dead end"]


class Interrupted(BaseException):
    """An interrupt, such as by Ctrl-C."""


def numbered(requests: Iterable[Request]) -> Iterator[Sample | Failure]:
    """Yield poems that name their index and seed; every seventh fails, every fifth is cut off."""
    for request in requests:
        if request.index % 7 == 6:
            yield Failure(request, DEAD_END)
        else:
            text = f"{request.prompt.text}{request.index}，{request.seed}。"
            likelihood = Likelihood(1, 9, 0, 8, 20.0)
            yield Sample(request, Poem(text), likelihood, ended=bool(request.index % 5))


def run(
    path: Path | None,
    *,
    output_format: OutputFormat = OutputFormat.jsonl,
    stop_at: int | None = None,
    seed: int | None = 3,
    num_lines: int | None = 500,
    num: int = 2,
) -> None:
    """Run a job of `numbered` poems, interrupted before poem `stop_at`."""

    def results(requests: Iterable[Request]) -> Iterator[Sample | Failure]:
        for result in numbered(requests):
            if result.request.index == stop_at:
                raise Interrupted
            yield result

    lines = None
    if num_lines is not None:
        lines = (b"{" if i % 50 == 1 else "云".encode() for i in range(num_lines))
    with open_output(path, seed, {"prompts": "x", "num": num}) as output:

        def request(options: Options) -> Request:
            return Request(options, output.progress.seed, prompt=Prompt(options.prompt or ""))

        job = Job(Options(num=num), request, lines)
        generator = cast("Generator", FakeGenerator(results))
        list(run_job(job, generator, output, formatter(output_format).text))
    raise_if_failed(job, output.progress)


@pytest.mark.parametrize("output_format", list(OutputFormat))
def test_run_job_resumed_is_the_uninterrupted_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, output_format: OutputFormat
) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    with pytest.raises(PoetgenError) as uninterrupted:
        run(straight, output_format=output_format)
    reported = messages(caplog)
    for stop_at in (0, 300, 301, 511, 512, 700, 940):
        with pytest.raises(Interrupted):
            run(resumed, output_format=output_format, stop_at=stop_at)
        assert not resumed.exists()
    messages(caplog)
    with pytest.raises(PoetgenError) as interrupted:
        run(resumed, output_format=output_format)
    assert resumed.read_bytes() == straight.read_bytes()
    assert str(interrupted.value) == str(uninterrupted.value)
    assert "10 lines could not be used and 139 poems could not be generated" in str(
        interrupted.value
    )
    resuming, *rest = messages(caplog)
    assert resuming == "resuming this job: 752 poems are done"
    assert rest == reported[-len(rest) :]
    (bad_line,) = [message for message in rest if "not JSON" in message]  # that of the last chunk
    assert bad_line.startswith("line 452: ")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["resumed", "straight"]


@pytest.mark.parametrize("output_format", list(OutputFormat))
def test_run_job_without_prompts_is_resumed_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, output_format: OutputFormat
) -> None:
    def run_many(path: Path, stop_at: int | None = None) -> None:
        run(path, output_format=output_format, stop_at=stop_at, num_lines=None, num=1000)

    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    with pytest.raises(PoetgenError, match=r"^142 poems could not be generated"):
        run_many(straight)
    for stop_at in (0, 300, 511, 512, 940):
        with pytest.raises(Interrupted):
            run_many(resumed, stop_at)
        assert not resumed.exists()
    messages(caplog)
    with pytest.raises(PoetgenError, match=r"^142 poems could not be generated"):
        run_many(resumed)
    first, second, *_ = messages(caplog)
    assert first == "resuming this job: 768 poems are done"
    assert second.startswith("poem 903: ")
    assert resumed.read_bytes() == straight.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["resumed", "straight"]


def test_run_job_resumes_with_its_seed(tmp_path: Path) -> None:
    path = tmp_path / "poems"
    with pytest.raises(Interrupted):
        run(path, stop_at=600, seed=None)
    with pytest.raises(PoetgenError):
        run(path, seed=None)
    texts = path.read_text(encoding="utf-8")
    assert len({json.loads(line)["seed"] for line in texts.splitlines()}) == 1


def test_run_job_keeps_whole_chunks_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "poems"
    with pytest.raises(Interrupted):
        run(path, stop_at=131)
    text = (tmp_path / "poems.job").read_text(encoding="utf-8")
    indices = [json.loads(line)["index"] for line in text.splitlines()]
    assert max(indices) >= 126
    record = json.loads((tmp_path / "poems.job.json").read_bytes())
    assert record["progress"]["next_index"] == 128


def test_run_job_reports_failed_poems_by_line(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PoetgenError):
        run(None, num_lines=4)
    assert "line 4, poem 1: a dead end" in messages(caplog)


@pytest.mark.parametrize("description", [None, {"x": 1}])
def test_run_job_of_bad_lines_keeps_the_old_output(
    tmp_path: Path, description: dict[str, int] | None
) -> None:
    path = tmp_path / "poems"
    path.write_text("old")

    def refuse(_: Options) -> Request:
        raise ConstraintError("no", "Drop a constraint.")

    job = Job(Options(), refuse, [b"{}", b"{}"])
    generator = cast("Generator", FakeGenerator(numbered))
    with (
        pytest.raises(PoetgenError, match="2 lines could not be used"),
        open_output(path, 1, description) as output,
    ):
        list(run_job(job, generator, output, formatter().text))
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["poems"]


@pytest.mark.parametrize("lines", [[], [b"\n", b"  \n"], [b"\n"] * 1000], ids=len)
@pytest.mark.parametrize("description", [None, {"x": 1}])
def test_run_job_of_no_prompts_keeps_the_old_output(
    tmp_path: Path, description: dict[str, int] | None, lines: list[bytes]
) -> None:
    path = tmp_path / "poems"
    path.write_text("old")
    job = Job(Options(), lambda options: Request(options, 1), lines)
    generator = cast("Generator", FakeGenerator(numbered))
    with (
        pytest.raises(UsageError, match="no line asks for a poem") as caught,
        open_output(path, 1, description) as output,
    ):
        list(run_job(job, generator, output, formatter().text))
    assert "{}" in caught.value.fix
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["poems"]


def test_raise_if_failed_says_how_to_repeat_the_job() -> None:
    with pytest.raises(PoetgenError) as caught:
        run(None, num_lines=4, seed=5)
    assert caught.value.fix.startswith("Correct those lines and run it again with --seed 5: ")
