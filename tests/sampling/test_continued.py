"""A job's output: broken off anywhere and gone on with, it is the file of a job left alone."""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from poetgen.errors import OutputError, UsageError
from poetgen.sampling import continued
from poetgen.sampling.continued import ContinuedFile, can_continue, check_apart, continued_file

JOB = {"prompts": "0123", "temperature": 0.8, "form": "五绝", "particles": None}
CHUNKS = ["春山\n", "夏云\n", "秋月\n", "冬雪\n"]
WHOLE = "".join(CHUNKS)


class Killed(BaseException):
    """Stands for a kill: nothing behind it runs."""


class Told(list[str]):
    def __call__(self, message: str) -> None:
        self.append(message)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def append(file: ContinuedFile, text: str) -> None:
    file.write(text)
    done = file.progress
    file.note(replace(done, next_index=done.next_index + 1, num_poems=done.num_poems + 1))


def run(path: Path, *, seed: int | None = 5, until: int = 4, told: Told | None = None) -> int:
    """The job, left by an exception before chunk `until`; returns its seed."""
    with continued_file(path, JOB, seed=seed, tell=told if told is not None else Told()) as file:
        for chunk in CHUNKS[file.progress.next_index : until]:
            append(file, chunk)
        if until < len(CHUNKS):
            raise Killed
        file.finish()
    return file.progress.seed


def begin(path: Path, until: int, **options: Any) -> None:
    with pytest.raises(Killed):
        run(path, until=until, **options)


def test_a_job_left_alone_leaves_its_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "poems.jsonl"
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE
    assert names(path.parent) == ["poems.jsonl"]


@pytest.mark.parametrize("until", range(4))
def test_a_job_broken_off_goes_on_without_a_repeat_or_a_gap(tmp_path: Path, until: int) -> None:
    path = tmp_path / "poems.jsonl"
    path.write_text("old", encoding="utf-8")
    begin(path, until)
    assert path.read_text(encoding="utf-8") == "old"
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE
    assert names(tmp_path) == ["poems.jsonl"]


def test_text_behind_the_noted_length_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    with (tmp_path / "poems.jsonl.job").open("a", encoding="utf-8") as file:
        file.write("秋")  # killed between a write and its note
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE


def test_it_is_told_where_a_job_broken_off_can_be_found(tmp_path: Path) -> None:
    path, told = tmp_path / "poems.jsonl", Told()
    begin(path, 2, told=told)
    text = tmp_path / "poems.jsonl.job"
    assert told == [f"what was finished is in {text}: the same command goes on from there"]
    assert text.read_text(encoding="utf-8") == "".join(CHUNKS[:2])


def test_a_job_broken_off_before_its_first_poem_leaves_nothing(tmp_path: Path) -> None:
    told = Told()
    begin(tmp_path / "poems.jsonl", 0, told=told)
    assert (names(tmp_path), told) == ([], [])


def test_a_seed_by_chance_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 1, seed=None)
    noted = json.loads((tmp_path / "poems.jsonl.job.json").read_bytes())["progress"]["seed"]
    assert run(path, seed=None) == noted


def test_the_seed_is_on_the_disk_before_the_first_poem(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    with continued_file(path, JOB, seed=None, tell=Told()) as file:
        noted = json.loads((tmp_path / "poems.jsonl.job.json").read_bytes())
        assert noted["progress"]["seed"] == file.progress.seed
        assert noted["job"] == JOB


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
def test_another_job_is_refused_and_harms_nothing(
    tmp_path: Path, job: dict[str, Any], seed: int | None, difference: str
) -> None:
    path = tmp_path / "poems.jsonl"
    begin(path, 2)
    with (
        pytest.raises(UsageError, match=difference) as caught,
        continued_file(path, job, seed=seed, tell=Told()),
    ):
        pass
    assert "delete" in caught.value.fix
    assert "--output" in caught.value.fix
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE


def test_a_finished_job_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    run(path)
    path.write_text("changed since", encoding="utf-8")
    begin(path, 2)
    assert path.read_text(encoding="utf-8") == "changed since"
    run(path)
    assert path.read_text(encoding="utf-8") == WHOLE


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"job": {}, "progress": {"x": 1}}'])
def test_a_note_that_is_none_is_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "poems.jsonl.job.json").write_bytes(damage)
    with pytest.raises(UsageError, match="no note of a job") as caught:
        run(tmp_path / "poems.jsonl")
    assert "Delete it" in caught.value.fix


