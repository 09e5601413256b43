"""Many poems: requests for the lines of a prompts file, or for one line, generated in chunks.

Requests are made lazily, so that millions need no memory.  A line that cannot be used is reported with
its number and does not stop the rest.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from poetgen.batch.prompts import line_digest, parse_prompt_line
from poetgen.batch.record import Outcome
from poetgen.errors import PoetgenError, UsageError
from poetgen.files import file_digest
from poetgen.language import tr, tr_plural
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request
from poetgen.sampling.unique import UniquePoems, poem_hash

logger = logging.getLogger(__name__)


class Output(Protocol):
    """Where poems go, and where those of an earlier run come from."""

    @property
    def seed(self) -> int: ...
    @property
    def log(self) -> Path | None:
        """The file from which a rerun takes what was generated; None: there is none."""

    def find(self, index: int, line: int) -> Outcome | None: ...
    def keep(self, outcome: Outcome) -> None: ...
    def write(self, outcome: Outcome) -> None: ...
    def commit(self) -> None: ...
    def finish(self, *, is_complete: bool) -> None: ...


@dataclass(frozen=True)
class Task:
    """One poem of a job, with a request, a result of an earlier run, or both."""

    index: int
    line: int
    """Digest of its line."""
    request: Request | None = None
    """None: no poem of the line is to be generated."""
    kept: Outcome | None = None
    """Its result in an earlier run."""


@dataclass
class Chunk:
    """Consecutive poems, which are committed together."""

    tasks: list[Task] = field(default_factory=list)
    num_failed_lines: int = 0

    @property
    def requests(self) -> list[Request]:
        """The requests of the poems that no earlier run has made."""
        return [task.request for task in self.tasks if task.request and not task.kept]


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come."""

    num_poems: int = 0
    num_kept: int = 0
    """Poems and failed poems that were taken from an earlier run."""
    num_cut_off: int = 0
    """Poems that were cut off without an end."""
    num_failed_lines: int = 0
    num_failed_poems: int = 0

    @property
    def num_done(self) -> int:
        """Poems that were written or failed."""
        return self.num_poems + self.num_failed_poems

    @property
    def num_failed(self) -> int:
        """Lines and poems that failed."""
        return self.num_failed_lines + self.num_failed_poems

    def after(self, outcome: Outcome, *, is_kept: bool) -> "JobProgress":
        """Return the progress after one more poem."""
        return replace(
            self,
            num_poems=self.num_poems + bool(outcome.text),
            num_kept=self.num_kept + is_kept,
            num_cut_off=self.num_cut_off + outcome.is_cut_off,
            num_failed_poems=self.num_failed_poems + bool(outcome.failure),
        )


