"""The lines of a job's log: what they record, and how they are written and verified.

A line is a JSON object whose last key, `crc32`, is the CRC-32 of the bytes before it.  Each line is
verified by itself, so that damage to one costs no other.  Format version 1 has no checksums.
"""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from poetgen.files import parse_json
from poetgen.language import tr

FORMAT_VERSION = 2
_CHECKSUM = re.compile(rb', "crc32": "([0-9a-f]{8})"\}\n\Z')
_MAX_OLD_INDEX = 10_000_000
"""Limit of an index that no checksum confirms: memory is reserved for all indices before it."""


@dataclass(frozen=True)
class Header:
    """The description of a job."""

    version: int
    job: Mapping[str, Any]
    seed: int

    def check(self) -> None:
        """Raise ValueError unless all values are possible."""
        _check(self, version=int, job=dict, seed=int)
        if self.version not in (1, FORMAT_VERSION):
            raise ValueError(tr("its version is {version}", version=self.version))


@dataclass(frozen=True)
class Outcome:
    """The result of one poem of a job."""

    index: int
    line: int
    """Digest of its line in the prompts file."""
    text: str = ""
    """The poem as it appears in the output; "": it failed."""
    failure: str = ""
    """Why it could not be generated."""
    is_cut_off: bool = False
    """Whether it was cut off without an end."""
    poem_hash: int | None = None
    """In a job of unique poems: the hash of a poem that was accepted at its first attempt."""

    def check(self) -> None:
        """Raise ValueError unless all values are possible."""
        _check(self, index=int, line=int, text=str, failure=str, is_cut_off=bool)
        if self.poem_hash is not None:
            _check(self, poem_hash=int)
        if not 0 <= self.index < 1 << 48 or not 0 <= self.line < 1 << 64:
            raise ValueError(tr("{key} has an impossible value", key="index"))
        if bool(self.text) == bool(self.failure):
            raise ValueError(tr("it has neither a poem nor a failure, or both"))


@dataclass(frozen=True)
class OutputDigest:
    """The digest of the output, which was written although lines or poems failed."""

    output: str

    def check(self) -> None:
        """Raise ValueError unless all values are possible."""
        _check(self, output=str)


Record = Header | Outcome | OutputDigest


def record_text(record: Record) -> bytes:
    r"""Return the line of a record, without the values that are its defaults.

    >>> record_text(OutputDigest("c0ffee"))
    b'{"output": "c0ffee", "crc32": "0b4d3cc1"}\n'
    """
    required = ("index", "line", "version", "job", "seed")
    values = {key: value for key, value in asdict(record).items() if value or key in required}
    # A lone surrogate, part of a path that is not UTF-8, becomes an escape of JSON.
    text = json.dumps(values, ensure_ascii=False).encode(errors="backslashreplace")[:-1]
    return text + b', "crc32": "%08x"}\n' % zlib.crc32(text)


def parse_record(line: bytes, *, is_old: bool = False) -> Record:
    """Return the record of a line; `is_old`: it belongs to a log of version 1.

    Raises:
        ValueError: The line is not complete, does not match its checksum, or is no record.
    """
    if not line.endswith(b"\n"):
        raise ValueError(tr("its end is missing"))
    checksum = _CHECKSUM.search(line)
    if checksum and zlib.crc32(line[: checksum.start()]) != int(checksum[1], 16):
        raise ValueError(tr("it does not match its checksum"))
    try:
        values = parse_json(line.decode())
    except ValueError as error:
        raise ValueError(tr("it is not JSON")) from error
    if not isinstance(values, dict):
        raise ValueError(tr("it is not a JSON object"))
    if checksum:
        del values["crc32"]
    kind: type[Record] = Header if "version" in values else Outcome
    if "output" in values:
        kind = OutputDigest
    try:
        record = kind(**values)
    except TypeError as error:
        raise ValueError(tr("it has other keys than a record")) from error
    record.check()
    is_old = is_old or (isinstance(record, Header) and record.version == 1)
    if not checksum and not is_old:
        raise ValueError(tr("it has no checksum"))
    if not checksum and isinstance(record, Outcome) and record.index > _MAX_OLD_INDEX:
        raise ValueError(tr("{key} has an impossible value", key="index"))
    return record


def _check(record: Record, **types: type) -> None:
    """Raise ValueError for the first value of `record` that has not the type of its key."""
    for key, expected in types.items():
        found = type(getattr(record, key))
        if found is not expected:
            raise ValueError(
                tr(
                    "{name} is {found}, not {expected}",
                    name=key,
                    found=found.__name__,
                    expected=expected.__name__,
                )
            )
