"""The journal of a job: interrupted anywhere and resumed, it is the file of an uninterrupted job."""

import io
import json
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poetgen.batch import journal as journal_module
from poetgen.batch.journal import (
    Journal,
    StreamOutput,
    can_resume,
    check_absent,
    check_distinct,
    log_path,
    open_job_output,
    open_journal,
)
from poetgen.batch.prompts import line_digest, poem_keys
from poetgen.batch.record import Outcome, parse_record, record_text
from poetgen.errors import OutputError, PoetgenError, UsageError
from poetgen.sampling.options import Options
from tests.damage import damage

JOB = {"prompts": "0123", "temperature": 0.8, "form": "五绝", "particles": None}
POEMS = ["春山\n", "夏云\n", "秋月\n", "冬雪\n"]
WHOLE = "".join(POEMS)
LINES = [11, 12, 13, 14]
"""Digests of four lines of prompts."""


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
KEYS = ["index", "line", "text", "failure", "is_cut_off", "poem_hash", "version", "job", "seed"]
KEYS += ["output", "crc32"]
JSON_LINES = st.dictionaries(st.sampled_from(KEYS), JSON_VALUES).map(
    lambda values: json.dumps(values).encode() + b"\n"
)
"""Lines with the keys of a log and any values."""


class Killed(BaseException):
    """A kill: nothing after it runs."""


@pytest.fixture(autouse=True)
def _log_infos(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="poetgen")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def outcome(index: int, line: int, text: str) -> Outcome:
    """A poem, or a failure if the text is its reason in brackets."""
    if text.startswith("("):
        return Outcome(index, line, failure=text)
    return Outcome(index, line, text)


def run(
    path: Path,
    *,
    seed: int | None = 5,
    until: int | None = None,
    poems: Sequence[str] = POEMS,
    lines: Sequence[int] = LINES,
    job: dict[str, Any] = JOB,
    overwrite: bool = False,
    separator: str = "",
) -> list[int]:
    """Run the job, stopped by an exception before poem `until`; return what it generated."""
    generated = []
    keys = list(enumerate(lines))
    with open_journal(
        path, job, keys, seed=seed, separator=separator, overwrite=overwrite
    ) as journal:
        for index, line in keys[:until]:
            kept = journal.find(index, line)
            if kept is None:
                journal.write(outcome(index, line, poems[index]))
                generated.append(index)
            else:
                assert kept == outcome(index, line, poems[index])
                journal.keep(kept)
            journal.commit()
        if until is not None:
            raise Killed
        journal.finish(is_complete=not any(text.startswith("(") for text in poems))
    return generated


def begin(path: Path, until: int, **options: Any) -> None:
    with pytest.raises(Killed):
        run(path, until=until, **options)


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_path(path).read_bytes().splitlines()]


def logged_indices(path: Path) -> list[int]:
    return [values["index"] for values in logged(path) if "index" in values]


def test_journal_leaves_only_the_finished_file(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE
    assert names(tmp_path) == ["poems.jsonl"]


@pytest.mark.parametrize("until", range(4))
def test_journal_resumes_without_repeat_or_gap(tmp_path: Path, until: int) -> None:
    path = tmp_path / "poems.jsonl"
    path.write_text("old", encoding="utf-8")
    begin(path, until, overwrite=True)
    assert path.read_text(encoding="utf-8") == "old"
    assert run(path, overwrite=True) == [0, 1, 2, 3][until:]
    assert path.read_text(encoding="utf-8") == WHOLE
    assert names(tmp_path) == ["poems.jsonl"]


@pytest.mark.parametrize("torn", [b'{"index": 2, "line": 13, "te', b"\n", b"{}\n", b"\0\0\0\0\n"])
def test_journal_cuts_a_torn_line(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    with log_path(path).open("ab") as file:
        file.write(torn)
    begin(path, 3)
    assert logged_indices(path) == [0, 1, 2]
    assert run(path) == [3]
    assert path.read_text(encoding="utf-8") == WHOLE


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 50])
def test_journal_starts_over_from_a_torn_header(tmp_path: Path, length: int) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 1)
    log_path(path).write_bytes(log_path(path).read_bytes()[:length])
    assert run(path) == [0, 1, 2, 3]
    assert path.read_text(encoding="utf-8") == WHOLE


