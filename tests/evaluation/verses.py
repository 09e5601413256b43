"""Verses composed by rule: the pattern and the rhyme of their form, with preferred character pairs.

They have no meaning, but they rhyme and scan about as often as real poems, share pairs of characters but
no lines, and come in any number, so that a test can compare samples of them with damaged samples.
"""

import random
from collections.abc import Sequence
from functools import cache

from poetgen.data.corpus import STARTER_FILE
from poetgen.data.poem import Poem
from poetgen.prosody.forms import FORMS, LEVEL, Form
from poetgen.prosody.marks import MARKS
from poetgen.prosody.phonology import Reading, readings

_PATTERNS = {"a": "仄仄平平仄", "A": "仄仄仄平平", "b": "平平平仄仄", "B": "平平仄仄平"}
_NUM_FOLLOWERS = 5
_LICENSE_RATE = 0.1
"""Probability that a poem does not rhyme, and that a line breaks its pattern."""


def verses(form: str, num: int, seed: int) -> list[Poem]:
    """Compose `num` poems of a form."""
    rng = random.Random(f"{form}:{seed}")
    return [_compose(FORMS[form], rng) for _ in range(num)]


def shuffled(poem: Poem, rng: random.Random) -> Poem:
    """Return the poem with its characters shuffled and its punctuation in place."""
    characters = list(poem.characters)
    rng.shuffle(characters)
    following = iter(characters)
    return Poem("".join(c if c in MARKS else next(following) for c in poem.text))


def _compose(form: Form, rng: random.Random) -> Poem:
    group = rng.choice(sorted(_rhyme_words()))
    order = rng.choice(form.orders)
    skips_rhyme = rng.random() < _LICENSE_RATE
    lines = []
    for number, line_type in enumerate(order):
        pattern = _PATTERNS[line_type]
        if form.line_length == 7:
            pattern = ("仄仄" if pattern[1] == LEVEL else "平平") + pattern
        if rng.random() < _LICENSE_RATE:
            pattern = "".join(rng.choices("平仄", k=len(pattern)))
        line = _line(pattern, rng)
        if number % 2 and not skips_rhyme:
            line = line[:-1] + rng.choice(_rhyme_words()[group])
        lines.append(line)
    couplets = zip(lines[::2], lines[1::2], strict=True)
    return Poem("".join(f"{one}，{other}。" for one, other in couplets))


def _line(pattern: str, rng: random.Random) -> str:
    line = rng.choice(_by_tone()[pattern[0]])
    for tone in pattern[1:]:
        line += rng.choice(_followers(line[-1], tone))
    return line


@cache
def _followers(character: str, tone: str) -> Sequence[str]:
    """Return the few characters of a tone that may follow a character."""
    return random.Random(f"{character}{tone}").sample(_by_tone()[tone], _NUM_FOLLOWERS)


@cache
def _by_tone() -> dict[str, list[str]]:
    """Return the characters that are always level, and those that are always oblique."""
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
    """Return rhyme groups with at least eight level characters that are in no other group."""
    groups: dict[str, list[str]] = {}
    for character, own in _characters().items():
        if len(own) == 1 and next(iter(own)).tone == LEVEL:
            groups.setdefault(next(iter(own)).rhyme, []).append(character)
    return {group: words for group, words in groups.items() if len(words) >= 8}


@cache
def _characters() -> dict[str, frozenset[Reading]]:
    """Return the characters of the starter verses with their readings."""
    text = STARTER_FILE.read_text(encoding="utf-8")
    verse = "".join(line for line in text.splitlines() if not line.startswith("#"))
    return {c: readings(c) for c in sorted(set(verse) - set(MARKS))}
