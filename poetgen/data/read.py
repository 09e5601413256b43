"""Files in, raw records out: upstream JSON folders, a single JSON, JSONL, or text with a poem a line.

Knows the layouts and nothing of what makes a good poem.  A record that does not fit is kept as a
`BrokenRecord` with its place, so that the count of what was read always adds up; a file that cannot
be read at all is an error that names it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from poetgen.errors import CorpusError

SUFFIXES = (".json", ".jsonl", ".txt")
_MARKS = "，。！？、；：,.!?;:"  # as they stand in files, before they are folded
_TITLED = re.compile(f"([^{_MARKS}]{{1,30}})[:：](.+)")
_FIX_FILE = "Mend or remove the file; `poetgen corpus fetch` brings damaged corpus files anew."


@dataclass(frozen=True)
class RawRecord:
    """A poem as it stood in its file; `place` is "file: record 3" or "file: line 3"."""

    text: str
    title: str
    author: str
    place: str


@dataclass(frozen=True)
class BrokenRecord:
    """A record that is not a poem of the layout, and why."""

    place: str
    why: str


def read(path: Path) -> Iterator[RawRecord | BrokenRecord]:
    """The records of a file or folder, in an order that is the same on every machine.

    A folder's .json files are read if it has any, else its .jsonl, else its .txt files (so that a
    licence note beside a corpus is not taken for verse).

    Raises:
        CorpusError: nothing there, an unreadable file, truncated JSON, bytes that are not UTF-8.
    """
    for file in corpus_files(path):
        yield from _read_file(file)


def corpus_files(path: Path) -> list[Path]:
    """The files that `read` takes from `path`, numbers in names counted as numbers."""
    try:
        if not path.exists():
            collection = " --collection song" if path.name == "song" else ""
            raise CorpusError(
                f"there is no corpus at {path}",
                f"Fetch it with `poetgen corpus fetch{collection}`, or name a file or folder of poems.",
            )
        if not path.is_dir():
            return [path]
        # Hidden files are a system's own: macOS puts a ._a.json beside an a.json.
        inside = [f for f in path.iterdir() if f.is_file() and not f.name.startswith(".")]
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}", _FIX_FILE) from error
    for suffix in SUFFIXES:
        files = [file for file in inside if file.suffix.lower() == suffix]
        if files:
            return sorted(files, key=_natural_order)
    raise CorpusError(
        f"the folder {path} holds no {', '.join(SUFFIXES)} file",
        "Fetch the corpus with `poetgen corpus fetch`, or name another place with --corpus.",
    )


def read_lines(content: bytes, name: str) -> Iterator[RawRecord | BrokenRecord]:
    """The records of JSON lines if the first line is one, else of a poem a line; `name` is told in errors.

    Raises:
        CorpusError: bytes that are not UTF-8.
    """
    text = _decoded(content, name)
    is_json = text.lstrip().startswith("{")
    yield from _read_jsonl(name, text) if is_json else _read_text(name, text)


def _natural_order(file: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"([0-9]+)", file.name)
    numbers = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
    return numbers, file.name  # the name itself puts 01 and 1 in order


def _read_file(file: Path) -> Iterator[RawRecord | BrokenRecord]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CorpusError(f"{file} cannot be read: {error.strerror}", _FIX_FILE) from error
    text = _decoded(content, str(file))
    if file.suffix.lower() == ".json":
        yield from _read_json(file, text)
    elif file.suffix.lower() == ".jsonl":
        yield from _read_jsonl(file.name, text)
    else:
        yield from _read_text(file.name, text)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{name} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}",
            "Save it as UTF-8 (from GB18030: `iconv -f GB18030 -t UTF-8`) and try again.",
        ) from error


def _read_json(file: Path, text: str) -> Iterator[RawRecord | BrokenRecord]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("{") and str(error).startswith("Extra data"):
            yield from _read_jsonl(file.name, text)  # by another name
            return
        raise CorpusError(f"{file} is not whole JSON: {error}", _FIX_FILE) from error
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise CorpusError(
            f"{file} holds {type(content).__name__}, not a list of poems",
            'Expected [{"title": …, "author": …, "paragraphs": ["…"]}, …].',
        )
    for index, item in enumerate(content):
        yield _record(item, f"{file.name}: record {index}")


def _read_jsonl(name: str, text: str) -> Iterator[RawRecord | BrokenRecord]:
    # Not splitlines: JSON strings may hold U+2028 and other line separators as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}: line {number}"
        try:
            yield _record(json.loads(line), place)
        except (ValueError, RecursionError) as error:
            yield BrokenRecord(place, f"not JSON: {error}")


def _read_text(name: str, text: str) -> Iterator[RawRecord | BrokenRecord]:
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    # 春望：国破山河在，… is a layout in common use; in a verse here and there a colon is a mark.
    is_titled = 2 * sum(_TITLED.match(line) is not None for _, line in lines) > len(lines)
    for number, line in lines:
        titled = _TITLED.match(line) if is_titled else None
        title, poem = titled.groups() if titled else ("", line)
        yield RawRecord(_verse([poem]), title, "", f"{name}: line {number}")


def _record(item: object, place: str) -> RawRecord | BrokenRecord:
    """A record of the upstream layout, or one of `poetgen sample --format jsonl` (key "poem")."""
    if not isinstance(item, dict):
        return BrokenRecord(place, f"expected an object, found {type(item).__name__}")
    title, author = ("" if item.get(key) is None else item[key] for key in ("title", "author"))
    if not isinstance(title, str) or not isinstance(author, str):
        return BrokenRecord(place, "title and author must be strings")
    for key in ("paragraphs", "poem", "text"):
        if key in item:
            body = item[key]
            break
    else:
        return BrokenRecord(place, 'no "paragraphs" (nor "poem" nor "text")')
    if isinstance(body, str):
        return RawRecord(_verse([body]), title, author, place)
    if isinstance(body, list) and all(isinstance(line, str) for line in body):
        return RawRecord(_verse(body), title, author, place)
    return BrokenRecord(place, f'"{key}" must be a string or a list of strings')


def _verse(parts: Sequence[str]) -> str:
    """The text of a poem; where no mark parts its lines, the layout does: then ，and 。 in turn."""
    text = "".join(parts)
    lines = [line for part in parts for line in part.split()]
    if len(lines) < 2 or any(mark in text for mark in _MARKS):
        return text
    return "".join(line + "，。"[number % 2] for number, line in enumerate(lines))
