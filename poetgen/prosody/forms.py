"""The four short forms of Tang verse: their shape, their tone patterns, and how a poem keeps to them.

Source of the patterns: the four line types of regulated verse (近体诗) and their two orders, as in
Wang Li, 诗词格律. Judged is the relaxed pattern: the even places and the last one of a line are fixed,
the others free.  The strict pattern holds for a third of the regulated verse in the anthologies, so it
is no standard to measure by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from poetgen.prosody.phonology import Reading, readings

LEVEL = "平"
"""The level tone; the other three (上去入) are 仄, oblique."""

OTHER = "other"
"""What `form_of` calls a poem that has none of the four shapes."""

# The line types of five-character verse; a capital ends level and carries the rhyme.
_LINE_TYPES = {"a": "仄仄平平仄", "A": "仄仄仄平平", "b": "平平平仄仄", "B": "平平仄仄平"}
_LICENSED = {"b": "平平仄平仄"}  # third and fourth place exchanged, so the third is fixed as well
_ORDERS = ("aBbA", "bAaB")


@dataclass(frozen=True)
class Form:
    """A form of so many equal lines."""

    name: str
    alias: str
    num_lines: int
    line_length: int

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders of line types that a poem may follow, one letter a line.

        Without and with a rhyme in line 1, which turns its type into the one that ends level.
        """
        whole = [order * (self.num_lines // 4) for order in _ORDERS]
        return tuple(first + order[1:] for order in whole for first in (order[0], order[0].upper()))


FORMS = {
    form.name: form
    for form in (
        Form("五绝", "wujue", 4, 5),
        Form("七绝", "qijue", 4, 7),
        Form("五律", "wulv", 8, 5),
        Form("七律", "qilv", 8, 7),
    )
}
"""The forms by name: quatrains (绝) and octaves (律) of five or seven characters a line."""


@dataclass(frozen=True)
class LineScan:
    """What the scansion of a line found; places count from 1."""

    text: str
    tones: tuple[frozenset[str], ...]
    """Of each character, all of its tones; empty where it is unknown."""
    line_type: str
    """The type that the poem's order asks for here: a, A, b or B."""
    pattern: str
    """That type written out, e.g. 仄仄平平仄; the licensed variant where the line meets that."""
    breaks: tuple[int, ...]
    """The fixed places whose character cannot have the tone asked for."""
    alternates: bool
    """Whether places 2 and 4 (and 6) can alternate between level and oblique, in any type."""
    lone_level: bool
    """孤平: a B line with oblique third and fifth last places around its single level."""
    three_level_end: bool
    """三平尾: the last three characters can only be level."""
    rhymes: frozenset[Reading]
    """The readings of the last character."""


@dataclass(frozen=True)
class Scan:
    """How a poem keeps to its form."""

    form: Form
    order: str
    """The order of line types that fits best (fewest breaks, then 孤平), one letter a line."""
    lines: tuple[LineScan, ...]
    rhyme: frozenset[str]
    """The 平水 groups that all even lines can share; empty: they do not rhyme."""
    level_rhyme: bool
    """Whether one of those groups is of the level tone."""
    first_line_rhymes: bool
    opposed: tuple[bool, ...]
    """对, a couplet each: whether the second places can be opposite."""
    joined: tuple[bool, ...]
    """粘, a joint between couplets each: whether the second places can be equal."""

    @property
    def regulated(self) -> bool:
        """Relaxed pattern throughout, a level rhyme, no 孤平 and no 三平尾."""
        return self.level_rhyme and not any(
            line.breaks or line.lone_level or line.three_level_end for line in self.lines
        )


def form_of(lines: Sequence[str]) -> str:
    """The name of the form that `lines` have by shape alone, or `OTHER`."""
    lengths = {len(line) for line in lines}
    for form in FORMS.values():
        if len(lines) == form.num_lines and lengths == {form.line_length}:
            return form.name
    return OTHER


def find_form(name: str) -> Form | None:
    """The form called `name`, by its Chinese name or its alias (wujue, qijue, wulv, qilv)."""
    return next((form for form in FORMS.values() if name in (form.name, form.alias)), None)


def scan(lines: Sequence[str]) -> Scan | None:
    """The scansion of a poem's lines (without marks); None where they have none of the four shapes.

    A character of several readings may serve any of them; an unknown one may be anything.
    """
    form = FORMS.get(form_of(lines))
    if form is None:
        return None
    tones = [tuple(frozenset(r.tone for r in readings(c)) for c in line) for line in lines]
    even = [readings(line[-1]) for line in lines[1::2]]
    shared = _shared(even)
    first_line_rhymes = bool(_shared([*even, readings(lines[0][-1])]))
    candidates = [
        (order, tuple(_scan_line(*line) for line in zip(lines, tones, order, strict=True)))
        for order in form.orders
    ]

    def misfit(candidate: tuple[str, tuple[LineScan, ...]]) -> tuple[int, int, bool]:
        order, scanned = candidate
        return (
            sum(len(line.breaks) for line in scanned),
            # Characters of several tones can fit two orders; a lone level tells which is not meant.
            sum(line.lone_level for line in scanned),
            order[0].isupper() != first_line_rhymes,
        )

    order, scanned = min(candidates, key=misfit)
    second = [line[1] for line in tones]
    return Scan(
        form=form,
        order=order,
        lines=scanned,
        rhyme=frozenset(reading.rhyme for reading in shared),
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
    """Whether `scan` finds nothing wrong in a line of these tones: no break, no 孤平, no 三平尾.

    An empty set is a character whose tones are unknown, or not written yet: it can have any.
    """
    judged = _judge(tones, line_type)
    return not (judged.breaks or judged.lone_level or judged.three_level_end)


def _shared(rhymes: Sequence[frozenset[Reading]]) -> frozenset[Reading]:
    return frozenset.intersection(*rhymes)


def _can(tones: frozenset[str], *, level: bool) -> bool:
    """Whether a character of these tones can be level, or can be oblique; an unknown one can."""
    return not tones or (LEVEL in tones if level else bool(tones - {LEVEL}))


def _can_be(one: frozenset[str], other: frozenset[str], *, equal: bool) -> bool:
    """Whether two characters can be both level or both oblique (`equal`), or one of each."""
    return any(
        _can(one, level=level) and _can(other, level=level == equal) for level in (True, False)
    )


class _Judgement(NamedTuple):
    """What the tones of a line say of it; the fields are those of `LineScan`."""

    pattern: str
    breaks: tuple[int, ...]
    lone_level: bool
    three_level_end: bool


def _judge(tones: Sequence[frozenset[str]], line_type: str) -> _Judgement:
    length = len(tones)
    pattern = _lengthened(_LINE_TYPES[line_type], length)
    fixed = {*range(2, length + 1, 2), length}
    breaks = _breaks(tones, pattern, fixed)
    if line_type in _LICENSED:
        licensed = _lengthened(_LICENSED[line_type], length)
        licensed_breaks = _breaks(tones, licensed, fixed | {length - 2})
        if len(licensed_breaks) < len(breaks):
            pattern, breaks = licensed, licensed_breaks
    first, _, third, *_ = tones[-5:]
    oblique = [not _can(tone, level=True) for tone in (first, third)]
    return _Judgement(
        pattern=pattern,
        breaks=breaks,
        lone_level=line_type == "B" and all(oblique),
        three_level_end=not any(_can(tone, level=False) for tone in tones[-3:]),
    )


def _scan_line(text: str, tones: tuple[frozenset[str], ...], line_type: str) -> LineScan:
    judged = _judge(tones, line_type)
    return LineScan(
        text=text,
        tones=tones,
        line_type=line_type,
        pattern=judged.pattern,
        breaks=judged.breaks,
        alternates=_alternates(tones),
        lone_level=judged.lone_level,
        three_level_end=judged.three_level_end,
        rhymes=readings(text[-1]),
    )


def _lengthened(pattern: str, length: int) -> str:
    """A five-character pattern as it is, or with two syllables of the opposite tone before it."""
    return pattern if length == 5 else ("仄仄" if pattern[1] == LEVEL else "平平") + pattern


def _breaks(tones: Sequence[frozenset[str]], pattern: str, fixed: set[int]) -> tuple[int, ...]:
    """The `fixed` places (from 1) whose character cannot have the tone of `pattern`."""
    return tuple(
        place
        for place in sorted(fixed)
        if not _can(tones[place - 1], level=pattern[place - 1] == LEVEL)
    )


def _alternates(tones: Sequence[frozenset[str]]) -> bool:
    even = tones[1::2]
    return any(
        all(_can(tone, level=(i % 2 == 0) == first) for i, tone in enumerate(even))
        for first in (True, False)
    )
