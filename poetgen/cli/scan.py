"""`poetgen scan`."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poetgen.cli.options import JsonOption
from poetgen.errors import CorpusError, UsageError, shorten
from poetgen.files import is_special, read_input, read_reason, read_stream
from poetgen.language import tr
from poetgen.terminal import json_text

if TYPE_CHECKING:
    from poetgen.data.poem import Poem

_FILE_NAME = re.compile(r"\.[A-Za-z]\w*\Z", re.ASCII)
"""A text with such an ending is the name of a file, not a poem."""


def scan(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT|FILE|-",
            help="A poem as you paste it, with or without marks, title and author; a file of poems "
            "(JSON, JSONL, or text); or - to read text or JSON Lines from standard input.",
        ),
    ],
    any_reading: Annotated[
        bool,
        typer.Option(
            "--any-reading",
            help="Count all readings of the rhyme book, also those that Tang poets hardly used.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how poems keep the rules of regulated verse: tones, rhyme, 失对, 失粘, 孤平, 三平尾.

    Tones and rhymes are those of Middle Chinese. A character with several readings may take any that
    Tang poets used: 通 is level or oblique. The pattern shown is strict, but only even positions and the
    last are checked; an oblique tone that the next line makes up for (拗救) is no break. The order has one
    letter per line type, a capital if the line ends level. Of a poem in none of the four forms (五绝 七绝
    五律 七律), only tones and rhyme groups are shown.

    In pasted text a line break or a space ends a line of verse. Title and author are set aside: 静夜思,
    《静夜思》 李白, [唐] 李白, 作者：李白. A title begins a new poem, and so does a blank line between two
    poems in form. Text has a poem per line if most lines hold three lines of verse or more.
    """
    from poetgen.prosody.scan import scan as scan_lines
    from poetgen.views.scansion import legend, summary, to_json, tone_table

    poems = _read_poems(text)
    if not poems:
        raise UsageError(
            tr("there is no poem to scan"), tr("Give its text, or a file that contains one.")
        )
    scans = [scan_lines(poem.lines, any_reading=any_reading) for poem in poems]
    if as_json:
        records = [
            to_json(poem, result, any_reading=any_reading)
            for poem, result in zip(poems, scans, strict=True)
        ]
        typer.echo(json_text(records))
        return
    from rich.console import Console
    from rich.text import Text

    from poetgen.views.visible import Visible

    console = Console(highlight=False)
    for poem, result in zip(poems, scans, strict=True):
        if poem.title or poem.author:
            title = f"《{poem.title}》" if poem.title else ""
            heading = " ".join(filter(None, [title, poem.author]))
            console.print(Visible(Text(heading)))
        console.print(
            Visible(tone_table(poem.lines, result, console.width, any_reading=any_reading))
        )
        console.print(*summary(result, poem.lines), "", sep="\n")
    console.print(*legend(scans), sep="\n")


def _read_poems(text: str) -> list["Poem"]:
    from poetgen.data.paste import poems_in, read_poems
    from poetgen.data.read import decoded, read

    if text == "-":
        name = tr("standard input")
        try:
            return read_poems(decoded(read_stream(sys.stdin.buffer), name))
        except OSError as error:
            raise _unreadable(name, error) from error
    path = Path(text)
    # os.path, not Path: it returns False for a name that is too long or contains a NUL.
    if not os.path.isfile(text) and not is_special(path):  # noqa: PTH113
        if _FILE_NAME.search(text) and "\n" not in text:
            raise UsageError(
                tr("there is no file {name}", name=shorten(text)),
                tr("Name a file of poems, or give a poem's text."),
            )
        return read_poems(text)
    if path.suffix.lower() in (".json", ".jsonl"):
        return poems_in(read(path))
    try:
        content = read_input(path)
    except OSError as error:
        raise _unreadable(text, error) from error
    return read_poems(decoded(content, text))


def _unreadable(name: str, error: OSError) -> CorpusError:
    return CorpusError(
        tr("{name} cannot be read: {reason}", name=name, reason=read_reason(error)),
        tr("Check the file and its permissions."),
    )
