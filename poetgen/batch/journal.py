"""A job's output that survives a kill.

Next to `poems.jsonl` the text grows in `poems.jsonl.job`, and `poems.jsonl.job.json` records which job
it is and how much of the text is complete.  Text reaches the disk before it is recorded, and the record
is replaced atomically: a kill at any instant leaves at most some text beyond the recorded length, which
is cut off when the job is resumed.  The complete file is moved to `poems.jsonl` atomically; until then
the old one remains.
"""

import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO

from poetgen.errors import UsageError
from poetgen.files import atomic_writer, lock, write_error, write_text
from poetgen.sampling.request import new_seed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come."""

    seed: int
    next_index: int = 0
    """Index of the first poem that has not been generated."""
    num_poems: int = 0
    num_cut_off: int = 0
    """Poems that were cut off without an end."""
    num_failed_lines: int = 0
    num_failed_poems: int = 0
    num_bytes: int = 0
    """Length of the text so far."""
    is_finished: bool = False


class StreamOutput:
    """An output that keeps nothing beyond this process."""

    def __init__(self, stream: IO[str], seed: int) -> None:
        self.progress = JobProgress(seed)
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text)

    def commit(self, progress: JobProgress) -> None:
        self._stream.flush()
        self.progress = progress

    def finish(self) -> None:
        """Do nothing: the text is already in the stream."""


class Journal:
    """The text of a job and the record next to it.  Made by `open_journal`."""

    def __init__(
        self, path: Path, job: Mapping[str, Any], progress: JobProgress, stream: BinaryIO
    ) -> None:
        self.path = path
        self.progress = progress
        self._job = job
        self._stream = stream
        stream.seek(0, os.SEEK_END)

    def write(self, text: str) -> None:
        """Append text; a kill before the next `commit` undoes it."""
        try:
            self._stream.write(text.encode(errors="backslashreplace"))  # of a path not in UTF-8
        except OSError as error:
            raise write_error(self.path, error) from error

    def commit(self, progress: JobProgress) -> None:
        """Make all text so far durable, as that of `progress`; its `num_bytes` is filled in here."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error
        self.progress = replace(progress, num_bytes=self._stream.tell())
        record = {"job": self._job, "progress": asdict(self.progress)}
        write_text(_record_path(self.path), json.dumps(record, indent=1) + "\n")

    def finish(self) -> None:
        """Move the text to `path` and delete the record."""
        self.commit(replace(self.progress, is_finished=True))
        try:
            if sys.platform == "win32":  # which moves no open file, and has no lock
                self._stream.close()
            # Before it is closed, which releases the lock.
            _text_path(self.path).replace(self.path)
            _record_path(self.path).unlink()
            self._stream.close()
        except OSError as error:
            raise write_error(self.path, error) from error


@contextmanager
def open_job_output(
    prompts: Path | None,
    output: Path | None,
    seed: int | None,
    describe: Callable[[], Mapping[str, Any]],
) -> Iterator[StreamOutput | Journal]:
    """Open the output of a job, which can be resumed if prompts and output are regular files.

    `describe` returns the description of the job, which takes reading the prompts and the model.

    Raises:
        UsageError: the output would replace the prompts, or contains another unfinished job.
        OutputError: it cannot be written.
    """
    description = None
    if output is not None and prompts is not None:
        check_distinct(prompts, output)
    if output is not None and can_resume(prompts, output):
        description = describe()
    elif output is not None and prompts is not None:
        logger.info("prompts or output is not a regular file: this job cannot be resumed")
    with open_output(output, seed, description) as opened:
        yield opened


@contextmanager
def open_output(
    path: Path | None, seed: int | None, job: Mapping[str, Any] | None = None
) -> Iterator[StreamOutput | Journal]:
    """Open standard output or a file; with a `job` description a file that can be resumed.

    `seed` None: that of the resumed job, or a random one.
    """
    if path is not None and job is not None:
        with open_journal(path, job, seed=seed) as journal:
            yield journal
        return
    with nullcontext(sys.stdout) if path is None else atomic_writer(path) as stream:
        yield StreamOutput(stream, new_seed() if seed is None else seed)


