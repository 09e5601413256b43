"""A prompts file: a prompt per line, or a JSON object with any option of a poem.

Does not import torch.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poetgen.errors import PoetgenError, UsageError
from poetgen.files import read_reason
from poetgen.language import tr
from poetgen.sampling.options import Options, declared_options

PER_CALL = tuple(name for name, option in declared_options().items() if option.per_call)
"""Options that a line cannot set."""

PER_POEM = tuple(name for name in declared_options() if name not in PER_CALL)
"""Options that a line can set."""


@contextmanager
def open_prompts(path: Path) -> Iterator[Iterable[bytes]]:
    """Open a prompts file and yield its lines one at a time; `-` is standard input.

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
            tr("{path} cannot be read: {reason}", path=path, reason=read_reason(error)),
            tr("Name a file of prompts, one per line."),
        ) from error
    with stream:
        yield stream


def parse_prompt_line(line: bytes, defaults: Options) -> Options | None:
    """Return the options of a line, which is UTF-8 with or without a BOM; None for a blank line.

    A line of text is a prompt; a JSON object sets options.

    Raises:
        UsageError: not UTF-8, not JSON, an unknown key, a bad value.
    """
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


def _json_object(text: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(text)  # it begins with {
    except (ValueError, RecursionError) as error:
        raise UsageError(tr("not JSON: {reason}", reason=error), tr("Correct the line.")) from error
    return values
