"""Tables of the tones and rhyme groups of a poem, and of the likelihood of its characters."""

import re
from collections.abc import Iterator, Sequence

from rich.table import Table

from poetgen.prosody.marks import MARKS, split_lines
from poetgen.prosody.phonology import rhymes, tones
from poetgen.prosody.scan import Scan

_CELL = 5
"""Width of a column: "100%" and a space."""
_LINE_WITH_MARKS = re.compile(f"[^{MARKS}]*[{MARKS}]+|[^{MARKS}]+")


def tone_table(lines: Sequence[str], scan: Scan | None) -> Table:
    """Return a table of lines: the tones of their characters, the form's pattern, rhyme groups."""
    table = Table("line", "tones", box=None, pad_edge=False)
    if scan:
        table.add_column("pattern")
    table.add_column("rhyme groups")
    for number, (symbols, groups) in enumerate(_marked(lines, scan)):
        pattern = [scan.lines[number].pattern] if scan else []
        table.add_row(lines[number], "".join(symbols), *pattern, groups)
    return table


def likelihood_table(
    shown: str, text: str, scan: Scan | None, probabilities: Sequence[float], num_given: int
) -> Table:
    """Return a table with three rows per line of a poem: characters, tones, probabilities.

    `shown` is `text` in the script to print; the first `num_given` characters come from the prompt.
    """
    spans = [match.span() for match in _LINE_WITH_MARKS.finditer(text)]
    num_columns = max(end - start for start, end in spans)
    table = Table(box=None, show_header=False, pad_edge=False, padding=0)
    for _ in range(num_columns):
        table.add_column(width=_CELL, justify="right", no_wrap=True)
    table.add_column()
    marked = _marked(split_lines(text), scan)
    for start, end in spans:
        # A text may begin with marks.
        symbols, groups = next(marked) if text[start] not in MARKS else ([], "")
        filler = [""] * (num_columns - (end - start))
        table.add_row(*shown[start:end], *filler, f"  {groups}")
        table.add_row(*symbols)
        percents = (_percent(probabilities[i], i < num_given) for i in range(start, end))
        table.add_row(*percents, end_section=True)
        table.add_row()
    return table


def summary(scan: Scan | None) -> Iterator[str]:
    """Yield one sentence per rule of the form: whether the poem keeps it, and where not."""
    if scan is None:
        yield "none of 五绝 七绝 五律 七律 by its shape"
        return
    rhyme = " ".join(sorted(scan.rhyme)) or "no"
    tone = ("level" if scan.level_rhyme else "oblique") if scan.rhyme else ""
    first = "line 1 too" if scan.first_line_rhymes else ""
    yield f"{scan.form.name}, order {scan.order}"
    yield "even lines rhyme: " + ", ".join(part for part in (rhyme, tone, first) if part)
    broken = "; ".join(
        f"line {number} position {', '.join(map(str, line.breaks))}"
        for number, line in enumerate(scan.lines, start=1)
        if line.breaks
    )
    yield "tone pattern: " + (f"broken at {broken}" if broken else "kept")
    yield "对: " + _positions(scan.opposed, "couplet")
    yield "粘: " + _positions(scan.joined, "joint")
    yield "孤平: " + _positions([not line.lone_level for line in scan.lines], "line", good="none")
    level_ends = [not line.three_level_end for line in scan.lines]
    yield "三平尾: " + _positions(level_ends, "line", good="none")


def percent(probability: float) -> str:
    """Return a probability as a percentage of at most four characters."""
    return f"{probability:.0%}" if probability >= 0.005 else "<1%"


def _marked(lines: Sequence[str], scan: Scan | None) -> Iterator[tuple[list[str], str]]:
    """Yield the tones of each line's characters, and the rhyme groups of its last one, as markup.

    Tones are 平, 仄, 通 (either) or ？ (unknown), red where they break the pattern; groups that all
    rhymes of the poem share are bold.
    """
    shared = scan.rhyme if scan else frozenset()
    for number, line in enumerate(lines):
        symbols = [_tone_symbol(tones(character)) for character in line]
        for position in scan.lines[number].breaks if scan else ():
            symbols[position - 1] = f"[bold red]{symbols[position - 1]}[/]"
        groups = (f"[bold]{g}[/]" if g in shared else g for g in sorted(rhymes(line[-1])))
        yield symbols, " ".join(groups) or "?"


def _tone_symbol(tones: frozenset[str]) -> str:
    if not tones:
        return "？"
    return ("平" if tones == {"平"} else "通") if "平" in tones else "仄"


def _percent(probability: float, was_given: bool) -> str:
    """Return a percentage, dim for a given character, green if likely, yellow if unlikely."""
    style = "green" if probability >= 0.5 else "yellow" if probability < 0.05 else "none"
    return f"[{'dim' if was_given else style}]{percent(probability)}[/]"


def _positions(kept: Sequence[bool], unit: str, good: str = "kept") -> str:
    lost = [str(number) for number, is_kept in enumerate(kept, start=1) if not is_kept]
    if not lost:
        return good
    return f"{'in' if good == 'none' else 'lost at'} {unit} {', '.join(lost)}"
