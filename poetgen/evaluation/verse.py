"""How a poem keeps to the rules of its form: a figure from 0 to 1 for each rule.

Knows nothing of models; what is a rule and what a character's tone is says `poetgen.prosody`.  A poem
that has none of the four shapes cannot be judged, so what is said of verse is said of poems in form,
and how many those are is a figure of its own.
"""

from collections.abc import Sequence

from poetgen.data.poem import Poem
from poetgen.prosody.forms import form_of, scan


def in_form(poem: Poem, form: str) -> bool:
    """Whether a poem has the shape of the form that was asked for: number of lines, their length."""
    return form_of(poem.lines) == form


def verse_figures(poem: Poem) -> dict[str, float]:
    """By rule, 1 where the poem keeps it and 0 where not; for alternation the share of its lines.

    Empty for a poem that has none of the four shapes.
    """
    found = scan(poem.lines)
    if found is None:
        return {}
    unbroken = not any(line.breaks for line in found.lines)
    return {
        "rhyme": float(bool(found.rhyme)),
        "level_rhyme": float(found.level_rhyme),
        "first_line_rhymes": float(found.first_line_rhymes),
        "alternation": _share([line.alternates for line in found.lines]),
        "opposed": float(all(found.opposed)),
        "joined": float(all(found.joined)),
        "no_lone_level": float(not any(line.lone_level for line in found.lines)),
        "no_three_level_end": float(not any(line.three_level_end for line in found.lines)),
        "pattern_and_rhyme": float(unbroken and found.level_rhyme),
    }


def _share(kept: Sequence[bool]) -> float:
    return sum(kept) / len(kept)
