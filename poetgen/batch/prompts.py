"""A prompts file: a prompt per line, or a JSON object with any option of a poem.

Does not import torch.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from poetgen.errors import PoetgenError, UsageError
from poetgen.files import open_input, parse_json, read_reason
from poetgen.language import tr
from poetgen.sampling.options import Options, declared_options

PER_CALL = tuple(name for name, option in declared_options().items() if option.per_call)
"""Options that a line cannot set."""

MAX_LINE_BYTES = 2**16
"""Bytes of a line; the longest prompt takes a tenth of it."""
_MAX_SKIPPED_BYTES = 2**26
"""Bytes to skip up to the end of a line that is too long; a stream may never have one."""

PER_POEM = tuple(name for name in declared_options() if name not in PER_CALL)
"""Options that a line can set."""


@contextmanager
def open_prompts(path: Path) -> Iterator[Iterable[bytes]]:
    """Open a prompts file and yield its lines one at a time; `-` is standard input.

    Of a line that is too long, one byte more than `MAX_LINE_BYTES` is kept.

    Raises:
        PoetgenError: the file is missing or unreadable, or has a line without an end.
    """
    if str(path) == "-":
        yield _lines(sys.stdin.buffer)
        return
    try:
        stream = open_input(path)
    except OSError as error:
        raise PoetgenError(
            tr("{path} cannot be read: {reason}", path=path, reason=read_reason(error)),
            tr("Name a file of prompts, one per line."),
        ) from error
    with stream:
        yield _lines(stream)


def parse_prompt_line(line: bytes, defaults: Options) -> Options | None:
    """Return the options of a line, which is UTF-8 with or without a BOM; None for a blank line.

    A line of text is a prompt; a JSON object sets options.

    Raises:
        UsageError: too long, not UTF-8, not JSON, an unknown key, a bad value.
    """
    if len(line) > MAX_LINE_BYTES:
        raise UsageError(
            tr("the line has more than {limit:,} bytes", limit=MAX_LINE_BYTES),
            tr("Shorten the line; give one prompt per line."),
        )
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UsageError(tr("not UTF-8"), tr("Save the file as UTF-8.")) from error
    if not text:
        return None
    if text.startswith("[") and text.endswith("]"):
        raise UsageError(tr("not a JSON object"), tr("Correct the line."))
    values = _json_object(text) if text.startswith("{") else {"prompt": text}
    for key in PER_CALL:
        if key in values:
            raise UsageError(
                tr("{key} applies to the whole call", key=key), tr("Set it on the command line.")
            )
    return defaults.updated(values, PER_POEM)


def line_digest(line: bytes | None) -> int:
    """Return 8 bytes that identify the content of a line; None: there are no prompts.

    >>> line_digest(b" cloud ") == line_digest(b"cloud") != line_digest(b"moon")
    True
    """
    return int.from_bytes(hashlib.blake2b((line or b"").strip(), digest_size=8).digest())


def poem_keys(prompts: Path | None, num: int) -> Iterator[tuple[int, int]]:
    """Yield, for each poem that a job asks for, its index and the digest of its line.

    Poem j of line k (from 0) has index k × `num` + j.  Blank lines ask for none.

    Raises:
        PoetgenError: the file is missing or unreadable.
    """
    if prompts is None:
        yield from ((index, line_digest(None)) for index in range(num))
        return
    with open_prompts(prompts) as lines:
        for number, line in enumerate(lines):
            if line.strip():
                digest = line_digest(line)
                yield from ((number * num + j, digest) for j in range(num))


def count_poems(prompts: Path | None, num: int) -> int | None:
    """Return how many poems a job asks for; None if its prompts can be read only once."""
    if prompts is None:
        return num
    return sum(1 for _ in poem_keys(prompts, num)) if prompts.is_file() else None


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream in bounded memory; see `open_prompts`."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line
        num_skipped, end = 0, line
        while len(end) > MAX_LINE_BYTES and not end.endswith(b"\n"):
            end = stream.readline(MAX_LINE_BYTES + 1)
            num_skipped += len(end)
            if num_skipped > _MAX_SKIPPED_BYTES:
                raise PoetgenError(
                    tr("a line of prompts has no end within {limit:,} bytes", limit=num_skipped),
                    tr("Name a file of prompts, one per line."),
                )


def _json_object(text: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = parse_json(text)  # it begins with {
    except ValueError as error:
        raise UsageError(tr("not JSON: {reason}", reason=error), tr("Correct the line.")) from error
    return values
