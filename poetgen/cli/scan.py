"""`poetgen scan`."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poetgen.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from poetgen.data.poem import Poem
    from poetgen.prosody.forms import Scan


def scan(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT|FILE|-",
            help="A poem; or a file of poems (JSON, JSONL, or text with a poem a line); "
            "or - for a poem a line on standard input.",
        ),
    ],
) -> None:
    """Show how poems keep to the rules of regulated verse: tones, rhyme, 对, 粘, 孤平, 三平尾.

    Tones and rhymes are those of Middle Chinese. A character with several readings may serve any.
    """
    from rich.console import Console

    from poetgen.prosody.forms import scan as scan_lines

    console = Console(highlight=False)
    num = 0
    for num, poem in enumerate(_poems(text), start=1):
        if num > 1:
            console.print()
        found = scan_lines(poem.lines)
        console.print(_table(poem, found))
        for line in _summary(found) if found else ["none of 五绝 七绝 五律 七律 by its shape"]:
            console.print(line)
    if not num:
        raise UsageError("there is no poem to scan", "Give its text, or a file that holds one.")


def _poems(text: str) -> Iterator["Poem"]:
    from poetgen.data.clean import clean_text
    from poetgen.data.poem import Poem
    from poetgen.data.read import RawRecord, read

    if text == "-":
        raw = [line for line in sys.stdin if line.strip()]
    elif os.path.isfile(text):  # noqa: PTH113 (Path.is_file raises where a name is too long)
        raw = [record.text for record in read(Path(text)) if isinstance(record, RawRecord)]
    else:
        raw = [text]
    poems = (Poem(clean_text(one)[0]) for one in raw)
    return (poem for poem in poems if poem.lines)


def _table(poem: "Poem", found: "Scan | None") -> "Table":
    """The lines with each character's tone below it; a place that breaks the pattern in brackets."""
    from rich.table import Table

    from poetgen.prosody.phonology import readings, tones

    table = Table("line", "tones", box=None, pad_edge=False)
    if found:
        table.add_column("pattern")
    table.add_column("rhyme groups")
    for number, line in enumerate(poem.lines):
        scanned = found.lines[number] if found else None
        breaks = scanned.breaks if scanned else ()
        marks = (_mark(tones(c), place in breaks) for place, c in enumerate(line, start=1))
        groups = sorted({reading.rhyme for reading in readings(line[-1])})
        pattern = [scanned.pattern] if scanned else []
        table.add_row(line, "".join(marks), *pattern, " ".join(groups) or "?")
    return table


def _mark(tones: frozenset[str], is_break: bool) -> str:
    """平, 仄, 通 (may be either) or ？ (unknown); red where it breaks the pattern."""
    if not tones:
        mark = "？"
    elif tones == {"平"}:
        mark = "平"
    else:
        mark = "通" if "平" in tones else "仄"
    return f"[bold red]{mark}[/]" if is_break else mark


def _summary(found: "Scan") -> Iterator[str]:
    rhyme = " ".join(sorted(found.rhyme)) or "no"
    tone = ("level" if found.level_rhyme else "oblique") if found.rhyme else ""
    first = "line 1 too" if found.first_line_rhymes else ""
    yield f"{found.form.name}, order {found.order}"
    yield "even lines rhyme: " + ", ".join(part for part in (rhyme, tone, first) if part)
    broken = [
        f"line {number} place {', '.join(map(str, line.breaks))}"
        for number, line in enumerate(found.lines, start=1)
        if line.breaks
    ]
    yield "tone pattern: " + ("broken at " + "; ".join(broken) if broken else "kept")
    yield "对: " + _places(found.opposed, "couplet")
    yield "粘: " + _places(found.joined, "joint")
    yield "孤平: " + _places([not line.lone_level for line in found.lines], "line", good="none")
    level_ends = [not line.three_level_end for line in found.lines]
    yield "三平尾: " + _places(level_ends, "line", good="none")


def _places(kept: Sequence[bool], unit: str, good: str = "kept") -> str:
    lost = [str(number) for number, is_kept in enumerate(kept, start=1) if not is_kept]
    if not lost:
        return good
    return f"{'in' if good == 'none' else 'lost at'} {unit} {', '.join(lost)}"
