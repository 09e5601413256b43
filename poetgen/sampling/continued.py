"""A job's output that outlives a kill.

Beside `poems.jsonl` the text gathers in `poems.jsonl.job`, and `poems.jsonl.job.json` notes whose it
is and how much of it is whole.  Text is on the disk before it is noted, and the note is replaced in
one step: a kill at any instant leaves at most some text beyond the noted length, which is cut off when
the same job goes on.  The whole file is moved to its place in one step, and until then what stood
there stands.
"""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from poetgen.errors import UsageError
from poetgen.files import lock, unwritable, write_text
from poetgen.sampling.request import new_seed


@dataclass(frozen=True)
class Progress:
    """How far a job has come."""

    seed: int
    next_index: int = 0
    """Of the first poem that is not yet made."""
    num_poems: int = 0
    num_cut: int = 0
    """Poems that were cut off without an end."""
    failed_lines: int = 0
    failed_poems: int = 0
    num_bytes: int = 0
    """Length of the text so far."""
    is_finished: bool = False


class ContinuedFile:
    """The text of a job and the note beside it.  Made by `continued_file`."""

    def __init__(
        self, path: Path, job: Mapping[str, Any], progress: Progress, stream: BinaryIO
    ) -> None:
        self.path = path
        self.progress = progress
        self._job = job
        self._stream = stream
        stream.seek(0, os.SEEK_END)

    def write(self, text: str) -> None:
        """Add text; a kill before the next `note` undoes it."""
        try:
            self._stream.write(text.encode(errors="backslashreplace"))  # of a path not in UTF-8
        except OSError as error:
            raise unwritable(self.path, error) from error

    def note(self, progress: Progress) -> None:
        """Make all text so far last, as that of `progress` (whose `num_bytes` is filled in here)."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.progress = replace(progress, num_bytes=self._stream.tell())
        note = {"job": self._job, "progress": asdict(self.progress)}
        write_text(_note(self.path), json.dumps(note, indent=1) + "\n")

    def finish(self) -> None:
        """Move the text to its place."""
        self.note(replace(self.progress, is_finished=True))
        try:
            if sys.platform == "win32":  # which moves no open file, and has no lock
                self._stream.close()
            # Before it is closed: with the stream goes the lock.
            _text(self.path).replace(self.path)
            _note(self.path).unlink()
            self._stream.close()
        except OSError as error:
            raise unwritable(self.path, error) from error


@contextmanager
def continued_file(
    path: Path, job: Mapping[str, Any], *, seed: int | None, tell: Callable[[str], None]
) -> Iterator[ContinuedFile]:
    """The output of `job` (JSON values that name it), as far as it had come when it was last left.

    `seed` None: that of the job that goes on, or one by chance.  The caller looks at `progress`,
    writes and notes the rest, and calls `finish`.

    Raises:
        UsageError: the output of another job is growing there, or this one is still running.
        OutputError: it cannot be written.
    """
    path = path.resolve()  # a link stays a link to the new content
    stream = _open(path)
    try:
        _lock(stream, path)
        if not _is_at(stream, _text(path)):  # whoever had it has finished meanwhile
            stream.close()
            stream = _open(path)
            _lock(stream, path)
        file = ContinuedFile(path, job, _resumed(path, job, seed, stream, tell), stream)
        try:
            if not file.progress.next_index:
                file.note(file.progress)  # the seed
            yield file
        except BaseException:
            if file.progress.num_poems:
                tell(f"what was finished is in {_text(path)}: the same command goes on from there")
            else:
                _text(path).unlink(missing_ok=True)
                _note(path).unlink(missing_ok=True)
            raise
    finally:
        with suppress(OSError):  # closing flushes once more, and the first failure says it all
            stream.close()


def can_continue(prompts: Path | None, output: Path) -> bool:
    """Whether a job from `prompts` to `output` can go on: what passes through a pipe is gone."""
    # os.path, not Path: it answers "no" to a name that is too long or out of reach.
    is_repeatable = prompts is None or os.path.isfile(prompts)  # noqa: PTH113
    return is_repeatable and (os.path.isfile(output) or not os.path.exists(output))  # noqa: PTH110, PTH113


def check_apart(prompts: Path, output: Path) -> None:
    """Raise the UsageError of poems that would replace their own prompts."""
    if os.path.isfile(output) and os.path.isfile(prompts) and output.samefile(prompts):  # noqa: PTH113
        raise UsageError(
            f"the poems of {prompts} would replace their own prompts", "Name another --output."
        )


def _text(path: Path) -> Path:
    return path.with_name(path.name + ".job")


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".job.json")


def _open(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a device must never be replaced by a file
            raise OSError(errno.EINVAL, "it is no plain file")
        return _text(path).open("ab")
    except OSError as error:
        raise unwritable(path, error) from error


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except OSError:
        return False


def _lock(stream: BinaryIO, path: Path) -> None:
    """Keep a second process from writing into the same text; a killed one holds nothing."""
    if not lock(stream.fileno()):
        raise UsageError(
            f"another process is writing {path}", "Wait for it, or name another --output."
        )


def _resumed(
    path: Path,
    job: Mapping[str, Any],
    seed: int | None,
    stream: BinaryIO,
    tell: Callable[[str], None],
) -> Progress:
    """The noted progress, with the text cut to it; or a new one, with no text."""
    noted = _read(_note(path))
    length = stream.seek(0, os.SEEK_END)
    if noted is not None:
        old_job, progress = noted
        # A kill right after the text was moved to its place leaves the note alone.
        was_moved = progress.is_finished and length < progress.num_bytes
        if not was_moved and progress.next_index:  # else there is nothing yet to go on from
            asked = {**job, "seed": progress.seed if seed is None else seed}
            _check_same(old_job | {"seed": progress.seed}, asked, path)
            if length >= progress.num_bytes:
                stream.truncate(progress.num_bytes)
                tell(
                    f"going on where this job was broken off: {progress.num_poems:,} poems are done"
                )
                return progress
            tell(f"{_text(path)} is shorter than it was: the job begins anew")
    stream.truncate(0)
    return Progress(new_seed() if seed is None else seed)


def _read(note: Path) -> tuple[dict[str, Any], Progress] | None:
    """What a note holds: the job and its progress; None: there is none."""
    try:
        values = json.loads(note.read_bytes())
        return dict(values["job"]), Progress(**values["progress"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{note} is no note of a job that could go on",
            "Delete it, or name another --output.",
        ) from error


def _check_same(noted: Mapping[str, Any], asked: Mapping[str, Any], path: Path) -> None:
    differences = [
        f"{key} was {noted.get(key)}, now {asked.get(key)}"
        for key in dict.fromkeys([*noted, *asked])
        if noted.get(key) != asked.get(key)
    ]
    if differences:
        raise UsageError(
            f"another job is unfinished in {_text(path)}: {'; '.join(differences)}",
            f"Finish it with its own command, name another --output, or delete {_note(path)}.",
        )
