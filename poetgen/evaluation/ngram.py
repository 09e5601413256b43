"""N-grams counted exactly, and the Kneser–Ney model of them: the baseline that a network has to beat.

An n-gram goes by a number: that of its first n − 1 symbols and its last symbol make a key, and its
number is the key's rank (Karp, Miller & Rosenberg 1972).  So any order is counted by sorting integers,
without a hash that could take one n-gram for another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import BOS, EOS, UNK, Vocabulary
from poetgen.model.likelihood import Likelihood, unknown_surcharge

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ORDERS = (2, 3, 4, 5)
_NONE = -1
"""Between two sequences, and in place of a symbol or an n-gram that has no number."""


@dataclass(frozen=True)
class Grams:
    """The distinct n-grams of one order, in the order of their numbers."""

    keys: Ints
    """Number of the first n − 1 symbols × number of symbols + last symbol; ascending."""
    counts: Ints
    """How often each stands in the text."""
    suffixes: Ints
    """The number of its last n − 1 symbols."""
    firsts: Ints
    """Its first symbol."""
    num_symbols: int

    @cached_property
    def prefixes(self) -> Ints:
        """The number of its first n − 1 symbols."""
        return self.keys // self.num_symbols

    @cached_property
    def lasts(self) -> Ints:
        """Its last symbol."""
        return self.keys % self.num_symbols

    def find(self, keys: Ints) -> Ints:
        """The number of each key's n-gram; −1 where the text has none."""
        if not len(self.keys):
            return np.full_like(keys, _NONE)
        places = np.searchsorted(self.keys, keys)
        places[places == len(self.keys)] = 0
        return np.where(self.keys[places] == keys, places, _NONE)


class NGramIndex:
    """All n-grams, up to an order, that stand within sequences of symbols (numbers from 0)."""

    def __init__(self, sequences: Iterable[Sequence[int]], *, order: int, num_symbols: int) -> None:
        self.order = order
        self.num_symbols = num_symbols
        self._grams: dict[int, Grams] = {}
        tokens = joined(sequences)
        names = tokens
        for n in range(2, order + 1):
            places, keys = _keys(names, tokens, n, num_symbols)
            unique, first, inverse, counts = np.unique(
                keys, return_index=True, return_inverse=True, return_counts=True
            )
            self._grams[n] = Grams(
                keys=unique,
                counts=counts.astype(np.int64),
                suffixes=names[places[first] + 1],
                firsts=tokens[places[first]],
                num_symbols=num_symbols,
            )
            names = np.full_like(tokens, _NONE)
            names[places] = inverse.reshape(-1)

    def __getitem__(self, n: int) -> Grams:
        """The n-grams of order `n`, from 2."""
        return self._grams[n]

    def names(self, tokens: Ints) -> Iterator[Ints]:
        """For n = 1, 2, … the number of the n-gram that begins at each place; −1 where there is none.

        `tokens` are symbols of this index, −1 for others and between sequences.
        """
        names = tokens
        yield names
        for n in range(2, self.order + 1):
            places, keys = _keys(names, tokens, n, self.num_symbols)
            names = np.full_like(tokens, _NONE)
            names[places] = self._grams[n].find(keys)
            yield names


def joined(sequences: Iterable[Sequence[int]]) -> Ints:
    """The sequences one after another, with a −1 behind each."""
    flat = [symbol for sequence in sequences for symbol in (*sequence, _NONE)]
    return np.array(flat, dtype=np.int64)


def _keys(names: Ints, tokens: Ints, n: int, num_symbols: int) -> tuple[Ints, Ints]:
    """The places where an n-gram may begin, given the numbers of the (n − 1)-grams, and its keys."""
    following = np.full_like(tokens, _NONE)
    following[: max(0, len(tokens) - n + 1)] = tokens[n - 1 :]
    places = np.flatnonzero((names >= 0) & (following >= 0))
    return places, names[places] * num_symbols + following[places]


@dataclass(frozen=True)
class Discounts:
    """What modified Kneser–Ney takes from a count of 1, of 2, and of 3 or more."""

    one: float
    two: float
    more: float

    def of(self, counts: Ints) -> Floats:
        """The discount of each count."""
        return np.array([0.0, self.one, self.two, self.more])[np.minimum(counts, 3)]


FALLBACK = Discounts(0.5, 1.0, 1.5)
"""Where the formula has no answer because too few n-grams were seen once to four times (as in KenLM)."""


