"""`poetgen scan`."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poetgen.errors import UsageError

if TYPE_CHECKING:
    from poetgen.data.poem import Poem

_FILE_NAME = re.compile(r"\.[A-Za-z]\w*\Z", re.ASCII)
"""What ends like this is the name of a file, no poem."""


def scan(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT|FILE|-",
            help="A poem; or a file of poems (JSON, JSONL, or text with a poem a line); "
            "or - for a poem a line, or JSON lines, on standard input.",
        ),
    ],
) -> None:
    """Show how poems keep to the rules of regulated verse: tones, rhyme, 对, 粘, 孤平, 三平尾.

    Tones and rhymes are those of Middle Chinese. A character with several readings may serve any: 通 is
    level or oblique. The pattern shown is the strict one; only even places and the last are judged. The
    order has a letter per type of line, a capital where the line ends level.
    """
    from rich.console import Console

    from poetgen.cli.verse import summary, tone_table
    from poetgen.prosody.forms import scan as scan_lines

    console = Console(highlight=False)
    num = 0
    for num, poem in enumerate(_poems(text), start=1):
        if num > 1:
            console.print()
        found = scan_lines(poem.lines)
        console.print(tone_table(poem.lines, found))
        for line in summary(found):
            console.print(line)
    if not num:
        raise UsageError("there is no poem to scan", "Give its text, or a file that holds one.")


def _poems(text: str) -> Iterator["Poem"]:
    from poetgen.data.clean import clean_text
    from poetgen.data.poem import Poem
    from poetgen.data.read import RawRecord, read, read_lines

    if text == "-":
        records = read_lines(sys.stdin.buffer.read(), "standard input")
        raw = [record.text for record in records if isinstance(record, RawRecord)]
    elif os.path.isfile(text):  # noqa: PTH113 (Path.is_file raises where a name is too long)
        raw = [record.text for record in read(Path(text)) if isinstance(record, RawRecord)]
    elif _FILE_NAME.search(text):
        raise UsageError(
            f"there is no file {text}", "Name a file that holds poems, or give a poem's text."
        )
    else:
        raw = [text]
    poems = (Poem(clean_text(one)[0]) for one in raw)
    return (poem for poem in poems if poem.lines)
