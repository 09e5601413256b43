"""The output of a job, which survives a kill and the correction of its prompts.

While a job runs, its poems gather in a log next to the output: in `poems.jsonl.job` for `poems.jsonl`.
The log is a file of JSON lines (`record` has their format).  The first three, which are equal, describe
the job; each other one is a poem, with its index and a digest of the line of the prompts file that asked
for it.  Lines are only ever appended, and reach the disk after every batch: a kill at any instant leaves
at most part of a last line, which is cut off.  A damaged line is left out with a warning, and costs its
own poem only, which is generated again.

A job that runs again takes from the log every poem whose line has not changed.  So an interrupted job
resumes, and after a correction of the prompts only the poems of the changed lines are generated.

At the end the poems are written to the output in the order of their indices, atomically; until then the
old output remains.  Then the log is deleted, unless lines or poems failed: a rerun with corrected
prompts will need it.
"""

import errno
import logging
import os
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from poetgen.batch.prompts import poem_keys
from poetgen.batch.record import (
    FORMAT_VERSION,
    Header,
    Outcome,
    OutputDigest,
    parse_record,
    record_text,
)
from poetgen.errors import PoetgenError, UsageError
from poetgen.files import (
    atomic_write,
    atomic_writer,
    file_digest,
    is_special,
    lock,
    warn_of_no_checksums,
    write_error,
)
from poetgen.language import tr, tr_plural
from poetgen.sampling.options import Options
from poetgen.sampling.request import new_seed

logger = logging.getLogger(__name__)

_HEADER = b'{"version"'
"""The first bytes of a log."""
_NUM_HEADERS = 3
"""Copies of the description of a job: a damaged line break costs two lines."""


class StreamOutput:
    """An output that keeps nothing beyond this process."""

    log: Path | None = None

    def __init__(self, stream: IO[str], seed: int, separator: str = "") -> None:
        self.seed = seed
        self._stream = stream
        self._separator = separator
        self._is_empty = True

    def find(self, index: int, line: int) -> None:
        """Find nothing: there is no earlier run."""

    def keep(self, outcome: Outcome) -> None:
        raise AssertionError(f"{outcome} was not found here")

    def write(self, outcome: Outcome) -> None:
        """Print the next poem; nothing if it failed."""
        if outcome.text:
            self._stream.write(("" if self._is_empty else self._separator) + outcome.text)
            self._is_empty = False

    def commit(self) -> None:
        self._stream.flush()

    def finish(self, *, is_complete: bool) -> None:
        """Do nothing: the text is already in the stream."""


