"""Poems made fit to be seen: laid out as verse, as JSON lines, explained, or character by character."""

import io
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console

from poetgen.cli.options import OutputFormat, Script
from poetgen.cli.verse import likelihood_table, percent, summary
from poetgen.data.normalise import to_traditional
from poetgen.data.poem import MARKS, STOPS, Poem
from poetgen.prosody.forms import form_of, scan
from poetgen.sampling.request import NO_CONSTRAINTS, Request

if TYPE_CHECKING:
    from poetgen.sampling.decode import Sample

_FILE_WIDTH = 100
"""Columns of a table that goes into a file: the width of the terminal is no concern of it."""


@dataclass(frozen=True)
class Page:
    """How poems are to look, wherever they go."""

    output_format: OutputFormat
    script: Script
    model: str
    """Name of the model file, for the JSON lines."""
    explain: bool = False
    output: Path | None = None
    """None: standard output, which may be a terminal that has colours."""

    @property
    def is_text(self) -> bool:
        return self.output_format is OutputFormat.text

    @property
    def settings(self) -> dict[str, str | bool]:
        """All that decides what is written of a poem, by the names of the options."""
        return {
            "format": self.output_format.value,
            "script": self.script.value,
            "explain": self.explain,
        }

    def text(self, sample: "Sample", *, is_first: bool) -> str:
        """The poem as it is written out; a blank line stands between poems of text."""
        if not self.is_text:
            return json.dumps(as_record(sample, self), ensure_ascii=False) + "\n"
        gap = "" if is_first else "\n"
        poem = Poem(in_script(sample.poem.text, self.script)).laid_out() + "\n"
        return gap + poem + (f"\n{self._explained(sample)}" if self.explain else "")

    def _explained(self, sample: "Sample") -> str:
        poem = sample.poem
        found = scan(poem.lines)
        shown = in_script(poem.text, self.script)
        chances = probabilities(sample)
        num_given = len(sample.request.prompt.text)
        end = f"; of the end {percent(chances[-1])}" if sample.ended else ""
        console = (
            Console(highlight=False)
            if self.output is None
            else Console(file=io.StringIO(), width=_FILE_WIDTH, highlight=False)
        )
        with console.capture() as capture:
            console.print(likelihood_table(shown, poem.text, found, chances, num_given))
            for line in summary(found):
                console.print(line)
            console.print(f"%: the model's own probability of each character{end}")
        return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())


class LiveVerse:
    """A poem that is printed as it comes into being, a couplet a row.

    Traditional characters appear line by line, for their spelling hangs on the words around them.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._rows = [""]
        self._held = ""

    def show(self, characters: Iterable[str]) -> None:
        for character in characters:
            self._held += character
            if self._script is Script.simplified or character in MARKS:
                self._put_held()
        self._put_held()
        if self._rows[-1]:
            sys.stdout.write("\n")

    def take_back(self) -> None:
        """Wipe the poem off the terminal: it met a dead end and is begun anew."""
        columns = get_terminal_size().columns
        heights = [max(1, math.ceil(cell_len(row) / columns)) for row in self._rows]
        up = f"\x1b[{sum(heights) - 1}A" if sum(heights) > 1 else ""
        sys.stdout.write(f"{up}\r\x1b[J")
        sys.stdout.flush()
        self._rows, self._held = [""], ""

    def _put_held(self) -> None:
        piece = in_script(self._held, self._script)
        self._held = ""
        if not piece:
            return
        sys.stdout.write(piece)
        self._rows[-1] += piece
        if piece[-1] in STOPS:
            sys.stdout.write("\n")
            self._rows.append("")
        sys.stdout.flush()


def as_record(sample: "Sample", page: Page) -> dict[str, Any]:
    """The JSON object of a poem; docs/design.md says what each key holds."""
    poem = Poem(in_script(sample.poem.text, page.script))
    explained = {"probabilities": [round(p, 4) for p in probabilities(sample)]}
    return {
        "index": sample.request.index,
        "prompt": sample.request.prompt.text,
        "poem": poem.text,
        "lines": list(poem.lines),
        "form": form_of(poem.lines),
        "seed": sample.request.seed,
        "temperature": sample.request.settings.temperature,
        "nats_per_token": round(sample.likelihood.nats_per_token, 4),
        "constraints": asked(sample.request),
        "warnings": list(sample.warnings),
        "model": page.model,
    } | (explained if page.explain else {})


def asked(request: Request) -> dict[str, str | bool]:
    """What was imposed on a poem or told to the model of it, by the names of the options."""
    told = {key: value for key, value in asdict(request.conditions).items() if value}
    imposed = {
        key: value
        for key, value in asdict(request.constraints).items()
        if value != getattr(NO_CONSTRAINTS, key)
    }
    is_soft = bool(request.conditions.form and not request.constraints.form)
    return told | imposed | ({"soft": True} if is_soft else {})


def probabilities(sample: "Sample") -> list[float]:
    """The model's own probability of each character of the poem, and of the end where it has one."""
    return [math.exp(-choice.nats) for choice in sample.choices]


def in_script(text: str, script: Script) -> str:
    return text if script is Script.simplified else to_traditional(text)
