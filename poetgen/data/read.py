"""Read raw records: upstream JSON folders, single JSON files, JSONL, or text with one poem per line.

Handles file layouts only; `clean` judges the content.  A record that does not fit its layout, or is too
long, becomes a `BrokenRecord` with its location, so that counts add up.  A file that cannot be read is an
error.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from poetgen.errors import CorpusError
from poetgen.files import check_input, parse_json, read_input, read_reason
from poetgen.language import tr, tr_noop

SUFFIXES = (".json", ".jsonl", ".txt")
MAX_TEXT = 10_000
"""Characters of a record's text, title or author; the longest poem of the Tang has 1,666."""
_MARKS = "，。！？、；：,.!?;:"  # in files, before normalization
_TITLED = re.compile(f"([^{_MARKS}]{{1,30}})[:：](.+)")
_FIX_FILE = tr_noop(
    "Repair or remove the file; `poetgen corpus fetch` replaces damaged corpus files."
)


@dataclass(frozen=True)
class RawRecord:
    """A poem as spelled in its file; `location` is "file: record 3" or "file: line 3"."""

    text: str
    title: str
    author: str
    location: str


@dataclass(frozen=True)
class BrokenRecord:
    """A record that does not fit the layout, and why."""

    location: str
    why: str


def read(path: Path) -> Iterator[RawRecord | BrokenRecord]:
    """Yield the records of a file or folder, in the same order on every machine.

    A folder's .json files are read if it has any, else its .jsonl, else its .txt files (so that a
    license file in a corpus folder is not read as verse).

    Raises:
        CorpusError: the path is missing, or a file is unreadable, truncated or not UTF-8.
    """
    for file in corpus_files(path):
        yield from _read_file(file)


def corpus_files(path: Path) -> list[Path]:
    """Return the files that `read` reads from `path`, in natural order of their names."""
    try:
        if not path.exists():
            option = " --collection song" if path.name == "song" else ""
            raise CorpusError(
                tr("there is no corpus at {path}", path=path),
                tr(
                    "Fetch it with `{command}`, or name a file or folder of poems.",
                    command=f"poetgen corpus fetch{option}",
                ),
            )
        if not path.is_dir():
            check_input(path)
            return [path]
        # Hidden files belong to the system: macOS creates ._a.json for a.json.
        inside = [f for f in path.iterdir() if f.is_file() and not f.name.startswith(".")]
    except OSError as error:
        raise _unreadable(path, error) from error
    for suffix in SUFFIXES:
        files = [file for file in inside if file.suffix.lower() == suffix]
        if files:
            return sorted(files, key=_natural_order)
    raise CorpusError(
        tr(
            "the folder {path} contains no {suffixes} file", path=path, suffixes=", ".join(SUFFIXES)
        ),
        tr("Fetch the corpus with `poetgen corpus fetch`, or name another path with --corpus."),
    )


def read_lines(content: bytes, name: str) -> Iterator[RawRecord | BrokenRecord]:
    """Yield the records of JSON Lines if `content` begins with {, else of text with a poem per line.

    `name` names the source in locations and errors.

    Raises:
        CorpusError: `content` is not UTF-8.
    """
    text = decoded(content, name)
    is_json = text.lstrip().startswith("{")
    yield from _read_jsonl(name, text) if is_json else _read_text(name, text)


def _natural_order(file: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"([0-9]+)", file.name)
    numbers = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
    return numbers, file.name  # the name breaks ties such as 01 and 1


def _read_file(file: Path) -> Iterator[RawRecord | BrokenRecord]:
    try:
        content = read_input(file)
    except OSError as error:
        raise _unreadable(file, error) from error
    text = decoded(content, str(file))
    if file.suffix.lower() == ".json":
        yield from _read_json(file, text)
    elif file.suffix.lower() == ".jsonl":
        yield from _read_jsonl(file.name, text)
    else:
        yield from _read_text(file.name, text)


def _unreadable(path: Path, error: OSError) -> CorpusError:
    return CorpusError(
        tr("{path} cannot be read: {cause}", path=path, cause=read_reason(error)), tr(_FIX_FILE)
    )


