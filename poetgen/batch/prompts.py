"""A prompts file: a prompt per line, or a JSON object with any option of a poem.

Does not import torch.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poetgen.errors import PoetgenError, UsageError
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
            f"{path} cannot be read: {error.strerror}", "Name a file of prompts, one per line."
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
        raise UsageError("not UTF-8", "Save the file as UTF-8.") from error
    if not text:
        return None
    values = _json_object(text) if text.startswith("{") else {"prompt": text}
    for key in PER_CALL:
        if key in values:
            raise UsageError(f"{key} applies to the whole call", "Set it on the command line.")
    return defaults.updated(values, PER_POEM)


def _json_object(text: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(text)  # it begins with {
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}", "Correct the line.") from error
    return values
