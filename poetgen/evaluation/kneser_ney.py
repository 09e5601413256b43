"""The n-gram baseline: interpolated modified Kneser–Ney (Chen & Goodman 1998)."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from poetgen.data.poem import Poem, is_hanzi
from poetgen.data.vocab import BOS, EOS, UNK, Vocabulary
from poetgen.engine.scoring import Likelihood, unknown_surcharge
from poetgen.evaluation.ngram_index import Ints, NGramIndex, join_sequences
from poetgen.language import tr
from poetgen.progress import track

Floats = NDArray[np.float64]

ORDERS = (2, 3, 4, 5)
FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where too few n-grams have a count of one to four for the formula (as in KenLM)."""


def discounts(counts: Ints) -> tuple[float, float, float]:
    """Return what modified Kneser–Ney subtracts from a count of 1, of 2, and of 3 or more.

    Estimated from n₁ … n₄, the number of n-grams with count 1 … 4: Y = n₁/(n₁ + 2n₂),
    D₁ = 1 − 2Y·n₂/n₁, D₂ = 2 − 3Y·n₃/n₂, D₃₊ = 3 − 4Y·n₄/n₃ (Chen & Goodman 1998, equation 26).
    """
    n1, n2, n3, n4 = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    in_range = all(0 <= discount <= k for k, discount in enumerate(found, start=1))
    return found if in_range else FALLBACK


class _Level:
    """Discounted counts of one order: p(w|h) = discounted[hw] / totals[h] + backoffs[h] · lower p."""

    def __init__(self, counts: Ints, contexts: Ints, num_contexts: int) -> None:
        subtracted = np.array([0.0, *discounts(counts)])[np.minimum(counts, 3)]
        self.discounted = counts - subtracted
        self.totals = np.bincount(contexts, counts, minlength=num_contexts)
        freed = np.bincount(contexts, subtracted, minlength=num_contexts)
        self.backoffs = freed / np.maximum(self.totals, 1)


class KneserNey:
    """Kneser–Ney models of every order from 2 to `max_order` (Chen & Goodman 1998, section 3).

    The highest order uses the counts of the text; each lower order counts the distinct symbols that
    precede an n-gram, except that an n-gram at the start of a sequence, which nothing precedes, keeps
    its count.  Unigrams are interpolated with the uniform distribution over `num_outcomes` symbols.
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
        """Count `sequences`; each begins with `start`, which is context only and never predicted."""
        self._index = index = NGramIndex(sequences, order=max_order, num_symbols=num_symbols)
        self._start = start
        self._num_outcomes = num_outcomes
        unigrams = np.bincount(index[2].lasts, minlength=num_symbols)
        self._unigrams = _Level(unigrams, np.zeros_like(unigrams), 1)
        self._lower: dict[int, _Level] = {}
        self._highest: dict[int, _Level] = {}
        for n in range(2, max_order + 1):
            ngrams = index[n]
            num_contexts = num_symbols if n == 2 else len(index[n - 1].keys)
            self._highest[n] = _Level(ngrams.counts, ngrams.prefixes, num_contexts)
            if n < max_order:
                preceding = np.bincount(index[n + 1].suffixes, minlength=len(ngrams.keys))
                counts = np.where(ngrams.firsts == start, ngrams.counts, preceding)
                self._lower[n] = _Level(counts, ngrams.prefixes, num_contexts)

    def probabilities(self, tokens: Ints, order: int) -> Floats:
        """Return the probability of each token given those before it, shape (T,).

        `tokens`, shape (T,), are sequences that begin with `start`, joined by −1; the probability is
        0 at `start` and −1.
        """
        ids_by_order = list(zip(range(1, order + 1), self._index.ngram_ids(tokens), strict=False))
        level = self._unigrams
        known = np.maximum(tokens, 0)
        p = level.discounted[known] / level.totals[0] + level.backoffs[0] / self._num_outcomes
        for (shorter, context_ids), (n, ngram_ids) in pairwise(ids_by_order):
            level = self._highest[n] if n == order else self._lower[n]
            # The n-gram that ends at a position starts n − 1 = `shorter` positions before it.
            context = _shift_right(context_ids, shorter)
            ngram = _shift_right(ngram_ids, shorter)
            seen = context >= 0
            seen[seen] = level.totals[context[seen]] > 0
            of = context[seen]
            discounted = np.where(ngram[seen] >= 0, level.discounted[ngram[seen]], 0.0)
            p[seen] = discounted / level.totals[of] + level.backoffs[of] * p[seen]
        return np.where((tokens >= 0) & (tokens != self._start), p, 0.0)

    def distribution(self, context: Sequence[int], order: int) -> Floats:
        """Return the probability of each symbol after `context`, shape (V,); 0 at `start`.

        `context` begins with `start`; its last symbols are used.
        """
        num_symbols = self._index.num_symbols
        p: Floats = self._unigrams.discounted / self._unigrams.totals[0]
        p = p + self._unigrams.backoffs[0] / self._num_outcomes
        for n in range(2, min(order, len(context) + 1) + 1):
            tokens = np.array(context[len(context) - n + 1 :], dtype=np.int64)
            ids = tokens
            for shorter in range(2, n):
                keys = ids[:-1] * num_symbols + tokens[shorter - 1 :]
                ids = self._index[shorter].find(keys)
            context_id = int(ids[0])
            level = self._highest[n] if n == order else self._lower[n]
            if context_id < 0 or not level.totals[context_id]:
                continue
            ngrams = self._index[n]
            ends = np.array([context_id, context_id + 1]) * num_symbols
            first, last = np.searchsorted(ngrams.keys, ends)
            p = p * level.backoffs[context_id]
            p[ngrams.lasts[first:last]] += level.discounted[first:last] / level.totals[context_id]
        p[self._start] = 0.0
        return p


def _shift_right(values: Ints, num: int) -> Ints:
    """Return `values` moved `num` positions to the right, filled with −1."""
    shifted = np.full_like(values, -1)
    shifted[num:] = values[: len(values) - num]
    return shifted


def kneser_ney_likelihoods(
    train: Sequence[Poem],
    poems: Sequence[Poem],
    vocab: Vocabulary,
    orders: Sequence[int] = ORDERS,
) -> Mapping[int, Likelihood]:
    """Return, by order, the likelihood of `poems` under Kneser–Ney models of `train`.

    Counted as in `poetgen.engine.scoring`: over the symbols that a network with this vocabulary
    predicts (characters, punctuation, the end and <unk>), with the same surcharge for an unknown
    character.
    """
    model = KneserNey(
        (vocab.encode_poem(poem.text) for poem in train),
        num_symbols=len(vocab),
        num_outcomes=sum(len(s) == 1 or i in (EOS, UNK) for i, s in enumerate(vocab.symbols)),
        start=BOS,
        max_order=max(orders),
    )
    tokens = join_sequences(vocab.encode_poem(poem.text) for poem in poems)
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
        for order in track(orders, tr("scoring with Kneser–Ney models"))
    }
