"""Verses made by rule: the pattern and the rhyme of their form, and a taste in pairs of characters.

They mean nothing.  But they rhyme and scan about as often as poems do, share pairs of characters with
each other and no line, and any number of them can be had, so that one can tell a sample of them from
one that was spoilt.
"""

import random
from collections.abc import Sequence
from functools import cache

from poetgen.data.corpus import STARTER_FILE
from poetgen.data.poem import MARKS, Poem
from poetgen.prosody.forms import FORMS, LEVEL, Form
from poetgen.prosody.phonology import Reading, readings

_PATTERNS = {"a": "仄仄平平仄", "A": "仄仄仄平平", "b": "平平平仄仄", "B": "平平仄仄平"}
_NUM_FOLLOWERS = 5
_LICENCE = 0.1
"""How often a poem forgets its rhyme, and how often a line its pattern."""


def verses(form: str, num: int, seed: int) -> list[Poem]:
    """`num` poems of a form."""
    chance = random.Random(f"{form}:{seed}")
    return [_compose(FORMS[form], chance) for _ in range(num)]


def shuffled(poem: Poem, chance: random.Random) -> Poem:
    """The poem with its characters in any order, its marks in their places."""
    characters = list(poem.characters)
    chance.shuffle(characters)
    following = iter(characters)
    return Poem("".join(c if c in MARKS else next(following) for c in poem.text))


def _compose(form: Form, chance: random.Random) -> Poem:
    group = chance.choice(sorted(_rhyme_words()))
    order = chance.choice(form.orders)
    forgets = chance.random() < _LICENCE
    lines = []
    for number, line_type in enumerate(order):
        pattern = _PATTERNS[line_type]
        if form.line_length == 7:
            pattern = ("仄仄" if pattern[1] == LEVEL else "平平") + pattern
        if chance.random() < _LICENCE:
            pattern = "".join(chance.choices("平仄", k=len(pattern)))
        line = _line(pattern, chance)
        if number % 2 and not forgets:
            line = line[:-1] + chance.choice(_rhyme_words()[group])
        lines.append(line)
    couplets = zip(lines[::2], lines[1::2], strict=True)
    return Poem("".join(f"{one}，{other}。" for one, other in couplets))


def _line(pattern: str, chance: random.Random) -> str:
    line = chance.choice(_by_tone()[pattern[0]])
    for tone in pattern[1:]:
        line += chance.choice(_followers(line[-1], tone))
    return line


@cache
def _followers(character: str, tone: str) -> Sequence[str]:
    """The few characters of a tone that may stand behind another."""
    return random.Random(f"{character}{tone}").sample(_by_tone()[tone], _NUM_FOLLOWERS)


@cache
def _by_tone() -> dict[str, list[str]]:
    """Characters that are always level, and such as are always oblique."""
    groups: dict[str, list[str]] = {"平": [], "仄": []}
    for character, own in _characters().items():
        tones = {reading.tone for reading in own}
        if tones == {LEVEL}:
            groups["平"].append(character)
        elif tones and LEVEL not in tones:
            groups["仄"].append(character)
    return groups


@cache
def _rhyme_words() -> dict[str, list[str]]:
    """Rhyme groups with at least eight level characters that are in no other."""
    groups: dict[str, list[str]] = {}
    for character, own in _characters().items():
        if len(own) == 1 and next(iter(own)).tone == LEVEL:
            groups.setdefault(next(iter(own)).rhyme, []).append(character)
    return {group: words for group, words in groups.items() if len(words) >= 8}


@cache
def _characters() -> dict[str, frozenset[Reading]]:
    """The characters of the starter verses and their readings."""
    text = STARTER_FILE.read_text(encoding="utf-8")
    verse = "".join(line for line in text.splitlines() if not line.startswith("#"))
    return {c: readings(c) for c in sorted(set(verse) - set(MARKS))}
