"""Many poems: requests for the lines of a prompts file, or for one line, generated in chunks.

Requests are made lazily, so that millions need no memory.  A line that cannot be used is reported with
its number and does not stop the rest.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from poetgen.batch.journal import JobProgress
from poetgen.batch.prompts import parse_prompt_line
from poetgen.errors import PoetgenError, UsageError
from poetgen.sampling.generator import Failure, Generator, Sample
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request

logger = logging.getLogger(__name__)


class Output(Protocol):
    """Where poems go."""

    progress: JobProgress

    def write(self, text: str) -> None: ...
    def commit(self, progress: JobProgress) -> None: ...
    def finish(self) -> None: ...


@dataclass(frozen=True)
class Chunk:
    """The requests of consecutive indices, without those of lines that failed.

    Their poems are generated and committed together.  A resumed job begins at a chunk, so its batches
    are those of an uninterrupted one, and its poems are identical to the last bit.
    """

    requests: list[Request]
    next_index: int
    """The first index after the chunk."""
    num_failed_lines: int


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
    def num_poems(self) -> int | None:
        """How many poems will be generated; None where the number of lines is unknown."""
        return self.options.num if self.prompts is None else None

    @property
    def chunk_size(self) -> int:
        """The number of indices in a chunk: one batch, unless lines set particles or candidates."""
        options = self.options
        return max(1, options.batch_size // (options.num_particles * options.num_candidates))

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """Yield the chunks from index `start` on, where a chunk begins."""
        requests: list[Request] = []
        num_failed = end = 0
        chunk_size = self.chunk_size
        lines: Iterable[bytes | None] = [None] if self.prompts is None else self.prompts
        for number, line in enumerate(lines):
            first, end = number * self.options.num, (number + 1) * self.options.num
            if end <= start:
                continue
            is_new = first >= start  # earlier lines were reported before the interruption
            request = None
            try:
                request = self._request(line)
            except PoetgenError as error:
                if line is None:
                    raise
                if is_new:
                    num_failed += 1
                    logger.error("line %d: %s. %s", number + 1, error.why, error.fix)
            if request is not None and is_new and (line is None or self.log_warnings):
                where = "" if line is None else f"line {number + 1}: "
                for warning in request.warnings:
                    logger.warning("%s%s", where, warning)
            for index in range(max(first, start), end):
                if request is not None:
                    requests.append(replace(request, index=index))
                if (index + 1) % chunk_size == 0:
                    yield Chunk(requests, index + 1, num_failed)
                    requests, num_failed = [], 0
        if requests or num_failed:
            yield Chunk(requests, end, num_failed)

    def position(self, index: int) -> str:
        """Return where the poem of that index was requested, in words."""
        if self.prompts is None:
            return f"poem {index + 1}"
        line, j = divmod(index, self.options.num)
        return f"line {line + 1}" + (f", poem {j + 1}" if self.options.num > 1 else "")

    def _request(self, line: bytes | None) -> Request | None:
        options = self.options if line is None else parse_prompt_line(line, self.options)
        return None if options is None else self.make_request(options)


def run_job(
    job: Job, generator: Generator, output: Output, to_text: Callable[[Sample, bool], str]
) -> Iterator[Sample | Failure]:
    """Generate the poems of a job from where `output` stopped, and yield each once it is written.

    `to_text` makes the text of a sample; its second argument says whether it is the first.

    Raises:
        UsageError: no line asks for a poem.
        ConstraintError: all poems of a job without prompts failed.
        PoetgenError: all lines failed; each was reported.
    """
    progress = output.progress
    first_failure: Failure | None = None
    for chunk in job.chunks(progress.next_index):
        for result in generator.generate(chunk.requests, batch_size=job.options.batch_size):
            if isinstance(result, Failure):
                first_failure = first_failure or result
                if job.num_poems != 1:  # the error of the only poem is raised
                    logger.error("%s: %s", job.position(result.request.index), result.error.why)
                progress = replace(progress, num_failed_poems=progress.num_failed_poems + 1)
            else:
                output.write(to_text(result, not progress.num_poems))
                progress = replace(
                    progress,
                    num_poems=progress.num_poems + 1,
                    num_cut_off=progress.num_cut_off + (not result.ended),
                )
            yield result
        num_failed = progress.num_failed_lines + chunk.num_failed_lines
        progress = replace(progress, next_index=chunk.next_index, num_failed_lines=num_failed)
        output.commit(progress)
    if not progress.num_poems:
        # Before `finish`, so that no output is replaced by an empty one.
        if first_failure is not None and job.prompts is None:
            raise first_failure.error
        raise_if_failed(job, progress)
        raise UsageError(
            "no line asks for a poem", "Give a prompt per line; {} asks for a poem without one."
        )
    output.finish()


def raise_if_failed(job: Job, progress: JobProgress) -> None:
    """Raise a PoetgenError that counts what failed, if anything did; each failure was reported."""
    counts = (
        (progress.num_failed_lines, "line", "could not be used"),
        (progress.num_failed_poems, "poem", "could not be generated"),
    )
    parts = [f"{n:,} {noun}{'s'[: n > 1]} {what}" for n, noun, what in counts if n]
    if parts:
        raise PoetgenError(
            f"{' and '.join(parts)} (see above); the others, if any, are done",
            "Drop a constraint, or use another seed."
            if job.prompts is None
            else f"Correct those lines and run it again with --seed {progress.seed}: "
            "all poems are generated again, the others come out identical.",
        )


def describe_job(
    prompts: Path | None, model: Path, options: Options, **settings: Any
) -> dict[str, Any]:
    """Return all that determines a job's output but the seed, as JSON values."""
    values = asdict(options)
    del values["seed"], values["batch_size"]
    digest = None if prompts is None else _digest(prompts)
    return {"prompts": digest, "model": _digest(model), **settings, **values}


def _digest(path: Path) -> str:
    """Return sixteen hex digits that identify a file's content."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, partial(hashlib.blake2b, digest_size=8)).hexdigest()
    except OSError as error:
        raise PoetgenError(f"{path} cannot be read: {error.strerror}", "Name another.") from error