def discounts(counts: Ints) -> Discounts:
    """From how many n-grams have a count of 1, 2, 3 and 4: n₁ … n₄.

    Y = n₁/(n₁ + 2n₂), D₁ = 1 − 2Y·n₂/n₁, D₂ = 2 − 3Y·n₃/n₂, D₃₊ = 3 − 4Y·n₄/n₃ (Chen & Goodman 1998,
    equation 26).
    """
    n1, n2, n3, n4 = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = Discounts(1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    in_range = 0 <= found.one <= 1 and 0 <= found.two <= 2 and 0 <= found.more <= 3
    return found if in_range else FALLBACK


class _Level:
    """Discounted counts of one order: p(w|h) = discounted[hw] / totals[h] + backoffs[h] · lower p."""

    def __init__(self, counts: Ints, contexts: Ints, num_contexts: int) -> None:
        taken = discounts(counts).of(counts)
        self.discounted = counts - taken
        self.totals = np.bincount(contexts, counts, minlength=num_contexts)
        left = np.bincount(contexts, taken, minlength=num_contexts)
        self.backoffs = left / np.maximum(self.totals, 1)


class KneserNey:
    """Interpolated modified Kneser–Ney (Chen & Goodman 1998, section 3) of every order up to one.

    The highest order has the counts of the text, each lower one counts the symbols that stand before
    an n-gram; an n-gram that begins a poem has nothing before it, so there its own count stands.
    Unigrams are interpolated with the uniform distribution over `num_outcomes` symbols.
    """

    def __init__(
        self,
        sequences: Iterable[Sequence[int]],
        *,
        num_symbols: int,
        num_outcomes: int,
        start: int,
        max_order: int,
    ) -> None:
        """Each of `sequences` begins with `start`, which is read and never foretold."""
        self._index = index = NGramIndex(sequences, order=max_order, num_symbols=num_symbols)
        self._start = start
        self._num_outcomes = num_outcomes
        unigrams = np.bincount(index[2].lasts, minlength=num_symbols)
        self._unigrams = _Level(unigrams, np.zeros_like(unigrams), 1)
        self._lower: dict[int, _Level] = {}
        self._highest: dict[int, _Level] = {}
        for n in range(2, max_order + 1):
            grams = index[n]
            num_contexts = num_symbols if n == 2 else len(index[n - 1].keys)
            self._highest[n] = _Level(grams.counts, grams.prefixes, num_contexts)
            if n < max_order:
                before = np.bincount(index[n + 1].suffixes, minlength=len(grams.keys))
                counts = np.where(grams.firsts == start, grams.counts, before)
                self._lower[n] = _Level(counts, grams.prefixes, num_contexts)

    def probabilities(self, tokens: Ints, order: int) -> Floats:
        """The probability of each token given what stands before it; 0 for starts and between sequences.

        `tokens` are sequences, each from its `start`, joined by −1.
        """
        names = list(zip(range(1, order + 1), self._index.names(tokens), strict=False))
        level = self._unigrams
        known = np.maximum(tokens, 0)
        p = level.discounted[known] / level.totals[0] + level.backoffs[0] / self._num_outcomes
        for (shorter, contexts), (n, grams) in pairwise(names):
            level = self._highest[n] if n == order else self._lower[n]
            # The n-gram that ends at a place begins n − 1 = `shorter` places before it.
            context = _shifted(contexts, shorter)
            gram = _shifted(grams, shorter)
            seen = context >= 0
            seen[seen] = level.totals[context[seen]] > 0
            of = context[seen]
            discounted = np.where(gram[seen] >= 0, level.discounted[gram[seen]], 0.0)
            p[seen] = discounted / level.totals[of] + level.backoffs[of] * p[seen]
        return np.where((tokens >= 0) & (tokens != self._start), p, 0.0)


def _shifted(values: Ints, places: int) -> Ints:
    """`values` moved `places` to the right, −1 in the places that become free."""
    moved = np.full_like(values, _NONE)
    moved[places:] = values[: len(values) - places]
    return moved


def baseline(
    train: Sequence[Poem],
    poems: Sequence[Poem],
    vocab: Vocabulary,
    orders: Sequence[int] = ORDERS,
) -> Mapping[int, Likelihood]:
    """By order, the likelihood of `poems` under Kneser–Ney of `train`.

    By the convention of `poetgen.model.likelihood`, over the symbols that a model with this vocabulary
    foretells: characters, marks, the end and <unk>, with the same surcharge for an unknown character.
    """
    model = KneserNey(
        (vocab.encode_poem(poem.text) for poem in train),
        num_symbols=len(vocab),
        num_outcomes=sum(len(s) == 1 or i in (EOS, UNK) for i, s in enumerate(vocab.symbols)),
        start=BOS,
        max_order=max(orders),
    )
    tokens = joined(vocab.encode_poem(poem.text) for poem in poems)
    counted = (tokens >= 0) & (tokens != BOS)
    num_unknown = int((tokens == UNK).sum())
    surcharge = num_unknown * unknown_surcharge(vocab)
    return {
        order: Likelihood(
            poems=len(poems),
            tokens=int(counted.sum()),
            unknown_tokens=num_unknown,
            hanzi=sum(map(is_hanzi, "".join(poem.text for poem in poems))),
            nats=float(-np.log(model.probabilities(tokens, order)[counted]).sum()) + surcharge,
        )
        for order in orders
    }
