"""The journal of a job: interrupted anywhere and resumed, it is the file of an uninterrupted job."""

import json
import logging
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from poetgen.batch import journal as journal_module
from poetgen.batch.journal import (
    JobProgress,
    Journal,
    StreamOutput,
    can_resume,
    check_distinct,
    open_journal,
    open_output,
)
from poetgen.errors import OutputError, UsageError

JOB = {"prompts": "0123", "temperature": 0.8, "form": "五绝", "particles": None}
CHUNKS = ["春山\n", "夏云\n", "秋月\n", "冬雪\n"]
WHOLE = "".join(CHUNKS)


class Killed(BaseException):
    """A kill: nothing after it runs."""


@pytest.fixture(autouse=True)
def _log_infos(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="poetgen")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def append(file: Journal, text: str) -> None:
    file.write(text)
    done = file.progress
    file.commit(replace(done, next_index=done.next_index + 1, num_poems=done.num_poems + 1))


def run(path: Path, *, seed: int | None = 5, until: int = 4) -> int:
    """Run the job, stopped by an exception before chunk `until`; return its seed."""
    with open_journal(path, JOB, seed=seed) as file:
        for chunk in CHUNKS[file.progress.next_index : until]:
            append(file, chunk)
        if until < len(CHUNKS):
            raise Killed
        file.finish()
    return file.progress.seed


def begin(path: Path, until: int, **options: Any) -> None:
    with pytest.raises(Killed):
        run(path, until=until, **options)


def test_journal_leaves_only_the_finished_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "poems.jsonl"
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE
    assert names(path.parent) == ["poems.jsonl"]


@pytest.mark.parametrize("until", range(4))
def test_journal_resumes_without_repeat_or_gap(tmp_path: Path, until: int) -> None:
    path = tmp_path / "poems.jsonl"
    path.write_text("old", encoding="utf-8")
    begin(path, until)
    assert path.read_text(encoding="utf-8") == "old"
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE
    assert names(tmp_path) == ["poems.jsonl"]


