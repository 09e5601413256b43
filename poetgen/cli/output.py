"""Poems on their way out: written as they come, and told what failed."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Protocol

from tqdm import tqdm

from poetgen.cli.boundary import tell
from poetgen.cli.render import Page
from poetgen.errors import ConstraintError, PoetgenError, UsageError
from poetgen.files import growing_file
from poetgen.sampling.continued import Progress, continued_file
from poetgen.sampling.decode import Failed, Sample
from poetgen.sampling.jobs import Job
from poetgen.sampling.request import Request, new_seed


class Output(Protocol):
    """Where poems go."""

    progress: Progress

    def write(self, text: str) -> None: ...
    def note(self, progress: Progress) -> None: ...
    def finish(self) -> None: ...


class PlainOutput:
    """A stream that remembers nothing beyond this process."""

    def __init__(self, stream: IO[str], seed: int) -> None:
        self.progress = Progress(seed)
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text)

    def note(self, progress: Progress) -> None:
        self._stream.flush()
        self.progress = progress

    def finish(self) -> None:
        pass


@contextmanager
def open_output(
    path: Path | None, seed: int | None, job: Mapping[str, Any] | None = None
) -> Iterator[Output]:
    """Standard output or a file; the output of a `job` goes on where the job was broken off.

    `seed` None: that of the job that goes on, or one by chance.
    """
    if path is not None and job is not None:
        with continued_file(path, job, seed=seed, tell=tell) as file:
            yield file
        return
    with nullcontext(sys.stdout) if path is None else growing_file(path, tell) as stream:
        yield PlainOutput(stream, new_seed() if seed is None else seed)


def write_job(
    job: Job,
    generate: Callable[[Iterable[Request]], Iterator[Sample | Failed]],
    page: Page,
    output: Output,
) -> None:
    """Write the poems of a job, a chunk at a time, from where `output` has come to.

    Raises:
        UsageError: no line asks for a poem.
        ConstraintError: all poems of a job without lines failed.
        PoetgenError: all lines failed; each was told.
    """
    progress = output.progress
    is_file = job.lines is not None
    error: ConstraintError | None = None
    with _bar(page, None if is_file else job.num, initial=progress.num_poems) as bar:
        for chunk in job.chunks(progress.next_index):
            for result in generate(chunk.requests):
                if isinstance(result, Failed):
                    error = result.error
                    if is_file or job.num > 1:
                        tell(f"{job.place(result.request.index)}: {error.why}")
                progress = _written(result, page, output, progress)
                bar.update()
            progress = replace(
                progress,
                next_index=chunk.next_index,
                failed_lines=progress.failed_lines + chunk.failed_lines,
            )
            output.note(progress)
    if not progress.num_poems:
        # Now, so that no output is replaced by an empty one.
        if error is not None and not is_file:
            raise error
        raise_if_failed(progress, has_lines=is_file)
        raise UsageError(
            "no line asks for a poem", "Give a prompt per line; {} asks for a poem without one."
        )
    output.finish()


def raise_if_failed(progress: Progress, *, has_lines: bool) -> None:
    """Raise behind work of which some could not be done, once the rest is in its place.

    Raises:
        PoetgenError: saying how much failed; each was told when it was met.
    """
    counts = (
        (progress.failed_lines, "line", "could not be used"),
        (progress.failed_poems, "poem", "could not be written"),
    )
    parts = [f"{n:,} {noun}{'s'[: n > 1]} {what}" for n, noun, what in counts if n]
    if parts:
        raise PoetgenError(
            f"{' and '.join(parts)} (see above); the others, if any, are done",
            f"Correct those lines and run it again with --seed {progress.seed}: "
            "all poems are written anew, the others come out the same."
            if has_lines
            else "Ask for less, or take another seed.",
        )


def tell_cut_off(progress: Progress, page: Page) -> None:
    """Say how many poems never ended; a JSON line says it itself."""
    if progress.num_cut and page.is_text:
        tell(f"{progress.num_cut:,} of these poems were cut off without an end")


def _written(result: Sample | Failed, page: Page, output: Output, progress: Progress) -> Progress:
    """`progress` with one more poem, written if there is one."""
    if isinstance(result, Failed):
        return replace(progress, failed_poems=progress.failed_poems + 1)
    output.write(page.text(result, is_first=not progress.num_poems))
    return replace(
        progress,
        num_poems=progress.num_poems + 1,
        num_cut=progress.num_cut + (not result.ended),
    )


def _bar(page: Page, total: int | None, initial: int = 0) -> "tqdm[Any]":
    """A progress bar, where poems do not go to the terminal themselves."""
    hidden = page.output is None and sys.stdout.isatty()
    return tqdm(total=total, initial=initial, unit=" poems", leave=False, disable=hidden or None)
