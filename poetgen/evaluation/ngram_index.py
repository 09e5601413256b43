"""An exact index of the n-grams of sequences of symbols, counted by sorting integers.

Each n-gram has an id: the id of its first n − 1 symbols and its last symbol form a key, and its id is
the rank of the key (Karp, Miller & Rosenberg 1972).  There is no hashing, so no two n-grams collide.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from poetgen.language import tr
from poetgen.progress import track

Ints = NDArray[np.int64]

_NONE = -1
"""Separates sequences, and is the id of an unknown symbol or n-gram."""


@dataclass(frozen=True)
class NGrams:
    """The distinct n-grams of one order; all arrays are indexed by n-gram id."""

    keys: Ints
    """Id of the first n − 1 symbols × number of symbols + last symbol; ascending."""
    counts: Ints
    """Number of occurrences."""
    suffixes: Ints
    """Id of the last n − 1 symbols."""
    firsts: Ints
    """First symbol."""
    num_symbols: int

    @cached_property
    def prefixes(self) -> Ints:
        """Id of the first n − 1 symbols."""
        return self.keys // self.num_symbols

    @cached_property
    def lasts(self) -> Ints:
        """Last symbol."""
        return self.keys % self.num_symbols

    def find(self, keys: Ints) -> Ints:
        """Return the id of each key; −1 where it is unknown."""
        if not len(self.keys):
            return np.full_like(keys, _NONE)
        ids = np.searchsorted(self.keys, keys)
        ids[ids == len(self.keys)] = 0
        return np.where(self.keys[ids] == keys, ids, _NONE)


class NGramIndex:
    """All n-grams of `sequences`, from order 2 to `order`; symbols are numbers from 0.

    index = NGramIndex([[1, 2], [3, 1, 2]], order=3, num_symbols=4)
    index[2].counts  # of (1, 2) and (3, 1): [2, 1]
    """

    def __init__(self, sequences: Iterable[Sequence[int]], *, order: int, num_symbols: int) -> None:
        self.order = order
        self.num_symbols = num_symbols
        self._ngrams: dict[int, NGrams] = {}
        tokens = join_sequences(sequences)
        ids = tokens
        for n in track(range(2, order + 1), tr("counting n-grams")):
            positions, keys = _keys(ids, tokens, n, num_symbols)
            unique, first, inverse, counts = np.unique(
                keys, return_index=True, return_inverse=True, return_counts=True
            )
            self._ngrams[n] = NGrams(
                keys=unique,
                counts=counts.astype(np.int64),
                suffixes=ids[positions[first] + 1],
                firsts=tokens[positions[first]],
                num_symbols=num_symbols,
            )
            ids = np.full_like(tokens, _NONE)
            ids[positions] = inverse.reshape(-1)

    def __getitem__(self, n: int) -> NGrams:
        """Return the n-grams of order `n`, 2 or higher."""
        return self._ngrams[n]

    def ngram_ids(self, tokens: Ints) -> Iterator[Ints]:
        """Yield, for n = 1, 2, …, the id of the n-gram that starts at each position; −1 if unknown.

        `tokens`, shape (T,), are symbols of this index, −1 for others and between sequences.
        """
        ids = tokens
        yield ids
        for n in range(2, self.order + 1):
            positions, keys = _keys(ids, tokens, n, self.num_symbols)
            ids = np.full_like(tokens, _NONE)
            ids[positions] = self._ngrams[n].find(keys)
            yield ids


def join_sequences(sequences: Iterable[Sequence[int]]) -> Ints:
    """Concatenate the sequences, with −1 after each."""
    flat = [symbol for sequence in sequences for symbol in (*sequence, _NONE)]
    return np.array(flat, dtype=np.int64)


def _keys(ids: Ints, tokens: Ints, n: int, num_symbols: int) -> tuple[Ints, Ints]:
    """Return the positions where an n-gram can start, given the (n − 1)-gram ids, and its keys."""
    last = np.full_like(tokens, _NONE)
    last[: max(0, len(tokens) - n + 1)] = tokens[n - 1 :]
    positions = np.flatnonzero((ids >= 0) & (last >= 0))
    return positions, ids[positions] * num_symbols + last[positions]
