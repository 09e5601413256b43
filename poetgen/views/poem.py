"""Poems as people and programs read them: verse, JSON lines, explained, or character by character."""

import io
import math
import sys
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from poetgen.data.normalize import to_traditional
from poetgen.data.poem import Poem
from poetgen.language import tr
from poetgen.prosody.forms import form_of
from poetgen.prosody.marks import MARKS, STOPS
from poetgen.sampling.options import CONDITION, VERSE, Options, declared_options
from poetgen.terminal import for_stdout, json_text, visible

if TYPE_CHECKING:
    from poetgen.sampling.generator import Sample

_FILE_WIDTH = 100
"""Columns of a table in a file, where the terminal's width does not matter."""


class Script(StrEnum):
    """Which characters to print."""

    simplified = "simplified"
    traditional = "traditional"


class OutputFormat(StrEnum):
    """How to print poems."""

    text = "text"
    jsonl = "jsonl"


@dataclass(frozen=True)
class PoemFormatter:
    """Makes the text of finished poems."""

    output_format: OutputFormat
    script: Script
    model: str
    """Name of the model, for the JSON lines."""
    model_hash: str = ""
    """Digest of the model file, for the JSON lines; "": they are not asked for."""
    explain: bool = False
    to_terminal: bool = True
    """Whether the text may go to a terminal, which has colors and a width; otherwise to a file."""

    @property
    def is_text(self) -> bool:
        return self.output_format is OutputFormat.text

    @property
    def needs_likelihood(self) -> bool:
        """Whether the text tells how likely a poem is."""
        return self.explain or not self.is_text

    @property
    def settings(self) -> dict[str, str | bool]:
        """All that determines the text of a poem, by the names of the options."""
        texts = {"format": self.output_format.value, "script": self.script.value}
        return {**texts, "explain": self.explain}

    @property
    def separator(self) -> str:
        """The text between two poems: a blank line, unless they are JSON lines."""
        return "\n" if self.is_text else ""

    def text(self, sample: "Sample") -> str:
        """Return the poem as printed."""
        if not self.is_text:
            return json_text(self.record(sample), indent=None) + "\n"
        poem = Poem(to_script(sample.poem.text, self.script)).formatted() + "\n"
        if self.to_terminal:
            poem = for_stdout(poem, keep="\n")
        return poem + (f"\n{self._explanation(sample)}" if self.explain else "")

    def record(self, sample: "Sample") -> dict[str, Any]:
        """Return the JSON object of a poem; docs/reference/json.md describes its keys."""
        poem = Poem(to_script(sample.poem.text, self.script))
        request = sample.request
        record = {
            "index": request.index,
            "prompt": request.prompt.text,
            "poem": poem.text,
            "lines": list(poem.lines),
            "form": form_of(poem.lines),
            "seed": request.seed,
            "temperature": request.options.temperature,
            "nats_per_token": round(sample.likelihood.nats_per_token, 4),
            "constraints": constraints_dict(request.options),
            "warnings": list(sample.warnings),
            "model": self.model,
            "model_hash": self.model_hash,
        }
        if self.explain:
            record["probabilities"] = [round(p, 4) for p in probabilities(sample)]
        return record

    def _explanation(self, sample: "Sample") -> str:
        from rich.console import Console

        from poetgen.prosody.scan import scan
        from poetgen.views.scansion import likelihood_table, percent, summary
        from poetgen.views.visible import Visible

        text, probs = sample.poem.text, probabilities(sample)
        any_reading = sample.request.options.any_reading
        scansion = scan(sample.poem.lines, any_reading=any_reading)
        shown, num_given = to_script(text, self.script), len(sample.request.prompt.text)
        table = likelihood_table(shown, text, scansion, probs, num_given, any_reading=any_reading)
        note = tr("%: the model's own probability of each character")
        if sample.ended:
            note += tr("; of the end {percent}", percent=percent(probs[-1]))
        file, width = (None, None) if self.to_terminal else (io.StringIO(), _FILE_WIDTH)
        console = Console(file=file, width=width, highlight=False)
        with console.capture() as capture:
            console.print(Visible(table), *summary(scansion, sample.poem.lines), note, sep="\n")
        return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())


@dataclass
class StreamPrinter:
    """Prints a poem while it is generated, a couplet per row.

    Traditional characters appear line by line, for their spelling depends on the words around them.
    """

    script: Script
    is_live: bool
    """Whether anything is printed before the end; a pipe cannot be erased."""
    _rows: list[str] = field(default_factory=lambda: [""])
    _pending: str = ""

    def add(self, text: str) -> None:
        """Print the next character; "" is the end of the poem, which completes the last row."""
        self._pending += text
        is_simplified = self.script is Script.simplified
        is_end = not text
        if not (is_end or (self.is_live and (is_simplified or text in MARKS))):
            return
        for character in self._pending if is_simplified else to_traditional(self._pending):
            is_safe = character.isprintable() or not sys.stdout.isatty()
            shown = character if is_safe else visible(character)
            sys.stdout.write(shown)
            self._rows[-1] += shown
            if character in STOPS:
                sys.stdout.write("\n")
                self._rows.append("")
        if is_end and self._rows[-1]:
            sys.stdout.write("\n")
        self._pending = ""
        sys.stdout.flush()

    def restart(self) -> None:
        """Erase the poem from the terminal: it is generated again."""
        from rich.cells import cell_len

        if self.is_live:
            columns = get_terminal_size().columns
            height = sum(max(1, math.ceil(cell_len(row) / columns)) for row in self._rows)
            up = f"\x1b[{height - 1}A" if height > 1 else ""
            sys.stdout.write(f"{up}\r\x1b[J")
            sys.stdout.flush()
        self._rows, self._pending = [""], ""


def constraints_dict(options: Options) -> dict[str, Any]:
    """Return what is enforced and what the model is conditioned on, by the names of the options."""
    values = asdict(options) | {"rhyme": options.rhyme or bool(options.rhyme_group)}
    return {
        name: values[name]
        for name, option in declared_options().items()
        if option.group in (VERSE, CONDITION) and values[name] != getattr(Options, name)
    }


def probabilities(sample: "Sample") -> list[float]:
    """Return the model's own probability of each character, and of the end where the poem has one."""
    return [math.exp(-step.nats) for step in sample.tokens]


def to_script(text: str, script: Script) -> str:
    """Return `text`, which is simplified, in `script`."""
    return text if script is Script.simplified else to_traditional(text)