def test_text_that_was_lost_is_made_again(tmp_path: Path) -> None:
    path, told = tmp_path / "poems.jsonl", Told()
    begin(path, 3)
    (tmp_path / "poems.jsonl.job").write_text("春", encoding="utf-8")
    run(path, told=told)
    assert path.read_text(encoding="utf-8") == WHOLE
    assert "begins anew" in told[0]


@pytest.mark.skipif(os.name != "posix", reason="no locks there")
def test_two_processes_do_not_write_one_job(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    with continued_file(path, JOB, seed=5, tell=Told()) as file:
        append(file, CHUNKS[0])
        with pytest.raises(UsageError, match="another process is writing"):
            run(path)
        for chunk in CHUNKS[1:]:
            append(file, chunk)
        file.finish()
    assert path.read_text(encoding="utf-8") == WHOLE


class KilledAt:
    """Lets so many calls of functions that touch the disk pass, then kills at the next, done or not."""

    def __init__(self, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = calls
        self.is_dead = False
        for owner, name in (
            (ContinuedFile, "write"),
            (os, "fsync"),
            (continued, "write_text"),
            (Path, "replace"),
            (Path, "unlink"),
        ):
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, function: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if self.left <= 0:
                self.is_dead = True  # for good: what is called on the way out does nothing either
                raise Killed
            self.left -= 1
            return function(*arguments, **keywords)

        return call


@pytest.mark.parametrize("calls", range(40))
def test_a_kill_at_any_call_undoes_nothing_and_repeats_nothing(
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
    """A named pipe; it stands for all that is no plain file."""
    path = tmp_path / "pipe"
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes there")
    os.mkfifo(path)
    return path


def test_what_is_no_plain_file_is_left_alone(tmp_path: Path, pipe: Path) -> None:
    (tmp_path / "link").symlink_to(pipe)
    for path in (pipe, tmp_path / "link"):
        with pytest.raises(OutputError, match="no plain file"):
            run(path)
    assert pipe.is_fifo()
    assert names(tmp_path) == ["link", "pipe"]


def test_a_job_can_go_on_between_plain_files_alone(tmp_path: Path, pipe: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.touch()
    assert can_continue(prompts, tmp_path / "new" / "poems.jsonl")
    assert can_continue(prompts, prompts)
    assert can_continue(None, prompts)
    assert not can_continue(None, pipe)
    assert not can_continue(prompts, pipe)
    assert not can_continue(pipe, tmp_path / "poems.jsonl")
    assert not can_continue(Path("-"), tmp_path / "poems.jsonl")


def test_a_folder_in_the_place_of_the_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "poems.jsonl").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        run(tmp_path / "poems.jsonl")
    assert names(tmp_path) == ["poems.jsonl"]


def test_a_file_in_the_place_of_the_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        run(tmp_path / "a" / "poems.jsonl")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "old"


def test_a_job_killed_before_its_first_poems_blocks_no_other(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    with suppress(Killed), continued_file(path, JOB, seed=5, tell=Told()):
        pass  # as by a kill: nothing was finished
    assert "poems.jsonl.job.json" in names(tmp_path)
    other = JOB | {"temperature": 0.5}
    with continued_file(path, other, seed=6, tell=Told()) as file:
        append(file, "春山\n")
        file.finish()
    assert names(tmp_path) == ["poems.jsonl"]


def test_poems_never_replace_their_own_prompts(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("床前\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(prompts)
    for output in (prompts, tmp_path / "link"):
        with pytest.raises(UsageError, match="would replace their own prompts"):
            check_apart(prompts, output)
    check_apart(prompts, tmp_path / "poems.jsonl")
    check_apart(Path("-"), prompts)


def test_a_name_too_long_for_a_file_is_an_error_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    assert can_continue(None, path)
    with pytest.raises(OutputError, match="cannot be written"):
        run(path)


def test_bytes_that_are_no_characters_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "poems.txt"
    with continued_file(path, JOB | {"prompt": "\udcff床"}, seed=5, tell=Told()) as file:
        append(file, "床\udcff\n")
        file.finish()
    assert path.read_text(encoding="utf-8") == "床\\udcff\n"