def decoded(content: bytes, name: str) -> str:
    """Return `content` as text.

    Raises:
        CorpusError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            tr(
                "{file} is not UTF-8: byte {position} is {byte:#04x}",
                file=name,
                position=error.start,
                byte=error.object[error.start],
            ),
            tr("Save it as UTF-8 (from GB18030: `iconv -f GB18030 -t UTF-8`) and try again."),
        ) from error


def _read_json(file: Path, text: str) -> Iterator[RawRecord | BrokenRecord]:
    try:
        content = parse_json(text)
    except ValueError as error:
        if text.lstrip().startswith("{") and str(error).startswith("Extra data"):
            yield from _read_jsonl(file.name, text)  # JSON Lines with the suffix .json
            return
        raise CorpusError(
            tr("{file} is not complete JSON: {cause}", file=file, cause=error), tr(_FIX_FILE)
        ) from error
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise CorpusError(
            tr(
                "{file} contains {type}, not a list of poems",
                file=file,
                type=type(content).__name__,
            ),
            tr(
                "Expected a layout such as {example}.",
                example='[{"title": …, "author": …, "paragraphs": ["…"]}, …]',
            ),
        )
    for index, item in enumerate(content):
        yield _record(item, tr("{file}: record {num}", file=file.name, num=index))


def _read_jsonl(name: str, text: str) -> Iterator[RawRecord | BrokenRecord]:
    # Not splitlines: JSON strings may contain U+2028 and other line separators.
    for number, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        location = _line_location(name, number)
        try:
            yield _record(parse_json(row), location)
        except ValueError as error:
            yield BrokenRecord(location, tr("not JSON: {cause}", cause=error))


def _line_location(name: str, number: int) -> str:
    return tr("{file}: line {num}", file=name, num=number)


def _read_text(name: str, text: str) -> Iterator[RawRecord | BrokenRecord]:
    stanzas: list[list[tuple[int, str]]] = [[]]
    for number, row in enumerate(text.splitlines(), start=1):
        if not row.strip():
            stanzas.append([])
        elif not row.startswith("#"):
            stanzas[-1].append((number, row.strip()))
    rows = [row for stanza in stanzas for row in stanza]
    if _are_poems(stanzas):
        for stanza in filter(None, stanzas):
            number, _first = stanza[0]
            yield _raw([row for _, row in stanza], "", "", _line_location(name, number))
        return
    # 春望：国破山河在，… is a common layout; where only some rows have a colon, it is punctuation.
    is_titled = 2 * sum(_TITLED.match(row) is not None for _, row in rows) > len(rows)
    for number, row in rows:
        titled = _TITLED.match(row) if is_titled else None
        title, poem = titled.groups() if titled else ("", row)
        yield _raw([poem], title, "", _line_location(name, number))


def _are_poems(stanzas: Sequence[Sequence[tuple[int, str]]]) -> bool:
    """Return whether blank lines part poems of several rows, as in the text that `sample` prints.

    Most rows then hold two lines of verse at most, and most stanzas have several rows.
    """
    filled = [stanza for stanza in stanzas if stanza]
    rows = [row for stanza in filled for _, row in stanza]
    num_short = sum(sum(row.count(mark) for mark in _MARKS) <= 2 for row in rows)
    num_long = sum(len(stanza) > 1 for stanza in filled)
    return len(filled) > 1 and 2 * num_short > len(rows) and 2 * num_long > len(filled)


def _record(item: object, location: str) -> RawRecord | BrokenRecord:
    """Return a record of the upstream layout or of `poetgen sample --format jsonl` (key "poem")."""
    if not isinstance(item, dict):
        found = type(item).__name__
        return BrokenRecord(location, tr("expected an object, found {type}", type=found))
    title, author = ("" if item.get(key) is None else item[key] for key in ("title", "author"))
    if not isinstance(title, str) or not isinstance(author, str):
        return BrokenRecord(location, tr("title and author must be strings"))
    for key in ("paragraphs", "poem", "text"):
        if key in item:
            body = item[key]
            break
    else:
        return BrokenRecord(location, tr('no "paragraphs" (nor "poem" nor "text")'))
    if isinstance(body, str):
        return _raw([body], title, author, location)
    if isinstance(body, list) and all(isinstance(line, str) for line in body):
        return _raw(body, title, author, location)
    return BrokenRecord(location, tr('"{key}" must be a string or a list of strings', key=key))


def _raw(parts: Sequence[str], title: str, author: str, location: str) -> RawRecord | BrokenRecord:
    """Return the record of a poem in `parts`; a broken one if it is too long."""
    num = max(sum(map(len, parts)), len(title), len(author))
    if num > MAX_TEXT:
        why = tr("{num:,} characters, more than {limit:,}", num=num, limit=MAX_TEXT)
        return BrokenRecord(location, why)
    return RawRecord(_verse(parts), title, author, location)


def _verse(parts: Sequence[str]) -> str:
    """Return the text of a poem; if it has no marks, add ，and 。 to its rows in turn."""
    text = "".join(parts)
    lines = [line for part in parts for line in part.split()]
    if len(lines) < 2 or any(mark in text for mark in _MARKS):
        return text
    return "".join(line + "，。"[number % 2] for number, line in enumerate(lines))
