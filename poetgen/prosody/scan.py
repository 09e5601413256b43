"""How well a poem keeps the tone pattern and the rhyme of its form.

The relaxed pattern is checked: the even positions and the last position of a line are fixed, the others
are free.  Only a third of the regulated verse in the anthologies keeps the strict pattern, so it would
be no useful standard.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from poetgen.prosody.forms import FORMS, LEVEL, LICENSED, LINE_TYPES, Form, extended, form_of
from poetgen.prosody.phonology import Reading, neighbors, readings


@dataclass(frozen=True)
class LineScan:
    """The scansion of one line; positions count from 1."""

    text: str
    tones: tuple[frozenset[str], ...]
    """All tones of each character; empty for an unknown character."""
    line_type: str
    """The type of this line in the poem's order: a, A, b or B."""
    pattern: str
    """The tones of that type, e.g. 仄仄平平仄, or of its licensed variant if that fits better."""
    breaks: tuple[int, ...]
    """The fixed positions whose character cannot have the required tone, unless `rescued`."""
    rescued: tuple[int, ...]
    """对句救: the positions whose oblique tone a level one at the third-last position of the next line
    makes up for."""
    alternates: bool
    """Whether positions 2 and 4 (and 6) can alternate between level and oblique, in any type."""
    lone_level: bool
    """孤平: a B line whose fifth-last and third-last positions are both oblique, or an A line that breaks
    the pattern and is such a B line by its own tones."""
    three_level_end: bool
    """三平尾: the last three characters can only be level."""
    rhymes: frozenset[Reading]
    """The readings of the last character."""


@dataclass(frozen=True)
class Scan:
    """The scansion of a poem in one of the four forms."""

    form: Form
    order: str
    """The order of line types that fits best (fewest breaks, then 孤平), one letter per line."""
    lines: tuple[LineScan, ...]
    rhyme: frozenset[str]
    """The 平水 groups that all even lines can share; empty if they do not rhyme."""
    level_rhyme: bool
    """Whether one of those groups has the level tone."""
    first_line_rhymes: bool
    opposed: tuple[bool, ...]
    """对, per couplet: whether the tones at position 2 of its lines can be opposite."""
    joined: tuple[bool, ...]
    """粘, per pair of adjacent couplets: whether the tones at position 2 can be equal."""

    @property
    def opens_level(self) -> bool:
        """平起 (else 仄起): whether the pattern of line 1 is level at position 2."""
        return self.lines[0].pattern[1] == LEVEL

    @property
    def main_rhyme(self) -> frozenset[str]:
        """The 平水 groups that all even lines can share, else that of most rhyming lines, else empty."""
        return self.rhyme or frozenset(self._majority)

    @property
    def first_line_neighbors(self) -> frozenset[str]:
        """借韵: the neighbors of the rhyme in which line 1 rhymes; empty if it shares the rhyme itself."""
        if not self.order[0].isupper():
            return frozenset()
        return _first_line_neighbors(self.main_rhyme, self.lines[0].rhymes)

    @property
    def off_rhyme(self) -> tuple[int, ...]:
        """出韵: the numbers of the even lines that leave the rhyme of the others, if only some do."""
        return next(iter(self._majority.values()), ())

    @property
    def _majority(self) -> dict[str, tuple[int, ...]]:
        """Return the group that more lines keep than leave, and the even lines that leave it.

        Line 1 may keep it but not leave it.  Empty if all even lines rhyme, or if it is no one group.
        """
        if self.rhyme:
            return {}
        feet = [self.lines[0], *self.lines[1::2]]
        found = {}
        for reading in frozenset.union(*(line.rhymes for line in feet)):
            leaving = tuple(
                number
                for number, line in enumerate(self.lines, start=1)
                if number % 2 == 0 and reading not in line.rhymes
            )
            if sum(reading in line.rhymes for line in feet) > len(leaving):
                found[reading.rhyme] = leaving
        fewest = min(map(len, found.values()), default=0)
        best = {group: leaving for group, leaving in found.items() if len(leaving) == fewest}
        return best if len(set(best.values())) == 1 else {}

    @property
    def regulated(self) -> bool:
        """Whether all lines keep the relaxed pattern, rhyme level and have no 孤平 or 三平尾."""
        return self.level_rhyme and not any(
            line.breaks or line.lone_level or line.three_level_end for line in self.lines
        )


def scan(lines: Sequence[str], *, any_reading: bool = False) -> Scan | None:
    """Return the scansion of a poem's lines (without marks), or None if they have no known form.

    A character with several readings may take any of them that poets used, or any of the rhyme book with
    `any_reading`; an unknown character may take any tone.
    """
    form = FORMS.get(form_of(lines))
    if form is None:
        return None
    found = [tuple(readings(c, any_reading=any_reading) for c in line) for line in lines]
    rhymes = [line[-1] for line in found]
    shared = _shared(rhymes[1::2])
    rhyme = frozenset(reading.rhyme for reading in shared)
    first_line_rhymes = bool(shared & rhymes[0])
    may_rhyme = first_line_rhymes or bool(_first_line_neighbors(rhyme, rhymes[0]))
    candidates = [(order, _scan_lines(lines, found, order)) for order in form.orders]

    def misfit(candidate: tuple[str, tuple[LineScan, ...]]) -> tuple[int, int, bool]:
        order, scanned = candidate
        return (
            sum(len(line.breaks) for line in scanned),
            # Characters of several tones can fit two orders; 孤平 rules one of them out.
            sum(line.lone_level for line in scanned),
            order[0].isupper() != may_rhyme,
        )

    order, scanned = min(candidates, key=misfit)
    second = [line.tones[1] for line in scanned]
    return Scan(
        form=form,
        order=order,
        lines=scanned,
        rhyme=rhyme,
        level_rhyme=any(reading.tone == LEVEL for reading in shared),
        first_line_rhymes=first_line_rhymes,
        opposed=tuple(
            _can_be(second[i], second[i + 1], equal=False) for i in range(0, len(lines), 2)
        ),
        joined=tuple(
            _can_be(second[i], second[i + 1], equal=True) for i in range(1, len(lines) - 1, 2)
        ),
    )


