"""`poetgen scan`."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poetgen.errors import UsageError

if TYPE_CHECKING:
    from poetgen.data.poem import Poem

_FILE_NAME = re.compile(r"\.[A-Za-z]\w*\Z", re.ASCII)
"""A text with such an ending is the name of a file, not a poem."""


def scan(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT|FILE|-",
            help="A poem; a file of poems (JSON, JSONL, or text with a poem per line); "
            "or - to read a poem per line, or JSON Lines, from standard input.",
        ),
    ],
) -> None:
    """Show how poems keep the rules of regulated verse: tones, rhyme, 对, 粘, 孤平, 三平尾.

    Tones and rhymes are those of Middle Chinese. A character with several readings may take any: 通 is
    level or oblique. The pattern shown is strict, but only even positions and the last are checked. The
    order has one letter per line type, a capital if the line ends level.
    """
    from rich.console import Console

    from poetgen.prosody.scan import scan as scan_lines
    from poetgen.views.scansion import summary, tone_table

    poems = _read_poems(text)
    if not poems:
        raise UsageError("there is no poem to scan", "Give its text, or a file that contains one.")
    console = Console(highlight=False)
    for index, poem in enumerate(poems):
        if index:
            console.print()
        result = scan_lines(poem.lines)
        console.print(tone_table(poem.lines, result), *summary(result), sep="\n")


def _read_poems(text: str) -> list["Poem"]:
    from poetgen.data.clean import clean_text
    from poetgen.data.poem import Poem
    from poetgen.data.read import RawRecord, read, read_lines

    if text == "-":
        records = read_lines(sys.stdin.buffer.read(), "standard input")
    elif os.path.isfile(text):  # noqa: PTH113 (Path.is_file raises if a name is too long)
        records = read(Path(text))
    elif _FILE_NAME.search(text):
        raise UsageError(f"there is no file {text}", "Name a file of poems, or give a poem's text.")
    else:
        records = iter([RawRecord(text, "", "", "")])
    texts = [clean_text(r.text)[0] for r in records if isinstance(r, RawRecord)]
    return [poem for poem in map(Poem, texts) if poem.lines]