@contextmanager
def open_journal(path: Path, job: Mapping[str, Any], *, seed: int | None) -> Iterator[Journal]:
    """Open the output of `job` (JSON values that identify it) at the point that it had reached.

    `seed` None: that of the resumed job, or a random one.  The caller looks at `progress`, writes and
    commits the rest, and calls `finish`.

    Raises:
        UsageError: the output of another job is growing there, or this one is still running.
        OutputError: it cannot be written.
    """
    path = path.resolve()  # a link remains a link to the new content
    stream = _open(path)
    try:
        _lock(stream, path)
        if not _is_at(stream, _text_path(path)):  # the previous holder has finished
            stream.close()
            stream = _open(path)
            _lock(stream, path)
        journal = Journal(path, job, _resumed(path, job, seed, stream), stream)
        try:
            if not journal.progress.next_index:
                journal.commit(journal.progress)  # the seed
            yield journal
        except BaseException:
            if journal.progress.num_poems:
                logger.info(
                    "what was finished is in %s: rerun the same command to resume", _text_path(path)
                )
            else:
                _text_path(path).unlink(missing_ok=True)
                _record_path(path).unlink(missing_ok=True)
            raise
    finally:
        with suppress(OSError):  # closing flushes once more, and the first failure was reported
            stream.close()


def can_resume(prompts: Path | None, output: Path) -> bool:
    """Return whether a job from `prompts` to `output` can be resumed: a pipe cannot be read again."""
    # os.path, not Path: it answers "no" to a name that is too long or out of reach.
    is_repeatable = prompts is None or os.path.isfile(prompts)  # noqa: PTH113
    return is_repeatable and (os.path.isfile(output) or not os.path.exists(output))  # noqa: PTH110, PTH113


def check_distinct(prompts: Path, output: Path) -> None:
    """Raise a UsageError if the poems would replace their own prompts."""
    if os.path.isfile(output) and os.path.isfile(prompts) and output.samefile(prompts):  # noqa: PTH113
        raise UsageError(
            f"the poems of {prompts} would replace their own prompts", "Name another --output."
        )


def _text_path(path: Path) -> Path:
    return path.with_name(path.name + ".job")


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".job.json")


def _open(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a device must never be replaced by a file
            raise OSError(errno.EINVAL, "it is not a regular file")
        return _text_path(path).open("ab")
    except OSError as error:
        raise write_error(path, error) from error


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except OSError:
        return False


def _lock(stream: BinaryIO, path: Path) -> None:
    """Keep a second process from writing the same text; a killed one holds nothing."""
    if not lock(stream.fileno()):
        raise UsageError(
            f"another process is writing {path}", "Wait for it, or name another --output."
        )


def _resumed(path: Path, job: Mapping[str, Any], seed: int | None, stream: BinaryIO) -> JobProgress:
    """Return the recorded progress, with the text cut to it; or a new one, with no text."""
    record = _read_record(_record_path(path))
    length = stream.seek(0, os.SEEK_END)
    if record is not None:
        recorded_job, progress = record
        # A kill right after the text was moved leaves only the record.
        was_moved = progress.is_finished and length < progress.num_bytes
        if not was_moved and progress.next_index:  # otherwise there is nothing to resume
            requested = {**job, "seed": progress.seed if seed is None else seed}
            _check_same(recorded_job | {"seed": progress.seed}, requested, path)
            if length >= progress.num_bytes:
                stream.truncate(progress.num_bytes)
                logger.info("resuming this job: %s poems are done", f"{progress.num_poems:,}")
                return progress
            logger.info("%s is shorter than recorded: the job starts over", _text_path(path))
    stream.truncate(0)
    return JobProgress(new_seed() if seed is None else seed)


def _read_record(path: Path) -> tuple[dict[str, Any], JobProgress] | None:
    """Return the recorded job and its progress; None if there is no record."""
    try:
        values = json.loads(path.read_bytes())
        return dict(values["job"]), JobProgress(**values["progress"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{path} is not a record of a job that can be resumed",
            "Delete it, or name another --output.",
        ) from error


def _check_same(recorded: Mapping[str, Any], requested: Mapping[str, Any], path: Path) -> None:
    differences = [
        f"{key} was {recorded.get(key)}, now {requested.get(key)}"
        for key in dict.fromkeys([*recorded, *requested])
        if recorded.get(key) != requested.get(key)
    ]
    if differences:
        raise UsageError(
            f"another job is unfinished in {_text_path(path)}: {'; '.join(differences)}",
            f"Finish it with its own command, name another --output, or delete {_record_path(path)}.",
        )