def line_fits(tones: Sequence[frozenset[str]], line_type: str) -> bool:
    """Return whether a line of these tones has no break, no 孤平 and no 三平尾.

    An empty set is a character that is unknown or not yet generated: it can have any tone.
    """
    checked = _check(tones, line_type)
    return not (checked.breaks or checked.lone_level or checked.three_level_end)


def _first_line_neighbors(rhyme: frozenset[str], own: frozenset[Reading]) -> frozenset[str]:
    """Return the neighbors of the `rhyme` among the groups of line 1, unless it has the same."""
    groups = {reading.rhyme for reading in own}
    if groups & rhyme:
        return frozenset()
    return frozenset(other for group in rhyme for other in neighbors(group) & groups)


def _shared(rhymes: Sequence[frozenset[Reading]]) -> frozenset[Reading]:
    return frozenset.intersection(*rhymes)


def _can(tones: frozenset[str], *, level: bool) -> bool:
    """Return whether a character with these tones can be level (else: oblique)."""
    return not tones or (LEVEL in tones if level else bool(tones - {LEVEL}))


def _can_be(one: frozenset[str], other: frozenset[str], *, equal: bool) -> bool:
    """Return whether two characters can have equal (else: opposite) tones."""
    return any(
        _can(one, level=level) and _can(other, level=level == equal) for level in (True, False)
    )


class _LineCheck(NamedTuple):
    """The fields of `LineScan` that follow from the tones and the type of the line only."""

    pattern: str
    breaks: tuple[int, ...]
    lone_level: bool
    three_level_end: bool


def _check(tones: Sequence[frozenset[str]], line_type: str) -> _LineCheck:
    length = len(tones)
    pattern = extended(LINE_TYPES[line_type], length)
    fixed = {*range(2, length + 1, 2), length}
    breaks = _breaks(tones, pattern, fixed)
    if line_type in LICENSED:
        licensed = extended(LICENSED[line_type], length)
        licensed_breaks = _breaks(tones, licensed, fixed | {length - 2})
        if len(licensed_breaks) < len(breaks):
            pattern, breaks = licensed, licensed_breaks
    first, _, third, *_ = tones[-5:]
    oblique = [not _can(tone, level=True) for tone in (first, third)]
    # After a 失粘 elsewhere, the order that fits best may have A where the poet meant B.
    is_b = line_type == "B" or (
        line_type == "A"
        and bool(breaks)
        and not _breaks(tones, extended(LINE_TYPES["B"], length), fixed)
    )
    return _LineCheck(
        pattern=pattern,
        breaks=breaks,
        lone_level=is_b and all(oblique),
        three_level_end=not any(_can(tone, level=False) for tone in tones[-3:]),
    )


def _scan_lines(
    lines: Sequence[str], found: Sequence[Sequence[frozenset[Reading]]], order: str
) -> tuple[LineScan, ...]:
    """Return the lines in this order of types; `found` holds the readings of each character."""
    scanned = [_scan_line(*line) for line in zip(lines, found, order, strict=True)]
    for index, lower in enumerate(scanned[1::2]):
        scanned[2 * index] = _with_rescue(scanned[2 * index], lower)
    return tuple(scanned)


def _with_rescue(upper: LineScan, lower: LineScan) -> LineScan:
    """Return the upper line of a couplet with the oblique tones that the lower line makes up for (对句救).

    In a line of type a, the second-last position, the third-last or both may be oblique if the third-last
    of the B line after it is level: 人事有代谢，往来成古今.
    """
    second_last = len(upper.text) - 1
    if (upper.line_type, lower.line_type) != ("a", "B") or lower.breaks:
        return upper
    third_is_oblique = not _can(upper.tones[-3], level=True)
    if upper.breaks == (second_last,) and _can(lower.tones[-3], level=True):
        third = (second_last - 1,) if third_is_oblique else ()
        return replace(upper, breaks=(), rescued=(*third, second_last))
    if not upper.breaks and third_is_oblique and not _can(lower.tones[-3], level=False):
        return replace(upper, rescued=(second_last - 1,))
    return upper


def _scan_line(text: str, own: Sequence[frozenset[Reading]], line_type: str) -> LineScan:
    tones = tuple(frozenset(reading.tone for reading in one) for one in own)
    checked = _check(tones, line_type)
    return LineScan(
        text=text,
        tones=tones,
        line_type=line_type,
        pattern=checked.pattern,
        breaks=checked.breaks,
        rescued=(),
        alternates=_alternates(tones),
        lone_level=checked.lone_level,
        three_level_end=checked.three_level_end,
        rhymes=own[-1],
    )


def _breaks(tones: Sequence[frozenset[str]], pattern: str, fixed: set[int]) -> tuple[int, ...]:
    """Return the `fixed` positions (from 1) whose character cannot have the tone in `pattern`."""
    return tuple(
        position
        for position in sorted(fixed)
        if not _can(tones[position - 1], level=pattern[position - 1] == LEVEL)
    )


def _alternates(tones: Sequence[frozenset[str]]) -> bool:
    even = tones[1::2]
    return any(
        all(_can(tone, level=(i % 2 == 0) == first) for i, tone in enumerate(even))
        for first in (True, False)
    )
