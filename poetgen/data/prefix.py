"""Facts about the next token of a poem that follow from its beginning: its line, its position, its uses.

A recurrent network must remember such facts in its state, and forgets most of them.  Here they are
computed from the ids, for every position of a sequence at once, and given to the network as they are.

The next token of a poem has a *line* and a *position* in it, both from 0.  Its *facing* character has the
same position in the line before.  The *rhyme* is the last character of the last sentence; in the first
sentence, of the last line.

Shape suffixes: B rows, T positions, J earlier positions.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poetgen.data.vocab import BOS, PAD, SPECIALS
from poetgen.prosody.marks import MARKS, STOPS

Ids: TypeAlias = NDArray[np.intp]

MAX_POSITIONS = 16
"""Positions that are distinguished; later ones count as the last."""
MAX_LINES = 32
"""Lines that are distinguished; later ones count as the last two, in turn."""

RELATIONS = (
    "before the poem",
    "just read",
    "same line",
    "facing",
    "line before",
    "two lines before",
    "earlier",
)
"""Relations of an earlier character to the next token."""
FREQUENCY_RANKS = (150, 1000)
"""Ranks by frequency at which a character counts as less common, and as rare."""
NUM_USES = len(RELATIONS) * (len(FREQUENCY_RANKS) + 1)
"""Classes of use: each relation with each class of frequency."""
NOT_USED = -1
"""The class of what is not a character."""

_FIRST_CHARACTER = len(SPECIALS) + len(MARKS)
_FIRST_MARK = len(SPECIALS)
_STOP_IDS = [_FIRST_MARK + MARKS.index(stop) for stop in STOPS]


class NextToken(NamedTuple):
    """Facts about the token after each position, (B, T) each."""

    line: Ids
    """The number of its line in the poem."""
    position: Ids
    """Its position in the line."""
    facing: Ids
    """The id at the same position of the line before; `PAD` if there is none."""
    rhyme: Ids
    """The id of the last rhyme; `PAD` if there is none."""


def next_tokens(tokens_BT: Ids) -> NextToken:
    """Return the facts about the token after each position; a row may begin and end with `PAD`.

    >>> one = next_tokens(np.array([[1, 8, 9, 4, 8]]))  # <bos> 甲 乙 ， 甲
    >>> [values.tolist()[0] for values in one]
    [[0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [0, 0, 0, 8, 9], [0, 0, 0, 9, 9]]
    """
    index_T = np.arange(tokens_BT.shape[1])
    in_poem_BT = (tokens_BT == BOS).cumsum(axis=1) > 0
    is_mark_BT = (tokens_BT >= _FIRST_MARK) & (tokens_BT < _FIRST_CHARACTER) & in_poem_BT
    is_start_BT = is_mark_BT | (tokens_BT == BOS)
    line_BT = is_mark_BT.cumsum(axis=1)
    start_BT = np.maximum.accumulate(np.where(is_start_BT, index_T, 0), axis=1)
    position_BT = np.where(in_poem_BT, index_T - start_BT, 0)
    # The start of the line before each position's: what `start` was one position before this start.
    before_BT = np.take_along_axis(start_BT, np.maximum(start_BT - 1, 0), axis=1)
    facing_at_BT = before_BT + 1 + position_BT
    has_facing_BT = (line_BT > 0) & (facing_at_BT < start_BT)
    facing_BT = np.take_along_axis(tokens_BT, np.where(has_facing_BT, facing_at_BT, 0), axis=1)
    is_stop_BT = np.isin(tokens_BT, _STOP_IDS) & in_poem_BT
    had_stop_BT = is_stop_BT.cumsum(axis=1) > 0
    is_rhyme_end_BT = np.where(had_stop_BT, is_stop_BT, is_mark_BT)
    end_BT = np.maximum.accumulate(np.where(is_rhyme_end_BT, index_T, 0), axis=1)
    rhyme_BT = np.take_along_axis(tokens_BT, np.maximum(end_BT - 1, 0), axis=1)
    return NextToken(
        line_BT,
        position_BT,
        np.where(has_facing_BT, facing_BT, PAD),
        np.where(line_BT > 0, rhyme_BT, PAD),
    )


def table_rows(facts: NextToken) -> tuple[Ids, Ids]:
    """Return the rows of line and position in tables of `MAX_LINES` and `MAX_POSITIONS` rows."""
    last = MAX_LINES - 2 + (facts.line - MAX_LINES) % 2
    line_BT = np.where(facts.line < MAX_LINES, facts.line, last)
    return line_BT, np.minimum(facts.position, MAX_POSITIONS - 1)


def uses(tokens_BJ: Ids, facts: NextToken, positions: slice = slice(None)) -> Ids:
    """Return the kind of use of each earlier token for the token after some positions, (B, T, J).

    A kind is 0 to `NUM_USES` − 1: the relation times the number of frequency classes, plus the class;
    `NOT_USED` for marks, specials and what comes later.  Ids are in the order of frequency.
    """
    index_J = np.arange(tokens_BJ.shape[1])
    index_T1 = index_J[positions][:, None]
    in_poem_BJ = (tokens_BJ == BOS).cumsum(axis=1) > 0
    lines_back_BTJ = facts.line[:, positions, None] - facts.line[:, None, :]
    is_facing_BTJ = facts.position[:, positions, None] == facts.position[:, None, :] - 1
    # The later assignment wins.
    relation_BTJ = np.full(lines_back_BTJ.shape, RELATIONS.index("earlier"))
    relation_BTJ[lines_back_BTJ == 2] = RELATIONS.index("two lines before")
    relation_BTJ[lines_back_BTJ == 1] = RELATIONS.index("line before")
    relation_BTJ[(lines_back_BTJ == 1) & is_facing_BTJ] = RELATIONS.index("facing")
    relation_BTJ[lines_back_BTJ == 0] = RELATIONS.index("same line")
    relation_BTJ[:, index_J == index_T1] = RELATIONS.index("just read")
    relation_BTJ[np.broadcast_to(~in_poem_BJ[:, None, :], relation_BTJ.shape)] = 0
    class_BJ = np.searchsorted(FREQUENCY_RANKS, tokens_BJ - _FIRST_CHARACTER, side="right")
    kind_BTJ = relation_BTJ * (len(FREQUENCY_RANKS) + 1) + class_BJ[:, None, :]
    is_none_BTJ = (tokens_BJ < _FIRST_CHARACTER)[:, None, :] | (index_J > index_T1)
    return np.where(is_none_BTJ, NOT_USED, kind_BTJ)
