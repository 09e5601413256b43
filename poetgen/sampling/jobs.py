"""A file of prompts, or one call, → requests, lazily: thousands cost no memory.  Does not import torch.

A line that cannot be used is reported with its number and does not stop the rest.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from poetgen.errors import PoetgenError, UsageError
from poetgen.sampling.options import Options
from poetgen.sampling.request import Request

_AS_ASKED = b"{}"
"""A line that sets nothing: a poem by the options alone."""


@dataclass(frozen=True)
class Chunk:
    """The requests of some indices in a row, less those of lines that failed.

    Their poems are made and put on the disk together.  A job that goes on does so at the beginning of
    a chunk, so its batches are those of a job that was never broken off, and its poems the same to the
    last bit.
    """

    requests: list[Request]
    next_index: int
    """The first index behind the chunk."""
    failed_lines: int


@dataclass(frozen=True)
class Job:
    """The requests of a file's lines, `num` per line; iterate once.

    Poem j of line k (from 0) has index k × num + j; a line that fails uses up its indices, so that
    mending it changes no other poem.
    """

    lines: Iterable[bytes] | None
    """In UTF-8, with or without a BOM; None: there is no file, and `num` poems are asked for by the
    options alone."""
    num: int
    options: Options
    """Of every line, but for what a line sets itself."""
    prepare: Callable[[Options], Request]
    """Makes the request of a line's options; raises a `PoetgenError` where there can be none."""
    tell: Callable[[str], None]
    tell_warnings: bool = False
    """Whether to tell what a request's warnings are; a JSON line carries them itself."""
    batch_size: int = 64
    """Rows that the model reads side by side."""

    @property
    def chunk_poems(self) -> int:
        """The poems of a chunk: of a batch, unless lines ask for more rows or fewer."""
        settings = self.options.settings
        return max(1, self.batch_size // (settings.particles * settings.best_of))

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """The requests from index `start` on, where a chunk begins."""
        requests: list[Request] = []
        failed_lines = behind = 0
        chunk_poems = self.chunk_poems
        for number, line in enumerate([_AS_ASKED] if self.lines is None else self.lines):
            first, behind = number * self.num, (number + 1) * self.num
            if behind <= start:
                continue
            request = None
            try:
                request = self._request(line)
            except PoetgenError as error:
                if first >= start:  # else it was told, and counted, with the chunk before
                    failed_lines += 1
                    self.tell(f"line {number + 1}: {error.why}. {error.fix}")
            if request is not None and self.tell_warnings and first >= start:
                for warning in request.warnings:
                    self.tell(f"line {number + 1}: {warning}")
            for index in range(max(first, start), behind):
                if request is not None:
                    requests.append(replace(request, index=index))
                if (index + 1) % chunk_poems == 0:
                    yield Chunk(requests, index + 1, failed_lines)
                    requests, failed_lines = [], 0
        if requests or failed_lines:
            yield Chunk(requests, behind, failed_lines)

    def place(self, index: int) -> str:
        """Where the poem of that index was asked for, to tell the user."""
        if self.lines is None:
            return f"poem {index + 1}"
        line, j = divmod(index, self.num)
        return f"line {line + 1}" + (f", poem {j + 1}" if self.num > 1 else "")

    def _request(self, line: bytes) -> Request | None:
        """A line of text is a prompt; a JSON object may set any option; a blank line asks nothing."""
        text = _decoded(line)
        if not text:
            return None
        values = _object(text) if text.startswith("{") else {"prompt": text}
        return self.prepare(self.options.updated(values))


def describe_job(
    prompts: Path | None, model: Path, options: Options, **settings: Any
) -> dict[str, Any]:
    """All that decides a job's output but the seed, as JSON values: what makes it the same job."""
    asked = asdict(options)
    del asked["seed"]
    lines = None if prompts is None else _digest(prompts)
    return {"prompts": lines, "model": _digest(model), **settings, **asked}


@contextmanager
def open_lines(path: Path) -> Iterator[Iterable[bytes]]:
    """The lines of a file of prompts, one at a time; `-` is standard input.

    Raises:
        PoetgenError: the file is missing or unreadable.
    """
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise PoetgenError(
            f"{path} cannot be read: {error.strerror}", "Name a file of prompts, one per line."
        ) from error
    with stream:
        yield stream


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UsageError("not UTF-8", "Save the file as UTF-8.") from error


def _object(text: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(text)  # it begins with {
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}", "Correct the line.") from error
    return values


def _digest(path: Path) -> str:
    """Sixteen hex digits that name a file's content."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, partial(hashlib.blake2b, digest_size=8)).hexdigest()
    except OSError as error:
        raise PoetgenError(f"{path} cannot be read: {error.strerror}", "Name another.") from error
