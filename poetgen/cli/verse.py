"""A poem laid open: tones, rhyme groups, what breaks the pattern, and how likely the model found it."""

import re
from collections.abc import Iterator, Sequence

from rich.table import Table

from poetgen.data.poem import MARKS
from poetgen.prosody.forms import Scan
from poetgen.prosody.phonology import readings, tones

_CELL = 5
"""Columns of a character and its figures: "100%" and a space."""
_LINE_WITH_MARKS = re.compile(f"[^{MARKS}]*[{MARKS}]+|[^{MARKS}]+")


def tone_table(lines: Sequence[str], found: Scan | None) -> Table:
    """The lines with the tones of their characters and the pattern that the form asks for."""
    table = Table("line", "tones", box=None, pad_edge=False)
    if found:
        table.add_column("pattern")
    table.add_column("rhyme groups")
    for number, line in enumerate(lines):
        pattern = [found.lines[number].pattern] if found else []
        table.add_row(line, "".join(_marks(line, number, found)), *pattern, _groups(line, found))
    return table


def likelihood_table(
    shown: str, text: str, found: Scan | None, probabilities: Sequence[float], num_given: int
) -> Table:
    """Per line of a poem a row of characters, one of tones and one of probabilities.

    `shown` is `text` in the script to print; the first `num_given` characters were not chosen.
    """
    spans = [match.span() for match in _LINE_WITH_MARKS.finditer(text)]
    table = Table(box=None, show_header=False, pad_edge=False, padding=0)
    for _ in range(max(end - start for start, end in spans)):
        table.add_column(width=_CELL, justify="right", no_wrap=True)
    table.add_column()
    number = 0
    for start, end in spans:
        line = text[start:end].rstrip(MARKS)
        filler = [""] * (len(table.columns) - 1 - (end - start))
        groups = "  " + _groups(line, found) if line else ""
        marks = _marks(line, number, found) if line else []
        number += bool(line)
        percents = (_percent(probabilities[i], i < num_given) for i in range(start, end))
        table.add_row(*shown[start:end], *filler, groups)
        table.add_row(*marks)
        table.add_row(*percents, end_section=True)
        table.add_row()
    return table


def summary(found: Scan | None) -> Iterator[str]:
    """What of the rules of its form a poem keeps, a line each."""
    if found is None:
        yield "none of 五绝 七绝 五律 七律 by its shape"
        return
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


def percent(probability: float) -> str:
    """A probability in at most four characters."""
    return f"{probability:.0%}" if probability >= 0.005 else "<1%"


def _marks(line: str, number: int, found: Scan | None) -> list[str]:
    """平, 仄, 通 (may be either) or ？ (unknown) of each character; red where it breaks the pattern."""
    breaks = found.lines[number].breaks if found else ()
    return [
        f"[bold red]{_mark(tones(c))}[/]" if place in breaks else _mark(tones(c))
        for place, c in enumerate(line, start=1)
    ]


def _mark(tones: frozenset[str]) -> str:
    if not tones:
        return "？"
    if tones == {"平"}:
        return "平"
    return "通" if "平" in tones else "仄"


def _groups(line: str, found: Scan | None) -> str:
    """The rhyme groups of a line's end, those that all rhymes of the poem share in bold."""
    shared = found.rhyme if found else frozenset()
    groups = sorted({reading.rhyme for reading in readings(line[-1])})
    return " ".join(f"[bold]{group}[/]" if group in shared else group for group in groups) or "?"


def _percent(probability: float, was_given: bool) -> str:
    """Faint where the character was given, green where it was to be expected, yellow for a surprise."""
    if was_given:
        style = "dim"
    elif probability >= 0.5:
        style = "green"
    elif probability < 0.05:
        style = "yellow"
    else:
        return percent(probability)
    return f"[{style}]{percent(probability)}[/]"


def _places(kept: Sequence[bool], unit: str, good: str = "kept") -> str:
    lost = [str(number) for number, is_kept in enumerate(kept, start=1) if not is_kept]
    if not lost:
        return good
    return f"{'in' if good == 'none' else 'lost at'} {unit} {', '.join(lost)}"
