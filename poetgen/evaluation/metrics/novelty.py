"""Novelty: how much poems copy from the training text.

N-grams here are runs of n Han characters of a poem; punctuation is skipped.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from poetgen.data.bloom import LineBloomFilter
from poetgen.data.poem import Poem
from poetgen.data.split import MIN_SHARED_LINE
from poetgen.evaluation.ngram_index import Ints, NGramIndex, join_sequences

MAX_MATCH = 7
"""Matches longer than this are cut to this length."""


class TrainingLines:
    """The lines of a training text, from its poems or from a model's Bloom filters.

    Lines of fewer than `MIN_SHARED_LINE` characters are set phrases and never count as copies.
    """

    def __init__(self, poems: Iterable[Poem] = (), filters: Sequence[LineBloomFilter] = ()) -> None:
        self._lines = {line for p in poems for line in p.lines if len(line) >= MIN_SHARED_LINE}
        self._filters = tuple(filters)

    def __bool__(self) -> bool:
        return bool(self._lines or self._filters)

    def __contains__(self, line: str) -> bool:
        return line in self._lines or any(line in known for known in self._filters)

    def overlaps(self, poem: Poem) -> bool:
        """Whether a line of the poem occurs verbatim in the training text."""
        return any(line in self for line in poem.lines)

    def copied_rate(self, poem: Poem) -> float:
        """Return the share of a poem's lines that occur verbatim in the training text."""
        return sum(line in self for line in poem.lines) / max(1, len(poem.lines))


class TrainingNGrams:
    """All n-grams of a training text, up to length `MAX_MATCH`."""

    def __init__(self, poems: Sequence[Poem]) -> None:
        characters = sorted({c for poem in poems for c in poem.characters})
        self._ids = {c: i for i, c in enumerate(characters)}
        self._index = NGramIndex(
            ([self._ids[c] for c in poem.characters] for poem in poems),
            order=MAX_MATCH,
            num_symbols=max(1, len(characters)),
        )

    def match_lengths(self, poem: Poem) -> Ints:
        """Return, for each character, the length of the longest training n-gram that starts there.

        Shape (characters of the poem,), values from 0 to `MAX_MATCH`.
        """
        tokens = join_sequences([[self._ids.get(c, -1) for c in poem.characters]])
        # A position that starts a training n-gram also starts a training (n − 1)-gram.
        lengths = sum((ids >= 0).astype(np.int64) for ids in self._index.ngram_ids(tokens))
        return np.asarray(lengths, dtype=np.int64)[: len(poem.characters)]


def seen_rate(match_lengths: Ints, n: int) -> float | None:
    """Return the share of a poem's n-grams that occur in the training text; None if it has none."""
    starts = match_lengths[: max(0, len(match_lengths) - n + 1)]
    return float((starts >= n).mean()) if len(starts) else None