class Journal:
    """The log of a job, and its output at the end.  Made by `open_journal`."""

    def __init__(self, path: Path, stream: BinaryIO, separator: str = "") -> None:
        self.path = path
        self.log = log_path(path)
        self.job: Mapping[str, Any] = {}
        """The description of the job."""
        self.seed = 0
        self.has_poems = False
        """Whether the log has any; otherwise nothing is lost with it."""
        self.written = ""
        """Digest of the output if it was written, although lines or poems failed; else ""."""
        self.is_finished = False
        """Whether nothing has been generated since then."""
        self._is_old = False
        """Whether its lines may lack a checksum."""
        self._stream = stream
        self._separator = separator
        # By index: where the log has the poem (0: nowhere), and the digest of its line.
        self._offsets, self._lines = array("Q"), array("Q")
        self._order = array("Q")
        """Offsets of the poems of this run, in the order of their indices."""
        self._load()

    def has(self, index: int, line: int) -> bool:
        """Return whether the log has the poem of that index, for a line with that digest."""
        is_known = index < len(self._offsets) and self._offsets[index] > 0
        return is_known and self._lines[index] == line

    def find(self, index: int, line: int) -> Outcome | None:
        """Return the poem of that index, for a line with that digest; None if it is to be generated."""
        return self._read(self._offsets[index]) if self.has(index, line) else None

    def keep(self, outcome: Outcome) -> None:
        """Make a poem that was found the next of this run."""
        self._order.append(self._offsets[outcome.index])

    def write(self, outcome: Outcome) -> None:
        """Append the next poem of this run; a kill before `commit` undoes it."""
        offset = self._append(outcome)
        self._remember(outcome, offset)
        self._order.append(offset)

    def commit(self) -> None:
        """Make all poems so far durable."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise write_error(self.log, error) from error

    def start_over(self, job: Mapping[str, Any], seed: int) -> None:
        """Begin the log of another job, with nothing in it."""
        self.job, self.seed = job, seed
        self.has_poems, self.written, self.is_finished, self._is_old = False, "", False, False
        del self._offsets[:], self._lines[:]
        self._stream.truncate(0)
        self._append(Header(FORMAT_VERSION, job, seed), num_copies=_NUM_HEADERS)
        self.commit()

    def finish(self, *, is_complete: bool) -> None:
        """Write the output; delete the log if the job `is_complete`: nothing of it failed."""
        atomic_write(self.path, self._write_output)
        if not is_complete:
            return
        try:
            if sys.platform == "win32":  # which deletes no open file, and has no lock
                self._stream.close()
            self.log.unlink()  # before it is closed, which releases the lock
        except OSError as error:
            raise write_error(self.log, error) from error

    def _write_output(self, part: Path) -> None:
        """Write the poems to `part`, and its digest to the log, by which a rerun recognizes it."""
        # Surrogates represent the bytes of a file name that is not UTF-8.
        with part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as output:
            separator = ""
            for offset in self._order:
                if text := self._read(offset).text:
                    output.write(separator + text)
                    separator = self._separator
        self.written, self.is_finished = file_digest(part), True
        self._append(OutputDigest(self.written))
        self.commit()

    def _read(self, offset: int) -> Outcome:
        """Return the poem at an offset, which was read before: if it is another now, the disk fails."""
        self._stream.seek(offset)
        try:
            outcome = parse_record(self._stream.readline(), is_old=self._is_old)
        except ValueError as error:
            raise _damaged(self.log, str(error)) from error
        assert isinstance(outcome, Outcome)
        return outcome

    def _append(self, record: Header | Outcome | OutputDigest, *, num_copies: int = 1) -> int:
        """Append a line to the log; return its offset."""
        try:
            offset = self._stream.seek(0, os.SEEK_END)
            self._stream.write(record_text(record) * num_copies)
        except OSError as error:
            raise write_error(self.log, error) from error
        return offset

    def _remember(self, outcome: Outcome, offset: int) -> None:
        """Note where the log has a poem."""
        num_missing = outcome.index + 1 - len(self._offsets)
        for numbers in (self._offsets, self._lines):
            numbers.extend([0] * num_missing)
        self._offsets[outcome.index], self._lines[outcome.index] = offset, outcome.line
        self.has_poems = self.has_poems or bool(outcome.text)
        self.is_finished = False

    def _load(self) -> None:
        """Read the log, and cut off what a kill left at its end: part of a line, or damaged lines."""
        header: Header | None = None
        damage = _Damage()
        end = offset = self._stream.seek(0)
        for number, line in enumerate(self._stream, start=1):
            if header is None and number > _NUM_HEADERS:
                break
            try:
                record = parse_record(line, is_old=self._is_old)
            except ValueError as error:
                damage.add(number, str(error))
            else:
                if isinstance(record, Header):
                    header = header or record
                    self._is_old = header.version < FORMAT_VERSION
                elif header is None:
                    damage.add(number, tr("it does not describe the job"))
                elif isinstance(record, OutputDigest):
                    self.written, self.is_finished = record.output, True
                else:
                    self._remember(record, offset)
                end = offset + len(line)
            offset += len(line)
        if header is None:
            self._refuse_unless_new(damage)
            end = 0
        else:
            self.job, self.seed = header.job, header.seed
            self._warn(damage)
        self._stream.truncate(end)

    def _refuse_unless_new(self, damage: "_Damage") -> None:
        """Raise unless the log, which has no description of its job, is one that a kill left."""
        self._stream.seek(0)
        first = self._stream.readline()
        if not _HEADER.startswith(first[: len(_HEADER)]):
            raise _not_a_log(self.log)
        if first.endswith(b"\n"):
            raise _damaged(self.log, tr("line {line}: {why}", line=damage.line, why=damage.why))

    def _warn(self, damage: "_Damage") -> None:
        """Log what was left out, and where; a half-written last line is usual after a kill."""
        if self._is_old:
            warn_of_no_checksums(self.log)
        if damage.num_lines:
            logger.warning(
                tr_plural(
                    damage.num_lines,
                    "{log}: {num:,} damaged or half-written line is left out (line {line}: {why}); "
                    "its poem, if any, is generated again",
                    "{log}: {num:,} damaged or half-written lines are left out (the first is line "
                    "{line}: {why}); their poems, if any, are generated again",
                    log=self.log,
                    line=damage.line,
                    why=damage.why,
                )
            )


@dataclass
class _Damage:
    """The damaged lines of a log: their number, and where the first one is."""

    num_lines: int = 0
    line: int = 0
    why: str = ""

    def add(self, line: int, why: str) -> None:
        """Count one more damaged line."""
        if not self.num_lines:
            self.line, self.why = line, why
        self.num_lines += 1


@contextmanager
def open_job_output(
    prompts: Path | None,
    path: Path | None,
    options: Options,
    describe: Callable[[], Mapping[str, Any]],
    *,
    separator: str = "",
    overwrite: bool = False,
) -> Iterator[StreamOutput | Journal]:
    """Open the output of a job: standard output, or a file.

    The job can be resumed if prompts and output are regular files.  `describe` returns its description;
    that takes reading the prompts and the model.

    Raises:
        UsageError: the file exists and `overwrite` is false, it is the prompts file, or another job is
            unfinished there.
        OutputError: it cannot be written.
    """
    if path is not None and os.path.isdir(path):  # noqa: PTH112 (see is_special)
        raise write_error(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if path is not None and prompts is not None:
        check_distinct(prompts, path)
    if path is not None and can_resume(prompts, path):
        if path.is_symlink():
            path = path.resolve()  # a link remains a link to the new content
        if not overwrite and not log_path(path).exists():
            check_absent(path)  # before the model is read
        with open_journal(
            path,
            describe(),
            poem_keys(prompts, options.num),
            seed=options.seed,
            separator=separator,
            overwrite=overwrite,
        ) as journal:
            try:
                yield journal
            except BaseException:
                if journal.has_poems and not journal.is_finished:
                    log = journal.log
                    logger.info(
                        tr("the finished poems are in {log}: rerun the command to resume", log=log)
                    )
                raise
        return
    if path is not None and not overwrite and not is_special(path):
        check_absent(path)
    seed = new_seed() if options.seed is None else options.seed
    with nullcontext(sys.stdout) if path is None else atomic_writer(path) as stream:
        if path is not None and prompts is not None:
            logger.info(tr("prompts or output is not a regular file: this job cannot be resumed"))
        yield StreamOutput(stream, seed, separator)


@contextmanager
def open_journal(
    path: Path,
    job: Mapping[str, Any],
    keys: Iterable[tuple[int, int]],
    *,
    seed: int | None,
    separator: str = "",
    overwrite: bool = False,
) -> Iterator[Journal]:
    """Open the log of `job` (JSON values that identify it), with what an earlier run has generated.

    `keys` are the index and the digest of the line of each of its poems.  `seed` None is that of the
    earlier run, or a random one.  The caller writes the poems and calls `finish`.

    Raises:
        UsageError: `path` exists and `overwrite` is false, another job is unfinished there, or this one
            is still running.
        OutputError: it cannot be written.
    """
    stream = _open(path)
    try:
        _lock(stream, path)
        if not _is_at(stream, log_path(path)):  # the previous holder has finished
            stream.close()
            stream = _open(path)
            _lock(stream, path)
        journal = Journal(path, stream, separator)
        try:
            _prepare(journal, job, keys, seed, overwrite=overwrite)
            yield journal
        except BaseException:
            if not journal.has_poems:
                with suppress(OSError):  # Windows deletes no open file
                    journal.log.unlink()
            raise
    finally:
        with suppress(OSError):  # closing flushes once more, and the first failure was reported
            stream.close()


def can_resume(prompts: Path | None, output: Path) -> bool:
    """Return whether a job from `prompts` to `output` can be resumed: a pipe cannot be read again."""
    # os.path, not Path: it answers "no" to a name that is too long or out of reach.
    return (prompts is None or os.path.isfile(prompts)) and not is_special(output)  # noqa: PTH113


def check_distinct(prompts: Path, output: Path) -> None:
    """Raise a UsageError if the poems would replace their own prompts."""
    if os.path.isfile(output) and os.path.isfile(prompts) and output.samefile(prompts):  # noqa: PTH113
        raise UsageError(
            tr("the poems of {prompts} would replace their own prompts", prompts=prompts),
            tr("Name another --output."),
        )


def check_absent(path: Path) -> None:
    """Raise a UsageError if `path` is a file with something in it, which would be lost."""
    if os.path.isfile(path) and path.stat().st_size:  # noqa: PTH113
        raise UsageError(
            tr("{path} exists already", path=path),
            tr("Name another --output, or replace it with --overwrite."),
        )


def log_path(path: Path) -> Path:
    """Return where the log of a job with the output `path` is."""
    return path.with_name(path.name + ".job")


def _prepare(
    journal: Journal,
    job: Mapping[str, Any],
    keys: Iterable[tuple[int, int]],
    seed: int | None,
    *,
    overwrite: bool,
) -> None:
    """Let the job continue or start over; raise a UsageError if either would lose poems."""
    requested = {**job, "seed": journal.seed if seed is None else seed}
    recorded = {**journal.job, "seed": journal.seed}
    differences = {
        key: tr(
            "{key} was {old}, now {new}", key=key, old=recorded.get(key), new=requested.get(key)
        )
        for key in dict.fromkeys([*recorded, *requested])
        if recorded.get(key) != requested.get(key)
    }
    num_kept = num_poems = 0
    if journal.has_poems and set(differences) <= {"prompts"}:
        for index, line in keys:
            num_poems += 1
            num_kept += journal.has(index, line)
    is_ours = bool(journal.written) and os.path.isfile(journal.path)  # noqa: PTH113
    is_ours = is_ours and file_digest(journal.path) == journal.written
    if not overwrite and not (num_kept and is_ours):
        check_absent(journal.path)
    if num_kept:
        logger.info(
            tr(
                "resuming this job: {num:,} of {total:,} poems are done",
                num=num_kept,
                total=num_poems,
            )
        )
    elif journal.has_poems and not journal.is_finished:
        raise UsageError(
            tr(
                "another job is unfinished in {log}: {differences}",
                log=journal.log,
                differences="; ".join(differences.values()),
            ),
            tr(
                "Finish it with its own options and --model, name another --output, or delete that file."
            ),
        )
    else:
        journal.start_over(job, new_seed() if seed is None else seed)


def _not_a_log(path: Path) -> UsageError:
    return UsageError(
        tr("{path} is not the log of a job that can be resumed", path=path),
        tr("Delete it, or name another --output."),
    )


def _damaged(path: Path, why: str) -> PoetgenError:
    return PoetgenError(
        tr("the log {path} cannot be resumed: {why}", path=path, why=why),
        tr("Restore it from a copy, or delete it to generate all poems again."),
    )


def _open(path: Path) -> BinaryIO:
    """Open the log of the output `path`."""
    try:
        if os.path.isdir(path):  # noqa: PTH112
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        # A device must never be replaced by a file.
        if is_special(path) or is_special(log_path(path)):
            raise OSError(errno.EINVAL, tr("it is not a regular file"))
        return log_path(path).open("a+b")
    except OSError as error:
        raise write_error(path, error) from error


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except OSError:
        return False


def _lock(stream: BinaryIO, path: Path) -> None:
    """Keep a second process from writing the same log; a killed one holds nothing."""
    if not lock(stream.fileno()):
        raise UsageError(
            tr("another process is writing {path}", path=path),
            tr("Wait for it, or name another --output."),
        )
