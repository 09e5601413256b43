"""Held-out poems by poets, to set beside what a model writes.

From them come two disjoint samples and a remainder.  The first sample is what a model is compared with;
the second takes a model's place, to show how many differences chance alone makes; the remainder is what
frequencies of characters are compared with, for all the same.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from poetgen.data.poem import Poem
from poetgen.prosody.forms import FORMS, form_of

ByForm = dict[str, list[Poem]]
"""Poems by the form that was asked for; a form may have none."""


@dataclass(frozen=True)
class RealPoems:
    """Samples of real poems."""

    first: ByForm = field(default_factory=lambda: by_form([]))
    second: ByForm = field(default_factory=lambda: by_form([]))
    rest: list[Poem] = field(default_factory=list)
    """The poems in one of the forms that are in neither sample."""


def by_form(poems: Iterable[Poem]) -> ByForm:
    """Those of the poems that are in one of the four forms."""
    groups: ByForm = {form: [] for form in FORMS}
    for poem in poems:
        groups.get(form_of(poem.lines), []).append(poem)
    return groups


def draw_real(poems: Sequence[Poem], more: Sequence[Poem], *, count: int, seed: int) -> RealPoems:
    """Samples of `count` poems of each form, or of all there are.

    The first is of `poems`; the second, of the same number, of what is left of these and then of
    `more`, which are other held-out poems; the remainder is what is left of both.  The same whatever
    the order of the poems.
    """
    chance = random.Random(f"{seed}:real")
    groups, others = (by_form(_shuffled(side, chance)) for side in (poems, more))
    real = RealPoems()
    for form in FORMS:
        left = groups[form] + others[form]
        num = min(count, len(groups[form]))
        real.first[form] = left[:num]
        real.second[form] = left[num : 2 * num]
        real.rest.extend(left[2 * num :])
    return real


def _shuffled(poems: Iterable[Poem], chance: random.Random) -> list[Poem]:
    shuffled = sorted(poems, key=lambda poem: poem.text)
    chance.shuffle(shuffled)
    return shuffled
