"""Shuffled poems, the control of the measures of whole poems.

Every even line of a poem is exchanged with that of another poem.  Lines, line numbers, form, tone pattern
and rhyme group stay, so that only the relation of a line to the others is lost: a measure that separates
these poems from real ones sees more than rules of verse.
"""

import random
from collections.abc import Hashable, Sequence

from poetgen.data.poem import Poem
from poetgen.prosody.marks import MARKS
from poetgen.prosody.scan import scan


def exchange_even_lines(poems: Sequence[Poem], *, seed: int) -> list[tuple[Poem, Poem]]:
    """Return pairs of a poem in one of the four forms and its shuffled version.

    A shuffled poem has its own odd lines; each of its even lines is from another poem, no two from the
    same one, and has its line number.  The poems that exchange lines have the same form, order of line
    types (after the first line) and rhyme group; where too few have, the same form and order, else the
    same form.  Poems of a form with too few poems for that are left out.
    """
    # Sorted, so that the order of the poems has no influence.
    waiting = sorted(dict.fromkeys(poems), key=lambda poem: poem.text)
    random.Random(f"{seed}:shuffled").shuffle(waiting)
    keys = {poem: key for poem in waiting if (key := _key(poem))}
    waiting = [poem for poem in waiting if poem in keys]
    pairs: list[tuple[Poem, Poem]] = []
    for num_shared in (3, 2, 1):
        groups: dict[Hashable, list[Poem]] = {}
        for poem in waiting:
            groups.setdefault(keys[poem][:num_shared], []).append(poem)
        waiting = []
        for group in groups.values():
            if len(group) > len(group[0].lines) // 2:
                pairs += ((poem, _with_even_lines(group, i)) for i, poem in enumerate(group))
            else:
                waiting += group
    return pairs


def _key(poem: Poem) -> tuple[str, str, str] | None:
    """Return form, order of line types after line 1, and rhyme group; None for other forms."""
    found = scan(poem.lines)
    if found is None:
        return None
    return found.form.name, found.order[1:], min(found.main_rhyme, default="")


def _with_even_lines(group: Sequence[Poem], index: int) -> Poem:
    """Return a poem of `group`, its k-th even line taken from the k-th poem after it."""
    poem = group[index]
    lines = list(poem.lines)
    for k, number in enumerate(range(1, len(lines), 2), start=1):
        lines[number] = group[(index + k) % len(group)].lines[number]
    following = iter("".join(lines))
    text = "".join(c if c in MARKS else next(following) for c in poem.text)
    return Poem(text, poem.title, poem.author)
