"""Which tones may come next in a line: the tone patterns of `forms`, read character by character.

A line is known here by its tones alone, a letter a character: 平 level, 仄 oblique, 中 either.
"""

from functools import cache
from itertools import product

from poetgen.prosody.forms import LEVEL, line_fits
from poetgen.prosody.phonology import tones

OBLIQUE = "仄"
"""The tones 上, 去 and 入."""

EITHER = "中"
"""A character that has level and oblique readings, or unknown ones: it may serve as both."""

_TONES = {LEVEL: frozenset({"平"}), OBLIQUE: frozenset({"去"}), EITHER: frozenset[str]()}


@cache
def tone_of(character: str) -> str:
    """平, 仄 or 中."""
    own = tones(character)
    if not own or (LEVEL in own and len(own) > 1):
        return EITHER
    return LEVEL if LEVEL in own else OBLIQUE


@cache
def may_begin(written: str, line_type: str, length: int) -> bool:
    """Whether a line of `line_type` and `length` that `scan` finds nothing wrong in can begin so."""
    whole = written + EITHER * (length - len(written))
    return len(written) <= length and line_fits([_TONES[tone] for tone in whole], line_type)


@cache
def next_tones(written: str, line_type: str, length: int) -> str:
    """Those of 平仄中 that may follow `written`, so that the rest of the line needs no 中.

    A line that begins with less foresight than this may hang on a character of several tones at a
    place where there is none.  Where that has happened, all that `may_begin` allows may follow.
    """
    following = [written + tone for tone in (LEVEL, OBLIQUE, EITHER)]
    foreseen = [line for line in following if _is_served(line, line_type, length)]
    return "".join(
        line[-1] for line in foreseen or following if foreseen or may_begin(line, line_type, length)
    )


def _is_served(written: str, line_type: str, length: int) -> bool:
    """Whether a line that begins so can be ended with characters of one tone each."""
    rest = product((LEVEL, OBLIQUE), repeat=length - len(written))
    return any(may_begin(written + "".join(tones), line_type, length) for tones in rest)
