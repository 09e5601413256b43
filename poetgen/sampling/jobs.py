"""A file of prompts → requests, lazily: thousands of lines cost no memory.  Does not import torch.

A line that cannot be used is reported with its number and does not stop the rest.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from poetgen.errors import PoetgenError, UsageError
from poetgen.sampling.prompt import Prompt
from poetgen.sampling.request import Request, Settings, check_settings

_NUMBERS = {"temperature": float, "top_k": int, "top_p": float, "min_p": float, "seed": int}


@dataclass
class Job:
    """The requests of a file's lines, `num` per line; iterate once.

    Poem j of line k (from 0) has index k × num + j; a line that fails uses up its indices, so that
    mending it changes no other poem.
    """

    lines: Iterable[bytes]
    """In UTF-8, with or without a BOM."""
    num: int
    seed: int
    settings: Settings
    prepare: Callable[[str], Prompt]
    tell: Callable[[str], None]
    tell_warnings: bool = False
    """Whether to tell what a prompt's warnings are; a JSON line carries them itself."""
    failed: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[Request]:
        done = 0
        for number, line in enumerate(self.lines):
            if not line.strip():
                continue
            try:
                request = self._request(_decoded(line))
            except PoetgenError as error:
                self.failed += 1
                self.tell(f"line {number + 1}: {error.why}")
                continue
            if self.tell_warnings:
                for warning in request.prompt.warnings:
                    self.tell(f"line {number + 1}: {warning}")
            for j in range(self.num):
                yield replace(request, index=number * self.num + j)
            done += 1
        if not done:
            self.raise_if_lines_failed()  # now, so that no output is replaced by an empty one

    def raise_if_lines_failed(self) -> None:
        """Raise after the work where some of it could not be done.

        Raises:
            PoetgenError: naming how many lines failed; each was reported when it was met.
        """
        if self.failed:
            raise PoetgenError(
                f"{self.failed} lines could not be used (see above); the others, if any, are done",
                "Mend those lines and run the job again; the other poems stay as they are.",
            )

    def _request(self, line: str) -> Request:
        """A line of text is a prompt; a JSON object may set any sampling option beside it."""
        if not line.startswith("{"):
            return Request(self.seed, 0, self.prepare(line), settings=self.settings)
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"not JSON: {error}", "Correct the line.") from error
        prompt = values.pop("prompt", None)
        if prompt is not None and not isinstance(prompt, str):
            raise UsageError(f"prompt is {prompt!r}, not a string", "Correct the line.")
        for key, value in values.items():
            _check_number(key, value)
        seed = values.pop("seed", self.seed)
        settings = check_settings(replace(self.settings, **values))
        return Request(
            seed, 0, Prompt() if prompt is None else self.prepare(prompt), settings=settings
        )


def open_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file of prompts, one at a time; `-` is standard input.

    Raises:
        PoetgenError: the file is missing or unreadable; at once, not at the first line.
    """
    if str(path) == "-":
        return iter(sys.stdin.buffer)
    try:
        return _each_line(path.open("rb"))
    except OSError as error:
        raise PoetgenError(
            f"{path} cannot be read: {error.strerror}", "Name a file of prompts, one per line."
        ) from error


def _each_line(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        yield from stream


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UsageError("not UTF-8", "Save the file as UTF-8.") from error


def _check_number(key: str, value: Any) -> None:
    kind = _NUMBERS.get(key)
    if kind is None:
        raise UsageError(
            f"unknown key {key!r} (known: prompt, {', '.join(_NUMBERS)})", "Correct it."
        )
    fits = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if not fits:
        raise UsageError(f"{key} is {value!r}, not a number", "Correct the line.")
