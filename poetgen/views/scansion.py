"""Tables of the tones and rhyme groups of a poem, and of the likelihood of its characters."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from rich.table import Table
from rich.text import Text

from poetgen.data.poem import Poem
from poetgen.language import tr, tr_noop, tr_plural
from poetgen.prosody.forms import LEVEL
from poetgen.prosody.marks import MARKS, split_lines
from poetgen.prosody.phonology import rhyme_groups, rhymes, tones
from poetgen.prosody.scan import LineScan, Scan

T = TypeVar("T")

_CELL = 5
"""Width of a column: "100%" and a space."""
_LINE_WITH_MARKS = re.compile(f"[^{MARKS}]*[{MARKS}]+|[^{MARKS}]+")
_OPENINGS = {
    (True, True): tr_noop("平起首句入韵 (line 1 opens level and rhymes)"),
    (True, False): tr_noop("平起首句不入韵 (line 1 opens level, does not rhyme)"),
    (False, True): tr_noop("仄起首句入韵 (line 1 opens oblique and rhymes)"),
    (False, False): tr_noop("仄起首句不入韵 (line 1 opens oblique, does not rhyme)"),
}
"""The traditional name of the order, by whether line 1 opens level and whether it rhymes."""


def tone_table(
    lines: Sequence[str], scan: Scan | None, width: int = 80, *, any_reading: bool = False
) -> Table:
    """Return a table of lines: the tones of their characters, the form's pattern, rhyme groups.

    Where `width` columns are too few, tones and pattern are below the characters.  `any_reading` is that
    of `scan`.
    """
    headings = [tr("verse"), tr("tones"), *([tr("pattern")] if scan else []), tr("rhyme groups")]
    rows = []
    for number, (symbols, groups) in enumerate(_marked(lines, scan, any_reading)):
        pattern = [scan.lines[number].pattern] if scan else []
        rows.append([lines[number], "".join(symbols), *pattern, groups])
    columns = zip(headings, *rows, strict=True)
    widths = [max(Text.from_markup(cell).cell_len for cell in column) for column in columns]
    if sum(widths) + 2 * (len(widths) - 1) <= width:
        table = Table(*headings, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        return table
    table = Table(box=None, pad_edge=False, show_header=False)
    for text, *below, groups in rows:
        table.add_row(text, groups)
        for tones_or_pattern in [*below, ""]:
            table.add_row(tones_or_pattern)
    return table


def likelihood_table(
    shown: str,
    text: str,
    scan: Scan | None,
    probabilities: Sequence[float],
    num_given: int,
    *,
    any_reading: bool = False,
) -> Table:
    """Return a table with three rows per line of a poem: characters, tones, probabilities.

    `shown` is `text` in the script to print; the first `num_given` characters come from the prompt.
    `any_reading` is that of `scan`.
    """
    spans = [match.span() for match in _LINE_WITH_MARKS.finditer(text)]
    num_columns = max(end - start for start, end in spans)
    table = Table(box=None, show_header=False, pad_edge=False, padding=0)
    for _ in range(num_columns):
        table.add_column(width=_CELL, justify="right", no_wrap=True)
    table.add_column()
    marked = _marked(split_lines(text), scan, any_reading)
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


def summary(scan: Scan | None, lines: Sequence[str] = ()) -> Iterator[str]:
    """Yield a sentence per rule of the form: whether the poem keeps it, and where not.

    Of a poem in none of the forms, yield one sentence: that it has none, and what in `lines` differs.
    """
    if scan is None:
        text = tr("none of the regulated forms 五绝 七绝 五律 七律 by its shape")
        yield tr("{text}: {reason}", text=text, reason=_other_shape(lines)) if lines else text
        return
    if scan.rhyme and not scan.level_rhyme:
        yield tr(
            "{form} that rhymes on an oblique tone (仄韵); the patterns are those of level rhymes",
            form=scan.form.name,
        )
    else:
        opening = tr(_OPENINGS[scan.opens_level, scan.order[0].isupper()])
        yield tr(
            "{form}, order {order}: {opening}",
            form=scan.form.name,
            order=scan.order,
            opening=opening,
        )
    yield _rhyme(scan)
    if scan.first_line_neighbors:
        groups = "/".join(sorted(scan.first_line_neighbors))
        yield tr("line 1 rhymes in a neighboring group (借韵): {groups}", groups=groups)
    yield _pattern(scan.lines)
    rescued = _positions([line.rescued for line in scan.lines])
    if rescued:
        yield tr("拗救 (an oblique tone that the next line makes up for): {where}", where=rescued)
    pairs = [*pairwise(range(1, len(scan.lines) + 1))]
    opposed, joined = _broken(pairs[::2], scan.opposed), _broken(pairs[1::2], scan.joined)
    yield tr("失对 (position 2 not opposed in a couplet): {where}", where=_pairs(opposed))
    yield tr("失粘 (position 2 differs between couplets): {where}", where=_pairs(joined))
    numbers = range(1, len(scan.lines) + 1)
    lone = _broken(numbers, [not line.lone_level for line in scan.lines])
    three = _broken(numbers, [not line.three_level_end for line in scan.lines])
    yield tr("孤平 (a lone level tone): {where}", where=_numbers(lone))
    yield tr("三平尾 (a line ends in three level tones): {where}", where=_numbers(three))


def legend(scans: Sequence[Scan | None]) -> Iterator[str]:
    """Yield what the tone signs mean, and what was not judged of poems in form."""
    yield tr("平 level, 仄 oblique, 通 either, ？ unknown")
    if any(scans):
        yield tr("Parallelism (对仗) is not judged.")


def to_json(poem: Poem, scan: Scan | None, *, any_reading: bool = False) -> dict[str, object]:
    """Return the object that `poetgen scan --json` prints for a poem; `any_reading` is that of `scan`.

    `title` and `author` are "" if unknown.  `form` is 五绝, 七绝, 五律 or 七律.  For any other poem it is
    null, as is every key that is marked with a star here.  Lines and positions count from 1.

    * `order`*: the type of each line, a b (ends oblique) or A B (ends level)
    * `opens_level`*, `first_line_rhymes`*: 平起, 首句入韵
    * `first_line_neighbors`*: 借韵, the neighbors of the rhyme in which line 1 rhymes instead
    * `rhyme`*: the 平水 groups that all even lines share; `level_rhyme`*: whether one of them is level
    * `off_rhyme`*: 出韵, the even lines that leave the rhyme of the others
    * `not_opposed`*, `not_joined`*: 失对 and 失粘, as pairs of line numbers
    * `regulated`*: whether every line keeps the pattern, rhymes level and has no 孤平 or 三平尾
    * `lines[]`: `text`; `tones`, the possible tones of each character, such as 平 or 平去, "" if unknown;
      `rhyme_groups` of the last character; `type`*, `pattern`*, `breaks`* (positions that cannot have
      the tone of the pattern), `rescued`* (拗救, those that the next line makes up for), `alternates`*,
      `lone_level`* (孤平), `three_level_end`* (三平尾)
    """
    pairs = [*pairwise(range(1, len(poem.lines) + 1))]
    return {
        "title": poem.title,
        "author": poem.author,
        "form": scan and scan.form.name,
        "order": scan and scan.order,
        "opens_level": scan and scan.opens_level,
        "first_line_rhymes": scan and _first_line_rhymes(scan),
        "first_line_neighbors": scan and sorted(scan.first_line_neighbors),
        "rhyme": scan and sorted(scan.rhyme),
        "level_rhyme": scan and scan.level_rhyme,
        "off_rhyme": scan and list(scan.off_rhyme),
        "not_opposed": scan and _broken(pairs[::2], scan.opposed),
        "not_joined": scan and _broken(pairs[1::2], scan.joined),
        "regulated": scan and scan.regulated,
        "lines": [
            _line_to_json(text, scan.lines[index] if scan else None, any_reading)
            for index, text in enumerate(poem.lines)
        ],
    }


def _line_to_json(text: str, line: LineScan | None, any_reading: bool) -> dict[str, object]:
    found = [tones(c, any_reading=any_reading) for c in text]
    return {
        "text": text,
        "tones": ["".join(tone for tone in "平上去入" if tone in own) for own in found],
        "rhyme_groups": sorted(rhymes(text[-1], any_reading=any_reading)),
        "type": line and line.line_type,
        "pattern": line and line.pattern,
        "breaks": line and list(line.breaks),
        "rescued": line and list(line.rescued),
        "alternates": line and line.alternates,
        "lone_level": line and line.lone_level,
        "three_level_end": line and line.three_level_end,
    }


def _other_shape(lines: Sequence[str]) -> str:
    """Return what keeps `lines` from being one of the four forms."""
    lengths = [len(line) for line in lines]
    if len(set(lengths)) > 1:
        shown = _series(lengths[:8]) + (" …" if len(lengths) > 8 else "")
        return tr("lines of {lengths} characters", lengths=shown)
    if lengths[0] not in (5, 7):
        return tr_plural(
            lengths[0],
            "lines of {num} character, not 5 or 7",
            "lines of {num} characters, not 5 or 7",
        )
    return tr_plural(len(lines), "{num} line, not 4 or 8", "{num} lines, not 4 or 8")


def _first_line_rhymes(scan: Scan) -> bool:
    """Return whether line 1 joins the rhyme, also where another line leaves it."""
    return any(reading.rhyme in scan.main_rhyme for reading in scan.lines[0].rhymes)


def _rhyme(scan: Scan) -> str:
    level = rhyme_groups(LEVEL)
    groups = sorted(scan.main_rhyme)
    shown = "/".join([group for group in groups if group in level] or groups)
    if scan.off_rhyme:
        where = _numbers(scan.off_rhyme)
        return tr(
            "even lines rhyme: no, 出韵 (off the rhyme {groups}): {where}",
            groups=shown,
            where=where,
        )
    if not scan.rhyme:
        return tr("even lines rhyme: no")
    if scan.level_rhyme:
        return tr("even lines rhyme: {groups}, level", groups=shown)
    return tr("even lines rhyme: {groups}, oblique", groups=shown)


def _pattern(lines: Sequence[LineScan]) -> str:
    breaks = _positions([line.breaks for line in lines])
    return (
        tr("tone pattern: broken at {where}", where=breaks) if breaks else tr("tone pattern: kept")
    )


def _positions(by_line: Sequence[Sequence[int]]) -> str:
    """Return positions as text, by the number of their line."""
    return tr("; ").join(
        tr("line {line} position {positions}", line=number, positions=_series(positions))
        for number, positions in enumerate(by_line, start=1)
        if positions
    )


def percent(probability: float) -> str:
    """Return a probability as a percentage of at most four characters."""
    return f"{probability:.0%}" if probability >= 0.005 else "<1%"


def _marked(
    lines: Sequence[str], scan: Scan | None, any_reading: bool
) -> Iterator[tuple[list[str], str]]:
    """Yield the tones of each line's characters, and the rhyme groups of its last one, as markup.

    Tones are 平, 仄, 通 (either) or ？ (unknown), red where they break the pattern; groups that all
    rhymes of the poem share are bold.
    """
    shared = scan.rhyme if scan else frozenset()
    for number, line in enumerate(lines):
        symbols = [_tone_symbol(tones(c, any_reading=any_reading)) for c in line]
        for position in scan.lines[number].breaks if scan else ():
            symbols[position - 1] = f"[bold red]{symbols[position - 1]}[/]"
        own = sorted(rhymes(line[-1], any_reading=any_reading))
        groups = (f"[bold]{g}[/]" if g in shared else g for g in own)
        yield symbols, " ".join(groups) or "?"


def _tone_symbol(tones: frozenset[str]) -> str:
    if not tones:
        return "？"
    return ("平" if tones == {"平"} else "通") if "平" in tones else "仄"


def _percent(probability: float, was_given: bool) -> str:
    """Return a percentage, dim for a given character, green if likely, yellow if unlikely."""
    style = "green" if probability >= 0.5 else "yellow" if probability < 0.05 else "none"
    return f"[{'dim' if was_given else style}]{percent(probability)}[/]"


def _broken(items: Sequence[T], kept: Sequence[bool]) -> list[T]:
    """Return the items that are not kept."""
    return [item for item, is_kept in zip(items, kept, strict=True) if not is_kept]


def _numbers(numbers: Sequence[int]) -> str:
    """Return the numbers of lines as text; none is good."""
    if not numbers:
        return tr("none")
    return tr_plural(len(numbers), "line {numbers}", "lines {numbers}", numbers=_series(numbers))


def _pairs(pairs: Sequence[tuple[int, int]]) -> str:
    if not pairs:
        return tr("none")
    return tr("lines {numbers}", numbers=_series([f"{first}–{second}" for first, second in pairs]))


def _series(items: Sequence[object]) -> str:
    return tr(", ").join(map(str, items))
