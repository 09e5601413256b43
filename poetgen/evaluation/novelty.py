"""Diversity and copying: how poems repeat themselves, each other, and the training text.

N-grams here are runs of n Han characters of a poem, its marks left out.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from poetgen.data.lines import LineSet
from poetgen.data.poem import Poem
from poetgen.data.split import MIN_SHARED_LINE
from poetgen.evaluation.ngram import Ints, NGramIndex, joined

LONGEST = 7
"""A copy of more characters is not told from one of these many."""


def grams(poem: Poem, n: int) -> list[str]:
    """The n-grams of a poem in their order."""
    characters = poem.characters
    return [characters[i : i + n] for i in range(len(characters) - n + 1)]


def distinct(poems: Sequence[Poem], n: int) -> float:
    """Distinct n-grams over all n-grams of the poems together (Li et al. 2016).

    It falls with the number of poems, so only samples of equal size compare.
    """
    every = [gram for poem in poems for gram in grams(poem, n)]
    return len(set(every)) / max(1, len(every))


def self_bleu(poems: Sequence[Poem], order: int = 2) -> float:
    """The mean BLEU of each poem with all the others as its references; 0 for a poem alone.

    Self-BLEU (Zhu et al. 2018, Texygen): 1 where every poem stands twice.  BLEU (Papineni et al. 2002)
    up to `order`, not smoothed: the geometric mean of the precisions, a gram counted at most as often
    as in the reference that has it most, times the penalty of a poem shorter than the reference
    nearest in length.
    """
    if len(poems) < 2:
        return 0.0
    counts = [[Counter(grams(poem, n)) for n in range(1, order + 1)] for poem in poems]
    best = [_two_most(counts, n) for n in range(order)]
    lengths = Counter(len(poem.characters) for poem in poems)
    total = 0.0
    for index, (poem, own) in enumerate(zip(poems, counts, strict=True)):
        precisions = [_precision(own[n], best[n], index) for n in range(order)]
        if min(precisions) > 0:
            mean = math.exp(math.fsum(map(math.log, precisions)) / order)
            total += mean * _brevity(len(poem.characters), lengths)
    return total / len(poems)


_Most = dict[str, tuple[int, int, int]]


def _two_most(counts: Sequence[Sequence[Counter[str]]], n: int) -> _Most:
    """Of each gram: how often it stands in the poem that has it most, which that is, and the second."""
    most: _Most = {}
    for index, own in enumerate(counts):
        for gram, count in own[n].items():
            first, owner, second = most.get(gram, (0, index, 0))
            if count > first:
                most[gram] = (count, index, first)
            elif count > second:
                most[gram] = (first, owner, count)
    return most


def _precision(own: Counter[str], most: _Most, index: int) -> float:
    clipped = 0
    for gram, count in own.items():
        first, owner, second = most[gram]
        clipped += min(count, second if owner == index else first)
    return clipped / max(1, own.total())


def _brevity(length: int, lengths: Counter[int]) -> float:
    others = lengths - Counter([length])
    nearest = min(others, key=lambda other: (abs(other - length), other))
    return 1.0 if length >= nearest else math.exp(1 - nearest / length)


def repeated_characters(poem: Poem) -> float:
    """The share of a poem's characters that stood in it before."""
    return _repeated(poem.characters)


def repeated_lines(poems: Sequence[Poem]) -> float:
    """The share of all lines that stood before, in the same poem or in another."""
    return _repeated([line for poem in poems for line in poem.lines])


def _repeated(items: Sequence[str]) -> float:
    return (len(items) - len(set(items))) / max(1, len(items))


class TrainingLines:
    """The lines that a model was trained on, as far as they are known.

    As in `LineSet`, lines of fewer than `MIN_SHARED_LINE` characters are set phrases and no copies.
    """

    def __init__(self, poems: Iterable[Poem] = (), sets: Sequence[LineSet] = ()) -> None:
        self._lines = {line for p in poems for line in p.lines if len(line) >= MIN_SHARED_LINE}
        self._sets = tuple(sets)

    def __bool__(self) -> bool:
        return bool(self._lines or self._sets)

    def __contains__(self, line: str) -> bool:
        return line in self._lines or any(line in known for known in self._sets)

    def verbatim(self, poem: Poem) -> float:
        """The share of a poem's lines that stand in the training text word for word."""
        return sum(line in self for line in poem.lines) / max(1, len(poem.lines))


class TrainingGrams:
    """All n-grams of the training text, up to `LONGEST`."""

    def __init__(self, poems: Sequence[Poem]) -> None:
        characters = sorted({c for poem in poems for c in poem.characters})
        self._ids = {c: i for i, c in enumerate(characters)}
        self._index = NGramIndex(
            ([self._ids[c] for c in poem.characters] for poem in poems),
            order=LONGEST,
            num_symbols=max(1, len(characters)),
        )

    def matches(self, poem: Poem) -> Ints:
        """From each character on, how many characters in a row stand in the training text.

        `LONGEST` at most.
        """
        tokens = joined([[self._ids.get(c, -1) for c in poem.characters]])
        # Whatever begins an n-gram that was seen begins an (n − 1)-gram that was seen.
        seen = sum((names >= 0).astype(np.int64) for names in self._index.names(tokens))
        return np.asarray(seen, dtype=np.int64)[: len(poem.characters)]


def seen_share(matches: Ints, n: int) -> float | None:
    """The share of a poem's n-grams that were seen; None where it has none.  See `matches`."""
    whole = matches[: len(matches) - n + 1] if len(matches) >= n else matches[:0]
    return float((whole >= n).mean()) if len(whole) else None


def has_copy(matches: Ints, length: int) -> bool:
    """Whether at least `length` characters in a row were copied, over line ends too."""
    return bool((matches >= length).any())
