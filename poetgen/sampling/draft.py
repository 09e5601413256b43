"""A poem as far as it is written, as its constraints see it, and what may come next.

`rules` reads and makes these; `constraints` turns a `Next` into a mask.
"""

from typing import NamedTuple

from poetgen.prosody.forms import LEVEL
from poetgen.prosody.patterns import EITHER, OBLIQUE

ANY_TONE = LEVEL + OBLIQUE + EITHER


class Way(NamedTuple):
    """One way in which a poem as far as it is written can be meant."""

    order: str
    """A letter a line, as in `Form.orders`; empty where tones are free."""
    groups: frozenset[str]
    """The rhyme groups that are still open; empty where rhymes are free."""


class Draft(NamedTuple):
    """A poem as far as it is written, as its constraints see it."""

    ways: tuple[Way, ...]
    line: int = 0
    """How many lines are finished."""
    text: str = ""
    """Of the line being written."""
    tones: str = ""
    """Of `text`, a letter of 平仄中 a character; empty where tones are free."""
    rhymed: frozenset[str] = frozenset()
    """The characters that have rhymed, and the last one of line 1."""
    previous: int = 0
    """Characters of the line before."""


class Kind(NamedTuple):
    """Characters of certain tones and rhymes."""

    tones: str
    """Letters of 平仄中; all three are any tone, even an unknown one."""
    groups: frozenset[str] | None = None
    """Rhyme groups of which one is to be theirs; None: any."""


class Next(NamedTuple):
    """What may come next: the end, a mark, or a character of one of the kinds."""

    kinds: tuple[Kind, ...] = ()
    only: str = ""
    """The one character that it may be; empty: there is no such limit."""
    but: frozenset[str] = frozenset()
    """Characters that it may not be."""
    marks: str = ""
    end: bool = False


ANY_CHARACTER = (Kind(ANY_TONE),)


class Broken(Exception):
    """A character does not fit; the argument says why, as what is said of the character."""