def test_journal_cuts_text_beyond_the_record(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    with (tmp_path / "poems.jsonl.job").open("a", encoding="utf-8") as file:
        file.write("秋")  # killed between a write and its commit
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE


def test_journal_names_the_text_of_an_interrupted_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    text = tmp_path / "poems.jsonl.job"
    assert caplog.messages == [f"what was finished is in {text}: rerun the same command to resume"]
    assert text.read_text(encoding="utf-8") == "".join(CHUNKS[:2])


def test_journal_without_poems_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin(tmp_path / "poems.jsonl", 0)
    assert (names(tmp_path), caplog.messages) == ([], [])


def test_journal_keeps_a_random_seed(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 1, seed=None)
    recorded = json.loads((tmp_path / "poems.jsonl.job.json").read_bytes())["progress"]["seed"]
    assert run(path, seed=None) == recorded


def test_journal_records_the_seed_first(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    with open_journal(path, JOB, seed=None) as file:
        recorded = json.loads((tmp_path / "poems.jsonl.job.json").read_bytes())
        assert recorded["progress"]["seed"] == file.progress.seed
        assert recorded["job"] == JOB


@pytest.mark.parametrize(
    ("job", "seed", "difference"),
    [
        ({**JOB, "temperature": 1.0}, 5, "temperature was 0.8, now 1.0"),
        ({**JOB, "form": "七绝"}, None, "form was 五绝, now 七绝"),
        (JOB, 6, "seed was 5, now 6"),
        ({**JOB, "prompts": "4567"}, 5, "prompts was 0123, now 4567"),
    ],
    ids=["temperature", "form", "seed", "prompts"],
)
def test_journal_refuses_another_job(
    tmp_path: Path, job: dict[str, Any], seed: int | None, difference: str
) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    with (
        pytest.raises(UsageError, match=difference) as caught,
        open_journal(path, job, seed=seed),
    ):
        pass
    assert "delete" in caught.value.fix
    assert "--output" in caught.value.fix
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE


def test_journal_repeats_a_finished_job(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    run(path)
    path.write_text("changed since", encoding="utf-8")
    begin(path, 2)
    assert path.read_text(encoding="utf-8") == "changed since"
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"job": {}, "progress": {"x": 1}}'])
def test_journal_refuses_a_damaged_record(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "poems.jsonl.job.json").write_bytes(damage)
    with pytest.raises(UsageError, match="not a record of a job") as caught:
        run(tmp_path / "poems.jsonl")
    assert "Delete it" in caught.value.fix


def test_journal_starts_over_if_text_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 3)
    caplog.clear()
    (tmp_path / "poems.jsonl.job").write_text("春", encoding="utf-8")
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE
    assert "is shorter than recorded: the job starts over" in caplog.messages[0]


@pytest.mark.skipif(os.name != "posix", reason="no locks there")
def test_journal_refuses_a_second_process(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    with open_journal(path, JOB, seed=5) as file:
        append(file, CHUNKS[0])
        with pytest.raises(UsageError, match="another process is writing"):
            run(path)
        for chunk in CHUNKS[1:]:
            append(file, chunk)
        file.finish()
    assert path.read_text(encoding="utf-8") == WHOLE


class KilledAt:
    """Lets `calls` calls of functions that touch the disk pass and kills at the next."""

    def __init__(self, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = calls
        self.is_dead = False
        for owner, name in (
            (Journal, "write"),
            (os, "fsync"),
            (journal_module, "write_text"),
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


@pytest.mark.parametrize("calls", range(40))
def test_journal_survives_a_kill_at_any_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    path = tmp_path / "poems.jsonl"
    path.write_text("old", encoding="utf-8")
    with monkeypatch.context() as patched:
        killed = KilledAt(calls, patched)
        with suppress(Killed):
            run(path)
        if not killed.is_dead:
            assert calls > 20
    assert path.read_text(encoding="utf-8") in ("old", WHOLE)
    run(path)
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
    assert can_resume(prompts, tmp_path / "new" / "poems.jsonl")
    assert can_resume(prompts, prompts)
    assert can_resume(None, prompts)
    assert not can_resume(None, pipe)
    assert not can_resume(prompts, pipe)
    assert not can_resume(pipe, tmp_path / "poems.jsonl")
    assert not can_resume(Path("-"), tmp_path / "poems.jsonl")


def test_journal_refuses_a_folder(tmp_path: Path) -> None:
    (tmp_path / "poems.jsonl").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        run(tmp_path / "poems.jsonl")
    assert names(tmp_path) == ["poems.jsonl"]


def test_journal_refuses_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        run(tmp_path / "a" / "poems.jsonl")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "old"


def test_journal_without_poems_blocks_no_other_job(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    with suppress(Killed), open_journal(path, JOB, seed=5):
        pass  # as by a kill: nothing was finished
    assert "poems.jsonl.job.json" in names(tmp_path)
    other = JOB | {"temperature": 0.5}
    with open_journal(path, other, seed=6) as file:
        append(file, "春山\n")
        file.finish()
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


def test_journal_refuses_a_name_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    assert can_resume(None, path)
    with pytest.raises(OutputError, match="cannot be written"):
        run(path)


def test_journal_escapes_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    with open_journal(path, JOB | {"prompt": "\udcff床"}, seed=5) as file:
        append(file, "床\udcff\n")
        file.finish()
    assert path.read_text(encoding="utf-8") == "床\\udcff\n"


def test_journal_reports_how_far_the_job_had_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 3)
    caplog.clear()
    run(path)
    assert caplog.messages == ["resuming this job: 3 poems are done"]


def test_journal_follows_a_link_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "poems.jsonl").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "poems.jsonl")
    run(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "poems.jsonl").read_text(encoding="utf-8") == WHOLE


def test_open_output_without_a_job_is_not_resumable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "poems.jsonl"
    for target in (None, path):
        with open_output(target, 5) as output:
            assert isinstance(output, StreamOutput)
            assert output.progress == JobProgress(5)
            output.write(WHOLE)
            output.commit(JobProgress(5, next_index=4, num_poems=4))
            output.finish()
        assert output.progress.num_poems == 4
    assert capsys.readouterr().out == path.read_text(encoding="utf-8") == WHOLE
    assert names(tmp_path) == ["poems.jsonl"]


def test_open_output_of_a_job_is_a_journal(tmp_path: Path) -> None:
    with suppress(Killed), open_output(tmp_path / "poems.jsonl", 5, JOB) as output:
        assert isinstance(output, Journal)
        append(output, CHUNKS[0])
        raise Killed
    with open_output(tmp_path / "poems.jsonl", None, JOB) as output:
        assert output.progress.num_poems == 1
        assert output.progress.seed == 5
