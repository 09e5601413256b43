"""Jobs: the requests of a prompts file or of one call, and their poems in an output."""

import io
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any, cast

import pytest

from poetgen.batch.job import Chunk, Job, JobProgress, describe_job, raise_if_failed, run_job
from poetgen.batch.journal import StreamOutput, log_path, open_job_output
from poetgen.batch.prompts import line_digest, open_prompts
from poetgen.batch.record import Outcome
from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.engine.scoring import Likelihood
from poetgen.errors import ConstraintError, OutputError, PoetgenError, UsageError
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


def nothing(index: int, line: int) -> None:
    """Find nothing of an earlier run."""


def chunks_of(job: Job) -> list[Chunk]:
    return list(job.chunks(nothing))


def requests_of(job: Job) -> list[Request]:
    return [request for chunk in chunks_of(job) for request in chunk.requests]


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
    "，。": "has no characters, only marks",
    "hello": "the model's vocabulary has no character of the prompt hello",
    "[" * 5 + "\U0001f600": "the model's vocabulary has no character",
}


@pytest.mark.parametrize(("line", "why"), BAD_LINES.items(), ids=[b[:40] for b in BAD_LINES])
def test_job_reports_a_bad_line_and_continues(
    caplog: pytest.LogCaptureFixture, line: str, why: str
) -> None:
    (chunk,) = chunks_of(make_job(["床\n", line + "\n", "云\n"], num=2))
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
    (chunk,) = chunks_of(job)
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
        (Options(form="五绝"), 64),
        (Options(form="五绝", particles=4), 16),
        (Options(form="五绝", particles=16, best_of=3), 1),
        (Options(best_of=200), 1),
        (Options(batch_size=1), 1),
    ],
)
def test_job_chunk_is_one_batch(options: Options, num: int) -> None:
    chunks = chunks_of(Job(replace(options, num=200), prepare))
    assert [len(chunk.requests) for chunk in chunks[:-1]] == [num] * ((200 - 1) // num)


CHUNK_SIZE = Job(OPTIONS, prepare).chunk_size
LINES = ["床", "{", "", "云", "hello", "月"] * 150


@pytest.mark.parametrize("num", [1, 2, 7, 300])
def test_job_chunks_are_full(num: int) -> None:
    chunks = chunks_of(make_job(LINES, num=num))
    sizes = [len(chunk.requests) for chunk in chunks]
    assert sum(sizes) == 450 * num
    assert sizes[:-1] == [CHUNK_SIZE] * (len(chunks) - 1)
    assert sum(chunk.num_failed_lines for chunk in chunks) == 300


@pytest.mark.parametrize("num", [1, 2, 7, 300])
def test_job_resumed_has_the_remaining_chunks(num: int) -> None:
    chunks = chunks_of(make_job(LINES, num=num))
    for done in (1, 2, len(chunks) - 1):
        kept = {task.index for chunk in chunks[:done] for task in chunk.tasks}
        resumed = list(
            make_job(LINES, num=num).chunks(lambda i, line: Outcome(i, line) if i in kept else None)  # noqa: B023
        )
        requests = [chunk.requests for chunk in resumed if chunk.requests]
        assert requests == [chunk.requests for chunk in chunks[done:]]
        assert sum(len(chunk.tasks) for chunk in resumed) == 450 * num
        assert sum(chunk.num_failed_lines for chunk in resumed) == 300


def test_job_asks_for_a_poem_by_index_and_line() -> None:
    asked = []

    def find(index: int, line: int) -> None:
        asked.append((index, line))

    list(make_job(["床\n", "{", "", "云"], num=2).chunks(find))
    first, bad, blank, last = (line_digest(line.encode()) for line in ("床", "{", "", "云"))
    # A bad line and a blank one have no more than one poem to ask for.
    assert asked == [(0, first), (1, first), (2, bad), (4, blank), (6, last), (7, last)]


def test_job_makes_no_requests_of_lines_that_were_kept() -> None:
    def refuse(_: Options) -> Request:
        raise AssertionError

    (chunk,) = Job(OPTIONS, refuse, [b"x"] * 100).chunks(Outcome)
    assert [task.kept for task in chunk.tasks] == [
        Outcome(i, line_digest(b"x")) for i in range(100)
    ]
    assert chunk.requests == []


def test_job_holds_few_kept_poems_at_a_time() -> None:
    chunks = list(make_job(["床"], num=10_000).chunks(Outcome))
    assert max(len(chunk.tasks) for chunk in chunks) < 5000
    assert sum(len(chunk.tasks) for chunk in chunks) == 10_000


def test_job_without_prompts_requests_num_poems() -> None:
    job = Job(Options("床", num=700, batch_size=300), prepare)
    chunks = chunks_of(job)
    assert [len(chunk.requests) for chunk in chunks] == [300, 300, 100]
    assert [r.index for chunk in chunks for r in chunk.requests] == list(range(700))
    assert {r.prompt.text for chunk in chunks for r in chunk.requests} == {"床"}


def test_job_of_no_lines_has_no_chunks() -> None:
    assert chunks_of(make_job([])) == []


def test_job_warns_of_an_unknown_character(caplog: pytest.LogCaptureFixture) -> None:
    (chunk,) = chunks_of(make_job(["床鹤"]))
    (warning,) = chunk.requests[0].warnings
    assert "鹤 (U+9E64" in warning
    assert chunk.num_failed_lines == 0
    assert messages(caplog) == []  # a JSON line carries it
    chunks_of(replace(make_job(["床", "床鹤"], num=2), log_warnings=True))
    assert messages(caplog) == [f"line 2: {warning}"]


def test_job_reads_only_as_far_as_asked() -> None:
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in repeat("床\n"):
            taken += 1
            yield line

    (chunk,) = islice(make_job(lines(), num=2).chunks(nothing), 1)
    assert [r.index for r in chunk.requests] == list(range(CHUNK_SIZE))
    assert taken == CHUNK_SIZE / 2


def test_describe_job_covers_all_but_the_seed(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("床\n", encoding="utf-8")

    def describe(options: Options = OPTIONS, **settings: Any) -> dict[str, object]:
        return describe_job(prompts, "0123", options, **settings)

    first = describe()
    assert first["model"] == "0123"
    assert describe_job(None, "0123", OPTIONS) == first | {"prompts": None}
    assert json.loads(json.dumps(first)) == first
    assert describe(replace(OPTIONS, seed=7)) == first
    assert describe(replace(OPTIONS, batch_size=7)) == first
    assert describe(replace(OPTIONS, num=2)) != first
    assert describe(replace(OPTIONS, form="五绝")) != first
    assert describe(replace(OPTIONS, unique=True)) != first
    assert describe(format="text") == first | {"format": "text"}
    prompts.write_text("云\n", encoding="utf-8")
    assert describe()["prompts"] != first["prompts"]


TEXT = "山云归去晚，溪月照人来。松下无来客，花前独举杯。"
OTHER = "云归山，月照人。"
DEAD_END = ConstraintError("a dead end", "Drop a constraint.")


class FakeGenerator:
    """Gives the results of a function of the requests."""

    def __init__(self, results: Any) -> None:
        self.results = results

    def generate(
        self, requests: Iterable[Request], *, batch_size: int, scored: bool = True
    ) -> Iterator[Sample | Failure]:
        del batch_size, scored
        yield from self.results(requests)


def formatter(output_format: OutputFormat = OutputFormat.text) -> PoemFormatter:
    return PoemFormatter(output_format, Script.simplified, "m")


def sample(text: str, index: int = 0, *, ended: bool = True) -> Sample:
    request = Request(Options(), 7, index)
    return Sample(request, Poem(text), Likelihood(1, 25, 1, 20, 100.0), ended=ended)


def failure(index: int) -> Failure:
    return Failure(Request(Options(), 7, index), DEAD_END)


def write(
    results: Iterable[Sample | Failure],
    path: Path | None = None,
    *,
    num: int | None = None,
    overwrite: bool = False,
) -> JobProgress:
    """Run a job without prompts that has these results, `num` of them; return its progress."""
    if isinstance(results, list):
        num = len(results)
    assert num is not None
    options = Options(num=num, seed=7)
    job = Job(options, lambda options: Request(options, 7))
    generator = cast("Generator", FakeGenerator(lambda _: results))
    text = formatter()
    with open_job_output(
        None, path, options, lambda: {"num": num}, separator=text.separator, overwrite=overwrite
    ) as output:
        *_, progress = run_job(job, generator, output, text.text)
    raise_if_failed(job, progress, output)
    return progress


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

    write(samples(), num=2)
    assert seen[0] == ""
    assert seen[1].startswith("山云归去晚")


def test_run_job_writes_the_same_to_file_and_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "poems.txt"
    write([sample(TEXT), sample(OTHER)], path)
    assert capsys.readouterr().out == ""
    written = path.read_text(encoding="utf-8")
    write([sample(TEXT), sample(OTHER)])
    assert capsys.readouterr().out == written
    assert [file.name for file in tmp_path.iterdir()] == ["poems.txt"]


def test_run_job_keeps_the_old_output_until_its_end(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    path.write_text("old")

    def interrupted() -> Iterator[Sample]:
        yield sample(TEXT)
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(interrupted(), path, num=2, overwrite=True)
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
            write([failure(0)], output, overwrite=True)
        assert caught.value is DEAD_END
    assert capsys.readouterr().out == ""
    assert messages(caplog) == []  # the error itself is printed
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["poems.txt"]


def test_run_job_raises_the_error_if_all_poems_failed(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConstraintError):
        write([failure(0), failure(1)])
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
        lines = [b"{\n" if i % 50 == 1 else "云\n".encode() for i in range(num_lines)]
    run_lines(path, lines, results, Options(num=num, seed=seed), output_format)


def run_lines(
    path: Path | None,
    lines: list[bytes] | None,
    results: Any,
    options: Options,
    output_format: OutputFormat = OutputFormat.jsonl,
    **settings: Any,
) -> list[int]:
    """Run a job of these lines, with the results of a function; return the indices it generated."""
    text = formatter(output_format)
    prompts = None
    if lines is not None and path is not None:
        prompts = path.with_name("prompts")
        prompts.write_bytes(b"".join(lines))
    generated: list[int] = []

    def noting(requests: Iterable[Request]) -> Iterator[Sample | Failure]:
        for result in results(requests):
            generated.append(result.request.index)
            yield result

    def describe() -> dict[str, Any]:
        return describe_job(prompts, "0123", options)

    with open_job_output(
        prompts, path, options, describe, separator=text.separator, **settings
    ) as output:

        def request(options: Options) -> Request:
            return Request(options, output.seed, prompt=Prompt(options.prompt or ""))

        job = Job(replace(options, seed=None), request, lines)
        generator = cast("Generator", FakeGenerator(noting))
        *_, progress = run_job(job, generator, output, text.text)
    raise_if_failed(job, progress, output)
    return generated


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


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
    assert interrupted.value.why == uninterrupted.value.why
    assert "10 lines could not be used and 139 poems could not be generated" in str(
        interrupted.value
    )
    resuming, *rest = messages(caplog)
    assert resuming.startswith("resuming this job: 9")
    assert resuming.endswith(" of 1,000 poems are done")
    # All failures are reported again: the last message refers to them.
    assert sorted(rest) == sorted(reported)
    assert names(tmp_path) == ["prompts", "resumed", "resumed.job", "straight", "straight.job"]


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
    assert messages(caplog)[0].endswith(" of 1,000 poems are done")
    assert resumed.read_bytes() == straight.read_bytes()
    assert names(tmp_path) == ["resumed", "straight"]  # there is nothing to correct


def lines_of(*prompts: str) -> list[bytes]:
    return [f"{prompt}\n".encode() for prompt in prompts]


def all_succeed(requests: Iterable[Request]) -> Iterator[Sample]:
    for request in requests:
        poem = Poem(f"{request.prompt.text}{request.index}，{request.seed}。")
        yield Sample(request, poem, Likelihood(1, 9, 0, 8, 20.0), ended=True)


BAD = lines_of("床", "{", "", "云", "hello {", '{"top_k": -1}', "月")
BETTER = lines_of("床", "光", "", "云", "hello {", '{"top_k": 1}', "月")
GOOD = lines_of("前", "光", "明", "云", "hello {", '{"top_k": 1}', "月")


@pytest.mark.parametrize("output_format", list(OutputFormat))
@pytest.mark.parametrize("num", [1, 3, 100])
def test_run_job_corrected_generates_only_changed_lines(
    tmp_path: Path, num: int, output_format: OutputFormat
) -> None:
    path, options = tmp_path / "poems", Options(num=num)

    def indices(*lines: int) -> list[int]:
        return [line * num + j for line in lines for j in range(num)]

    with pytest.raises(PoetgenError, match="2 lines could not be used") as caught:
        run_lines(path, BAD, all_succeed, options, output_format)
    assert caught.value.fix == (
        f"Correct those lines and run it again: the other poems are kept in {log_path(path)}."
    )
    first = path.read_bytes()
    assert run_lines(path, BETTER, all_succeed, options, output_format) == indices(1, 5)
    assert names(tmp_path) == ["poems", "prompts"]
    seed = int(path.read_text(encoding="utf-8").partition("，")[2].partition("。")[0])
    fresh = tmp_path / "fresh"
    run_lines(fresh, BETTER, all_succeed, replace(options, seed=seed), output_format)
    assert fresh.read_bytes() == path.read_bytes() != first


def test_run_job_interrupted_takes_up_edited_prompts(tmp_path: Path) -> None:
    path = tmp_path / "poems"
    bad = [*BAD, *lines_of("光") * 200]
    good = [*GOOD, *lines_of("光") * 200]

    def interrupted(requests: Iterable[Request]) -> Iterator[Sample]:
        for sample in all_succeed(requests):
            if sample.request.index == 150:
                raise Interrupted
            yield sample

    with pytest.raises(Interrupted):
        run_lines(path, bad, interrupted, Options())
    seed = json.loads(log_path(path).read_bytes().splitlines()[0])["seed"]
    generated = run_lines(path, good, all_succeed, Options())
    assert generated[:4] == [0, 1, 2, 5]
    assert generated[4:] == [*range(generated[4], 207)]
    assert generated[4] > 100
    run_lines(tmp_path / "fresh", good, all_succeed, Options(seed=seed))
    assert (tmp_path / "fresh").read_bytes() == path.read_bytes()


def test_run_job_corrected_reports_what_still_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def results(requests: Iterable[Request]) -> Iterator[Sample | Failure]:
        for sample in all_succeed(requests):
            fails = sample.request.prompt.text == "云"
            yield Failure(sample.request, DEAD_END) if fails else sample

    path = tmp_path / "poems"
    for lines, is_bad in ((BAD, True), (BETTER, False)):
        with pytest.raises(PoetgenError, match="1 poem could not be generated"):
            run_lines(path, lines, results, Options(seed=1))
        found = messages(caplog)
        assert "line 4: a dead end" in found
        assert any(message.startswith("line 2: not JSON") for message in found) == is_bad
    assert len(path.read_text(encoding="utf-8").splitlines()) == 5


def test_run_job_drops_the_poems_of_removed_lines(tmp_path: Path) -> None:
    path = tmp_path / "poems"
    with pytest.raises(PoetgenError):
        run_lines(path, BAD, all_succeed, Options(seed=1))
    shorter = lines_of("床", "光", "", "")
    assert run_lines(path, shorter, all_succeed, Options(seed=1)) == [1]
    run_lines(tmp_path / "fresh", shorter, all_succeed, Options(seed=1))
    assert (tmp_path / "fresh").read_bytes() == path.read_bytes()


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
        run(path, stop_at=132)
    _, *poems = map(json.loads, log_path(path).read_text(encoding="utf-8").splitlines())
    assert len(poems) >= 2 * CHUNK_SIZE - 2
    assert poems[-1]["index"] < 132


def test_run_job_reports_failed_poems_by_line(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PoetgenError):
        run(None, num_lines=4)
    assert "line 4, poem 1: a dead end" in messages(caplog)


def refuse(_: Options) -> Request:
    raise ConstraintError("no", "Drop a constraint.")


@pytest.mark.parametrize(
    ("lines", "error", "why"),
    [
        ([b"{}", b"{}"], PoetgenError, "2 lines could not be used"),
        ([], UsageError, "no line asks for a poem"),
        ([b"\n", b"  \n"], UsageError, "no line asks for a poem"),
        ([b"\n"] * 1000, UsageError, "no line asks for a poem"),
    ],
    ids=["bad", "none", "blank", "many"],
)
@pytest.mark.parametrize("prompts", [None, Path("-")], ids=["journal", "stream"])
def test_run_job_of_no_poems_keeps_the_old_output(
    tmp_path: Path, prompts: Path | None, lines: list[bytes], error: type[PoetgenError], why: str
) -> None:
    path = tmp_path / "poems"
    path.write_text("old")
    job = Job(Options(), refuse, lines)
    generator = cast("Generator", FakeGenerator(numbered))
    with (
        pytest.raises(error, match=why) as caught,
        open_job_output(prompts, path, Options(), dict, overwrite=True) as output,
    ):
        list(run_job(job, generator, output, formatter().text))
    assert "kept" not in caught.value.fix
    assert ("{}" in caught.value.fix) == (error is UsageError)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["poems"]


def test_raise_if_failed_says_how_to_repeat_a_job_that_keeps_nothing() -> None:
    with pytest.raises(PoetgenError) as caught:
        run(None, num_lines=4, seed=5)
    assert caught.value.fix.startswith("Correct those lines and run it again with --seed 5: ")


@pytest.mark.parametrize(
    ("lines", "poems", "why"),
    [
        (1, 0, "1 line could not be used"),
        (2000, 0, "2,000 lines could not be used"),
        (0, 1, "1 poem could not be generated"),
        (1, 2, "1 line could not be used and 2 poems could not be generated"),
    ],
)
def test_raise_if_failed_counts_in_words(lines: int, poems: int, why: str) -> None:
    progress = JobProgress(num_poems=3, num_failed_lines=lines, num_failed_poems=poems)
    output = StreamOutput(io.StringIO(), 1)
    with pytest.raises(PoetgenError) as caught:
        raise_if_failed(make_job([]), progress, output)
    assert caught.value.why == f"{why} (see above); the others, if any, are done"
    raise_if_failed(make_job([]), JobProgress(num_poems=3), output)


# --- Unique poems ----------------------------------------------------------------------------------


def few(requests: Iterable[Request]) -> Iterator[Sample | Failure]:
    """Yield one of 300 poems for each request, by its random stream; 3% fail."""
    for request in requests:
        stream = request.random_stream()
        poem = Poem(f"{int(stream.random() * 300)}。")
        if stream.random() < 0.03:
            yield Failure(request, DEAD_END)
        else:
            yield Sample(request, poem, Likelihood(1, 9, 0, 8, 20.0), ended=True)


def poems_of(path: Path) -> list[str]:
    return [json.loads(line)["poem"] for line in path.read_text(encoding="utf-8").splitlines()]


UNIQUE = Options(seed=3, unique=True, num=150)


def run_unique(path: Path, options: Options = UNIQUE, **settings: Any) -> list[int]:
    lines = settings.pop("lines", None)
    results = settings.pop("results", few)
    try:
        return run_lines(path, lines, results, options, **settings)
    except PoetgenError as error:
        assert "poems could not be generated" in error.why  # noqa: PT017
        return []


def test_run_job_of_unique_poems_has_no_two_equal(tmp_path: Path) -> None:
    run_unique(tmp_path / "plain", replace(UNIQUE, unique=False))
    assert len(set(poems_of(tmp_path / "plain"))) < 130
    run_unique(tmp_path / "unique")
    found = poems_of(tmp_path / "unique")
    assert len(set(found)) == len(found) > 140
    records = (tmp_path / "plain").read_text(encoding="utf-8").splitlines()
    again = (tmp_path / "unique").read_text(encoding="utf-8").splitlines()
    # A poem that is new keeps its text.
    assert len({*records} & {*again}) >= len(set(poems_of(tmp_path / "plain"))) - 20


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_run_job_of_unique_poems_ignores_the_batch_size(tmp_path: Path, batch_size: int) -> None:
    run_unique(tmp_path / "whole", replace(UNIQUE, batch_size=1000))
    run_unique(tmp_path / "parts", replace(UNIQUE, batch_size=batch_size))
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("stop_at", [20, 64, 100, 149])
def test_run_job_of_unique_poems_resumes(tmp_path: Path, stop_at: int) -> None:
    def interrupted(requests: Iterable[Request]) -> Iterator[Sample | Failure]:
        for result in few(requests):
            if result.request.index == stop_at:
                raise Interrupted
            yield result

    options = replace(UNIQUE, batch_size=8)
    run_unique(tmp_path / "straight", options)
    with pytest.raises(Interrupted):
        run_unique(tmp_path / "resumed", options, results=interrupted)
    generated = run_unique(tmp_path / "resumed", options)
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "straight").read_bytes()
    assert len(set(generated)) < 150


def test_run_job_of_unique_poems_takes_up_edited_prompts(tmp_path: Path) -> None:
    bad = lines_of(*"床前明月光云") * 20 + lines_of("{")
    good = lines_of(*"云前明月光云") * 20 + lines_of("床")
    options = replace(UNIQUE, num=1)

    def by_prompt(requests: Iterable[Request]) -> Iterator[Sample | Failure]:
        for request in requests:
            (result,) = few([replace(request, seed=ord(request.prompt.text))])
            yield replace(result, request=request)

    with pytest.raises(PoetgenError):
        run_lines(tmp_path / "poems", bad, by_prompt, options)
    run_unique(tmp_path / "poems", options, lines=good, results=by_prompt)
    run_unique(tmp_path / "fresh", options, lines=good, results=by_prompt)
    assert (tmp_path / "poems").read_bytes() == (tmp_path / "fresh").read_bytes()
    assert len(set(poems_of(tmp_path / "fresh"))) == len(poems_of(tmp_path / "fresh"))


def test_run_job_counts_poems_that_cannot_be_unique(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def same(requests: Iterable[Request]) -> Iterator[Sample]:
        for request in requests:
            yield Sample(request, Poem("云。"), Likelihood(1, 9, 0, 8, 20.0), ended=True)

    with pytest.raises(PoetgenError, match="2 poems could not be generated"):
        run_lines(tmp_path / "poems", None, same, replace(UNIQUE, num=3))
    assert "poem 2: 32 attempts gave only poems that occur before" in messages(caplog)
    assert poems_of(tmp_path / "poems") == ["云。"]