@dataclass(frozen=True)
class Job:
    """The requests for the lines of a prompts file, `options.num` per line; iterate once.

    Poem j of line k (from 0) has index k × num + j.  A line that fails uses up its indices, so that
    correcting it changes no other poem.
    """

    options: Options
    """The options of every line that does not set its own."""
    make_request: Callable[[Options], Request]
    """Raises a `PoetgenError` where the options cannot be met."""
    prompts: Iterable[bytes] | None = None
    """The lines; None: there is no file, and `options` is the only line."""
    log_warnings: bool = False
    """Whether the warnings of each line are logged; a JSON line carries them itself."""

    @property
    def is_one_poem(self) -> bool:
        return self.prompts is None and self.options.num == 1

    @property
    def chunk_size(self) -> int:
        """The number of requests in a chunk: one batch, unless lines set particles or candidates."""
        options = self.options
        return max(1, options.batch_size // (options.num_particles * options.num_candidates))

    def chunks(self, find: Callable[[int, int], Outcome | None]) -> Iterator[Chunk]:
        """Yield the poems in chunks.

        `find` returns the result of a poem in an earlier run, by its index and the digest of its line.
        """
        chunk, num_requests = Chunk(), 0
        lines: Iterable[bytes | None] = [None] if self.prompts is None else self.prompts
        for number, line in enumerate(lines):
            try:
                for task in self._tasks(number, line, find):
                    chunk.tasks.append(task)
                    num_requests += task.kept is None
                    if num_requests == self.chunk_size or len(chunk.tasks) == _MAX_TASKS:
                        yield chunk
                        chunk, num_requests = Chunk(), 0
            except PoetgenError as error:
                if line is None:
                    raise
                logger.error("%s: %s. %s", self._line(number), error.why, error.fix)
                chunk.num_failed_lines += 1
        if chunk.tasks or chunk.num_failed_lines:
            yield chunk

    def position(self, index: int) -> str:
        """Return where the poem of that index was requested, in words."""
        if self.prompts is None:
            return tr("poem {number}", number=index + 1)
        line, j = divmod(index, self.options.num)
        if self.options.num == 1:
            return self._line(line)
        return tr("line {line}, poem {number}", line=line + 1, number=j + 1)

    def _tasks(
        self, number: int, line: bytes | None, find: Callable[[int, int], Outcome | None]
    ) -> Iterator[Task]:
        """Yield the poems of a line, none for a blank one; raise a PoetgenError for one of no use."""
        digest, request = line_digest(line), None
        for index in range(number * self.options.num, (number + 1) * self.options.num):
            kept = find(index, digest)
            if request is None and (kept is None or self.options.unique):
                request = self._request(number, line)
                if request is None:
                    return
            own = None if request is None else replace(request, index=index)
            yield Task(index, digest, own, kept)

    def _request(self, number: int, line: bytes | None) -> Request | None:
        """Return the request for a line, None for a blank one; log its warnings."""
        options = self.options if line is None else parse_prompt_line(line, self.options)
        if options is None:
            return None
        request = self.make_request(options)
        for warning in request.warnings if line is None or self.log_warnings else ():
            logger.warning("%s%s", "" if line is None else f"{self._line(number)}: ", warning)
        return request

    def _line(self, number: int) -> str:
        return tr("line {number}", number=number + 1)


_MAX_TASKS = 4096
"""Limit of the poems of a chunk that were kept, which take memory but no time."""


def run_job(
    job: Job,
    generator: Generator,
    output: Output,
    to_text: Callable[[Sample], str],
    *,
    scored: bool = True,
) -> Iterator[JobProgress]:
    """Generate the poems of a job that `output` does not have, and yield the progress after each chunk.

    Unless `scored`, `to_text` is given samples without a likelihood, which is faster.

    Raises:
        UsageError: no line asks for a poem.
        ConstraintError: all poems of a job without prompts failed.
        PoetgenError: all lines failed; each was reported.
    """
    progress = JobProgress()
    first_failure: Failure | None = None
    unique = UniquePoems(generator) if job.options.unique else None
    generate = partial(generator.generate, batch_size=job.options.batch_size, scored=scored)
    for chunk, results in _with_results(job.chunks(output.find), generate):
        for task in chunk.tasks:
            outcome = task.kept
            is_kept = outcome is not None and _is_valid(outcome, unique)
            if outcome is not None and is_kept:
                output.keep(outcome)
            else:
                # A poem that was kept, but equals an earlier one now, is in no batch.
                result = next(results) if outcome is None else _generate_one(job, task, generator)
                result = result if unique is None else unique.distinct(result)
                if isinstance(result, Failure) and first_failure is None:
                    first_failure = result
                outcome = _outcome(task, result, to_text, is_unique=unique is not None)
                output.write(outcome)
            if outcome.failure and not job.is_one_poem:  # the error of the only poem is raised
                logger.error("%s: %s", job.position(task.index), outcome.failure)
            progress = progress.after(outcome, is_kept=is_kept)
        num_failed_lines = progress.num_failed_lines + chunk.num_failed_lines
        progress = replace(progress, num_failed_lines=num_failed_lines)
        output.commit()
        yield progress
    if not progress.num_poems:
        # Before `finish`, so that no output is replaced by an empty one.
        if first_failure is not None and job.prompts is None:
            raise first_failure.error
        raise_if_failed(job, progress, output)
        raise UsageError(
            tr("no line asks for a poem"),
            tr("Give a prompt per line; {example} asks for a poem without one.", example="{}"),
        )
    # Without prompts there is nothing to correct.
    output.finish(is_complete=job.prompts is None or not progress.num_failed)


def _with_results(
    chunks: Iterator[Chunk], generate: Callable[[Iterable[Request]], Iterator[Sample | Failure]]
) -> Iterator[tuple[Chunk, Iterator[Sample | Failure]]]:
    """Yield each chunk with an iterator whose next results are those of its requests.

    `generate` takes requests of later chunks too, so that its batch stays full, but not beyond a chunk
    without requests: there may be millions of poems from an earlier run.
    """
    started: deque[Chunk] = deque()

    def requests_ahead() -> Iterator[Request]:
        for chunk in chunks:
            started.append(chunk)
            if not chunk.requests:
                return
            yield from chunk.requests

    results: Iterator[Sample | Failure] = iter(())
    while True:
        if started:
            chunk = started.popleft()
        else:
            first = next(chunks, None)
            if first is None:
                return
            chunk, results = first, generate(chain(first.requests, requests_ahead()))
        yield chunk, results


def raise_if_failed(job: Job, progress: JobProgress, output: Output) -> None:
    """Raise a PoetgenError that counts what failed, if anything did; each failure was reported."""
    if not progress.num_failed:
        return
    lines = tr_plural(
        progress.num_failed_lines,
        "{num:,} line could not be used",
        "{num:,} lines could not be used",
    )
    poems = tr_plural(
        progress.num_failed_poems,
        "{num:,} poem could not be generated",
        "{num:,} poems could not be generated",
    )
    what = poems if progress.num_failed_poems else lines
    if progress.num_failed_poems and progress.num_failed_lines:
        what = tr("{lines} and {poems}", lines=lines, poems=poems)
    if job.prompts is None:
        fix = tr("Drop a constraint, or use another seed.")
    elif not progress.num_poems:
        fix = tr("Correct those lines and run it again.")
    elif output.log is not None:
        fix = tr(
            "Correct those lines and run it again: the other poems are kept in {log}.",
            log=output.log,
        )
    else:
        fix = tr(
            "Correct those lines and run it again with --seed {seed}: "
            "all poems are generated again, the others come out identical.",
            seed=output.seed,
        )
    raise PoetgenError(tr("{what} (see above); the others, if any, are done", what=what), fix)


def describe_job(
    prompts: Path | None, model_hash: str, options: Options, **settings: Any
) -> dict[str, Any]:
    """Return all that determines a job's output but the seed, as JSON values."""
    values = asdict(options)
    del values["seed"], values["batch_size"]
    digest = None if prompts is None else file_digest(prompts)
    return {"prompts": digest, "model": model_hash, **settings, **values}


def _is_valid(outcome: Outcome, unique: UniquePoems | None) -> bool:
    """Return whether this run would generate the same poem as an earlier run did.

    In a job of unique poems, one that took several attempts depends on the poems before it.
    """
    if unique is None:
        return True
    return outcome.poem_hash is not None and unique.add(outcome.poem_hash)


def _generate_one(job: Job, task: Task, generator: Generator) -> Sample | Failure:
    assert task.request is not None
    return next(generator.generate([task.request], batch_size=job.options.batch_size))


def _outcome(
    task: Task, result: Sample | Failure, to_text: Callable[[Sample], str], *, is_unique: bool
) -> Outcome:
    if isinstance(result, Failure):
        return Outcome(task.index, task.line, failure=result.error.why)
    return Outcome(
        task.index,
        task.line,
        text=to_text(result),
        is_cut_off=not result.ended,
        poem_hash=poem_hash(result.poem) if is_unique and not result.request.attempt else None,
    )