@pytest.mark.parametrize(
    "foreign",
    [
        b"x",
        b"poem\n",
        b"{}\n",
        b"[]\n",
        b'{"index": 0}\n',
    ],
)
def test_journal_refuses_a_foreign_file(tmp_path: Path, foreign: bytes) -> None:
    path = tmp_path / "poems.jsonl"
    log_path(path).write_bytes(foreign)
    with pytest.raises(UsageError, match="is not the log of a job") as caught:
        run(path)
    assert "Delete it" in caught.value.fix
    assert log_path(path).read_bytes() == foreign


def test_journal_without_poems_leaves_nothing(tmp_path: Path) -> None:
    begin(tmp_path / "poems.jsonl", 0)
    begin(tmp_path / "poems.jsonl", 1, poems=["(dead end)", *POEMS[1:]])
    assert names(tmp_path) == []


def test_journal_records_the_job_and_a_random_seed_first(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 1, seed=None)
    header, *others = logged(path)
    checksum = header.pop("crc32")
    assert header == {"version": 2, "job": JOB, "seed": header["seed"]}
    assert others[:2] == [header | {"crc32": checksum}] * 2
    with open_journal(path, JOB, enumerate(LINES), seed=None) as journal:
        assert journal.seed == header["seed"]


@pytest.mark.parametrize(
    ("job", "seed", "difference"),
    [
        ({**JOB, "temperature": 1.0}, 5, "temperature was 0.8, now 1.0"),
        ({**JOB, "form": "七绝"}, None, "form was 五绝, now 七绝"),
        (JOB, 6, "seed was 5, now 6"),
        ({**JOB, "prompts": "4567", "model": "a"}, 5, "model was None, now a"),
    ],
    ids=["temperature", "form", "seed", "model"],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_journal_refuses_another_job(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    job: dict[str, Any],
    seed: int | None,
    difference: str,
    overwrite: bool,
) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    with pytest.raises(UsageError, match=difference) as caught:
        run(path, job=job, seed=seed, overwrite=overwrite)
    assert "delete" in caught.value.fix
    assert "--output" in caught.value.fix
    assert caplog.messages == []
    assert run(path) == [2, 3]


def test_journal_refuses_prompts_without_a_line_in_common(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    with pytest.raises(UsageError, match="prompts was 0123, now 4567"):
        run(path, job={**JOB, "prompts": "4567"}, lines=[1, 2, 13, 14])
    assert run(path) == [2, 3]


def test_journal_generates_only_changed_lines(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 3)
    edited: dict[str, Any] = {"job": {**JOB, "prompts": "4567"}, "lines": [11, 99, 13, 14]}
    poems = ["春山\n", "夏雨\n", "秋月\n", "冬雪\n"]
    begin(path, 2, poems=poems, **edited)
    assert run(path, poems=poems, **edited) == [3]
    assert path.read_text(encoding="utf-8") == "".join(poems)
    assert names(tmp_path) == ["poems.jsonl"]


@pytest.mark.parametrize("lines", [[11, 12], [11, 12, 13, 14, 15]], ids=["fewer", "more"])
def test_journal_follows_the_number_of_lines(tmp_path: Path, lines: list[int]) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 3)
    poems = [*POEMS, "岁暮\n"][: len(lines)]
    assert run(path, lines=lines, poems=poems) == [*range(3, len(lines))]
    assert path.read_text(encoding="utf-8") == "".join(poems)


def test_journal_takes_the_last_poem_of_an_index(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 3)
    for lines, poems in (
        ([11, 99, 13, 14], ["春山\n", "夏雨\n", "秋月\n", "冬雪\n"]),
        (LINES, POEMS),
    ):
        begin(path, 3, lines=lines, poems=poems)
    assert run(path) == [3]
    assert path.read_text(encoding="utf-8") == WHOLE


FAILED = ["(dead end)", "夏云\n", "秋月\n", "(dead end)"]


def test_journal_keeps_the_log_of_an_incomplete_job(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    run(path, poems=FAILED, separator="\n")
    assert path.read_text(encoding="utf-8") == "夏云\n\n秋月\n"
    assert names(tmp_path) == ["poems.jsonl", "poems.jsonl.job"]
    assert run(path, poems=FAILED, separator="\n") == []
    corrected: dict[str, Any] = {
        "poems": POEMS,
        "lines": [91, 12, 13, 94],
        "seed": None,
        "separator": "\n",
    }
    begin(path, 1, **corrected)
    assert path.read_text(encoding="utf-8") == "夏云\n\n秋月\n"
    assert run(path, **corrected) == [3]
    assert path.read_text(encoding="utf-8") == "春山\n\n夏云\n\n秋月\n\n冬雪\n"
    assert names(tmp_path) == ["poems.jsonl"]


def test_journal_of_an_incomplete_job_yields_to_another(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    run(path, poems=FAILED)
    other = JOB | {"temperature": 0.5}
    with pytest.raises(UsageError, match="exists already"):
        run(path, job=other)
    assert run(path, job=other, overwrite=True) == [0, 1, 2, 3]
    assert names(tmp_path) == ["poems.jsonl"]
    run(path, poems=FAILED, overwrite=True)
    path.unlink()
    assert run(path, job=other) == [0, 1, 2, 3]


def test_journal_refuses_to_replace_a_file(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    run(path)
    with pytest.raises(UsageError, match=r"poems\.jsonl exists already") as caught:
        run(path)
    assert "--overwrite" in caught.value.fix
    assert "--output" in caught.value.fix
    assert path.read_text(encoding="utf-8") == WHOLE
    assert names(tmp_path) == ["poems.jsonl"]
    assert run(path, overwrite=True) == [0, 1, 2, 3]


def test_journal_does_not_replace_a_file_that_appeared(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="exists already"):
        run(path)
    assert path.read_text(encoding="utf-8") == "mine"
    path.unlink()
    assert run(path) == [2, 3]


def test_journal_does_not_replace_an_edited_output(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    run(path, poems=FAILED)
    path.write_text("edited", encoding="utf-8")
    with pytest.raises(UsageError, match="exists already"):
        run(path, lines=[91, 12, 13, 94])
    assert path.read_text(encoding="utf-8") == "edited"
    assert run(path, lines=[91, 12, 13, 94], overwrite=True) == [0, 3]


def test_check_absent_accepts_what_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for path in (tmp_path / "empty", tmp_path / "missing", tmp_path, tmp_path / ("x" * 300)):
        check_absent(path)
    (tmp_path / "empty").write_text("text", encoding="utf-8")
    with pytest.raises(UsageError, match="empty exists already"):
        check_absent(tmp_path / "empty")


@pytest.mark.skipif(os.name != "posix", reason="no locks there")
def test_journal_refuses_a_second_process(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    with open_journal(path, JOB, enumerate(LINES), seed=5) as journal:
        with pytest.raises(UsageError, match="another process is writing"):
            run(path)
        for index, line in enumerate(LINES):
            journal.write(outcome(index, line, POEMS[index]))
        journal.finish(is_complete=True)
    assert path.read_text(encoding="utf-8") == WHOLE


class KilledAt:
    """Lets `calls` calls of functions that touch the disk pass and kills at the next."""

    def __init__(self, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = calls
        self.is_dead = False
        for owner, name in (
            (Journal, "write"),
            (Journal, "_append"),
            (os, "fsync"),
            (journal_module, "file_digest"),
            (Path, "replace"),
            (Path, "unlink"),
        ):
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, function: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if self.left <= 0:
                self.is_dead = True  # for good: calls while unwinding do nothing either
                raise Killed
            self.left -= 1
            return function(*arguments, **keywords)

        return call


@pytest.mark.parametrize("calls", range(24))
def test_journal_survives_a_kill_at_any_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    path = tmp_path / "poems.jsonl"
    path.write_text("old", encoding="utf-8")
    with monkeypatch.context() as patched:
        killed = KilledAt(calls, patched)
        with suppress(Killed):
            run(path, overwrite=True)
        if not killed.is_dead:
            assert calls > 18
    written = path.read_text(encoding="utf-8")
    assert written in ("old", WHOLE)
    # The output is recognized even if the kill came right after it was moved to its place.
    run(path, overwrite=written == "old" or not log_path(path).exists())
    assert path.read_text(encoding="utf-8") == WHOLE
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["poems.jsonl"]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe, an example of what is not a regular file."""
    path = tmp_path / "pipe"
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes there")
    os.mkfifo(path)
    return path


def test_journal_leaves_a_pipe_alone(tmp_path: Path, pipe: Path) -> None:
    (tmp_path / "link").symlink_to(pipe)
    for path in (pipe, tmp_path / "link"):
        with pytest.raises(OutputError, match="not a regular file"):
            run(path)
    assert pipe.is_fifo()
    assert names(tmp_path) == ["link", "pipe"]


def test_can_resume_needs_regular_files(tmp_path: Path, pipe: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.touch()
    assert can_resume(prompts, tmp_path / "poems.jsonl")
    assert can_resume(prompts, prompts)
    assert can_resume(None, prompts)
    assert not can_resume(None, pipe)
    assert not can_resume(prompts, pipe)
    assert not can_resume(pipe, tmp_path / "poems.jsonl")
    assert not can_resume(Path("-"), tmp_path / "poems.jsonl")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("folder", "it is a folder"),
        ("file/poems.jsonl", "file is not a folder"),
        ("missing/poems.jsonl", "there is no folder"),
        ("x" * 300, "the name is too long"),
    ],
    ids=["folder", "below a file", "missing folder", "long name"],
)
def test_journal_says_why_it_cannot_be_written(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old", encoding="utf-8")
    assert can_resume(None, tmp_path / name)
    with pytest.raises(OutputError, match=f"cannot be written: .*{why}"):
        run(tmp_path / name)
    assert names(tmp_path) == ["file", "folder"]


def test_journal_without_poems_blocks_no_other_job(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 1)
    headers = log_path(path).read_bytes().splitlines(keepends=True)[:3]
    log_path(path).write_bytes(b"".join(headers))  # as by a kill before the first poem
    assert run(path, job=JOB | {"temperature": 0.5}, seed=6) == [0, 1, 2, 3]
    assert names(tmp_path) == ["poems.jsonl"]


def test_check_distinct_protects_the_prompts(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("床前\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(prompts)
    for output in (prompts, tmp_path / "link"):
        with pytest.raises(UsageError, match="would replace their own prompts"):
            check_distinct(prompts, output)
    check_distinct(prompts, tmp_path / "poems.jsonl")
    check_distinct(Path("-"), prompts)


def test_journal_escapes_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    texts = ["床\udcff\n", *POEMS[1:]]
    begin(path, 2, poems=texts, job=JOB | {"prompt": "\udcff床"})
    run(path, poems=texts, job=JOB | {"prompt": "\udcff床"})
    assert path.read_text(encoding="utf-8").startswith("床\\udcff\n夏云")


def test_journal_reports_how_far_the_job_had_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 3)
    run(path)
    assert caplog.messages == ["resuming this job: 3 of 4 poems are done"]


# --- Damage ----------------------------------------------------------------------------------------


def write_version_1(path: Path) -> None:
    """Rewrite a log in the layout of format version 1, as `poetgen` 0.1 wrote it."""
    header, _, _, *records = logged(path)
    lines = [header | {"version": 1}, *records]
    for values in lines:
        del values["crc32"]
    text = "".join(json.dumps(values, ensure_ascii=False) + "\n" for values in lines)
    log_path(path).write_text(text, encoding="utf-8")


def lines_of(path: Path) -> list[bytes]:
    return log_path(path).read_bytes().splitlines(keepends=True)


def test_damaged_record_costs_only_its_own_poem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 3)
    lines = lines_of(path)
    lines[4] = lines[4].replace("夏".encode(), "夐".encode())
    log_path(path).write_bytes(b"".join(lines))
    assert run(path) == [1, 3]
    assert path.read_text(encoding="utf-8") == WHOLE
    assert caplog.messages == [
        f"{log_path(path)}: 1 damaged or half-written line is left out "
        "(line 5: it does not match its checksum); its poem, if any, is generated again",
        "resuming this job: 2 of 4 poems are done",
    ]


def test_half_written_record_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    log_path(path).write_bytes(log_path(path).read_bytes()[:-9])
    assert run(path) == [1, 2, 3]
    assert "line 5: its end is missing" in caplog.messages[0]


@pytest.mark.parametrize("position", [3, 12, 30, -2, -1])
def test_damaged_description_has_copies(tmp_path: Path, position: int) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2, seed=None)
    lines = [bytearray(line) for line in lines_of(path)]
    lines[0][position] ^= 1
    log_path(path).write_bytes(b"".join(lines))
    assert run(path, seed=None) == [2, 3]


def test_log_without_a_description_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    damaged = b"".join(lines_of(path)).replace(b'"seed": 5', b'"seed": 4')
    log_path(path).write_bytes(damaged)
    with pytest.raises(PoetgenError, match="line 1: it does not match its checksum") as caught:
        run(path)
    assert "Restore it" in caught.value.fix
    assert log_path(path).read_bytes() == damaged
    log_path(path).write_bytes(b'{"version": 9, "job": {}, "seed": 1}\n')
    with pytest.raises(PoetgenError, match="line 1: its version is 9"):
        run(path)


def test_old_log_resumes_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    write_version_1(path)
    begin(path, 3)
    assert logged_indices(path) == [0, 1, 2]
    assert caplog.messages[0].startswith(f"{log_path(path)} is of an older poetgen and has no")
    assert run(path) == [3]
    assert path.read_text(encoding="utf-8") == WHOLE


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "change",
    [
        {"index": "0"},
        {"index": -1},
        {"index": True},
        {"index": 1 << 60},
        {"line": 1 << 64},
        {"line": None},
        {"text": 5},
        {"text": ""},
        {"failure": "dead end"},
        {"is_cut_off": 1},
        {"poem_hash": "x"},
        {"unheard_of": 1},
    ],
    ids=str,
)
def test_record_of_a_wrong_type_is_left_out(
    tmp_path: Path, version: int, change: dict[str, Any]
) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    if version == 1:
        write_version_1(path)
    *lines, last = lines_of(path)
    values = json.loads(last) | change
    values.pop("crc32", None)
    text = json.dumps(values)[:-1].encode()
    end = b'", "crc32": "%08x"}\n'[1:] % zlib.crc32(text) if version == 2 else b"}\n"
    log_path(path).write_bytes(b"".join([*lines, text + end]))
    assert run(path) == [1, 2, 3]
    assert path.read_text(encoding="utf-8") == WHOLE


def test_random_damage_changes_no_poem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits flipped, bytes overwritten, ends cut off: the job is refused or ends with the same poems."""
    monkeypatch.setattr(os, "fsync", bool)  # which is slow
    begin(tmp_path / "intact.jsonl", 3)
    intact, random = log_path(tmp_path / "intact.jsonl").read_bytes(), Random(1)
    num_kept = num_refused = 0
    for number in range(300):
        damaged = damage(intact, number, random)
        path = tmp_path / f"{number}.jsonl"
        log_path(path).write_bytes(damaged)
        try:
            num_kept += 4 - len(run(path))
        except PoetgenError:
            num_refused += 1
        else:
            assert path.read_text(encoding="utf-8") == WHOLE
    assert num_refused < 10
    assert num_kept > 2 * 300


@given(line=st.one_of(st.binary(max_size=60), JSON_LINES))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_parse_record_accepts_records_only(line: bytes) -> None:
    for is_old in (False, True):
        with suppress(ValueError):
            record = parse_record(line, is_old=is_old)
            assert parse_record(record_text(record)) == record


@given(
    index=st.integers(0, 1 << 47),
    line=st.integers(0, (1 << 64) - 1),
    text=st.text(min_size=1),
    is_cut_off=st.booleans(),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_record_is_read_as_it_was_written(
    index: int, line: int, text: str, is_cut_off: bool
) -> None:
    record = Outcome(index, line, text, is_cut_off=is_cut_off)
    written = record_text(record)
    assert (written.count(b"\n"), parse_record(written)) == (1, record)
    with pytest.raises(ValueError, match=r"checksum|JSON"):
        parse_record(written.replace(b'"line"', b'"lime"'))


# --- Outputs ---------------------------------------------------------------------------------------


@contextmanager
def opened(
    path: Path | None, prompts: Path | None = None, *, overwrite: bool = False
) -> Iterator[StreamOutput | Journal]:
    with open_job_output(
        prompts, path, Options(num=4, seed=5), lambda: JOB, overwrite=overwrite
    ) as output:
        yield output


def write_all(output: StreamOutput | Journal) -> None:
    for index, text in enumerate(POEMS):
        output.write(Outcome(index, line_digest(None), text))
    output.commit()
    output.finish(is_complete=True)


def test_open_job_output_of_a_file_is_a_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.jsonl"
    with suppress(Killed), opened(path) as output:
        assert isinstance(output, Journal)
        output.write(Outcome(0, line_digest(None), POEMS[0]))
        output.commit()
        raise Killed
    log = log_path(path)
    assert caplog.messages == [f"the finished poems are in {log}: rerun the command to resume"]
    with opened(path) as output:
        assert output.find(0, line_digest(None)) is not None
        write_all(output)
    assert path.read_text(encoding="utf-8") == WHOLE


def test_open_job_output_of_stdout_and_pipes_is_a_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (None, Path("/dev/stdout"), Path(os.devnull)):
        if path is None or path.exists():
            with opened(path) as output:
                assert isinstance(output, StreamOutput)
                assert (output.seed, output.log) == (5, None)
                write_all(output)
    assert capsys.readouterr().out == WHOLE
    assert names(tmp_path) == []


def test_open_job_output_of_prompts_read_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.jsonl"
    with opened(path, Path("-")) as output:
        assert isinstance(output, StreamOutput)
        write_all(output)
    assert path.read_text(encoding="utf-8") == WHOLE
    assert caplog.messages == [
        "prompts or output is not a regular file: this job cannot be resumed"
    ]
    with pytest.raises(UsageError, match="exists already"), opened(path, Path("-")):
        pass
    with opened(path, Path("-"), overwrite=True) as output:
        pass
    assert path.read_text(encoding="utf-8") == ""


def test_open_job_output_refuses_before_it_describes(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    path.write_text("old", encoding="utf-8")

    def describe() -> dict[str, Any]:
        raise AssertionError

    with (
        pytest.raises(UsageError, match="exists already"),
        open_job_output(None, path, Options(), describe),
    ):
        pass
    assert names(tmp_path) == ["poems.jsonl"]


def test_open_job_output_follows_a_link_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "poems.jsonl").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "poems.jsonl")
    with opened(tmp_path / "link", overwrite=True) as output:
        write_all(output)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "poems.jsonl").read_text(encoding="utf-8") == WHOLE
    assert names(tmp_path) == ["link", "poems.jsonl"]


def test_stream_output_separates_poems() -> None:
    stream = io.StringIO()
    output = StreamOutput(stream, 5, "\n")
    for text in ("(dead end)", "春山\n", "(dead end)", "夏云\n"):
        output.write(outcome(0, 0, text))
    assert stream.getvalue() == "春山\n\n夏云\n"


def test_poem_keys_number_the_poems_of_a_job(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_bytes("床前\n\n{}\r\n 床前".encode())
    first, third = line_digest("床前".encode()), line_digest(b"{}")
    keys = [(0, first), (1, first), (4, third), (5, third), (6, first), (7, first)]
    assert list(poem_keys(prompts, 2)) == keys
    assert list(poem_keys(None, 2)) == [(0, line_digest(None)), (1, line_digest(None))]
