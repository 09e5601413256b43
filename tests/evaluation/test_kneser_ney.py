"""Kneser–Ney: two tiny cases by hand, and larger ones against a plain reference."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from poetgen.data.poem import Poem
from poetgen.data.vocab import SPECIALS, Vocabulary
from poetgen.evaluation.kneser_ney import (
    FALLBACK,
    KneserNey,
    discounts,
    kneser_ney_likelihoods,
)
from poetgen.evaluation.ngram_index import join_sequences

START, END, A, B = range(4)


def model(sequences: Sequence[Sequence[int]], order: int, num_symbols: int = 4) -> KneserNey:
    return KneserNey(
        sequences,
        num_symbols=num_symbols,
        num_outcomes=num_symbols - 1,  # all but the start
        start=START,
        max_order=order,
    )


def p(kn: KneserNey, context: Sequence[int], symbol: int, order: int) -> float:
    return float(kn.probabilities(join_sequences([[*context, symbol]]), order)[len(context)])


def test_kneser_ney_bigrams_by_hand() -> None:
    """Text: ^ab$ and ^aa$.

    Bigrams: ^a 2, ab 1, b$ 1, aa 1, a$ 1.  n₃ is 0, so the formula fails: discounts 0.5, 1, 1.5.
    Unigrams count distinct predecessors: a {^, a} 2, b {a} 1, $ {b, a} 2; 5 in all.  Freed mass:
    (1 + 0.5 + 1)/5 = 1/2, shared among three.  p(a) = 1/5 + 1/6 = 11/30, p(b) = 0.5/5 + 1/6 = 8/30,
    p($) = 11/30.
    """
    kn = model([[START, A, B, END], [START, A, A, END]], 2)
    expected = {
        # (2 − 1)/2, and 1/2 backs off to p(a).
        (START, A): Fraction(1, 2) + Fraction(1, 2) * Fraction(11, 30),
        (START, B): Fraction(1, 2) * Fraction(8, 30),
        # a precedes b, a and $, once each: (1 − 0.5)/3, and 1.5/3 backs off.
        (A, B): Fraction(1, 6) + Fraction(1, 2) * Fraction(8, 30),
        (A, A): Fraction(1, 6) + Fraction(1, 2) * Fraction(11, 30),
        (B, END): Fraction(1, 2) + Fraction(1, 2) * Fraction(11, 30),
        (B, B): Fraction(1, 2) * Fraction(8, 30),
    }
    for (context, symbol), probability in expected.items():
        assert p(kn, [context], symbol, 2) == pytest.approx(float(probability)), (context, symbol)


def test_kneser_ney_trigrams_by_hand() -> None:
    """Text: ^ab$ twice and ^ba$.

    Trigrams: ^ab 2, ab$ 2, ^ba 1, ba$ 1.  Bigrams count distinct predecessors: ab, b$, ba, a$ one
    each; but ^a 2 and ^b 1 keep their counts, because nothing precedes a start.
    Unigrams: a {^, b} 2, b {a, ^} 2, $ {b, a} 2; 1 is subtracted from each: p = 1/6 + 1/2 · 1/3 = 1/3.
    Discounts are 0.5, 1, 1.5 on every level.
    """
    kn = model([[START, A, B, END]] * 2 + [[START, B, A, END]], 3)
    third = Fraction(1, 3)
    # After a: b and $, one each: (1 − 0.5)/2, and 1/2 backs off.
    after_a = {B: Fraction(1, 4) + third / 2, END: Fraction(1, 4) + third / 2, A: third / 2}
    expected = {
        # The highest order uses the counts of the text: (2 − 1)/2, and 1/2 backs off.
        ((START, A), B): Fraction(1, 2) + after_a[B] / 2,
        ((START, A), END): after_a[END] / 2,
        ((START, A), A): after_a[A] / 2,
        # After b: $ and a, one each, as after a.
        ((A, B), END): Fraction(1, 2) + after_a[B] / 2,
        # The context a a was never seen: back off to the context a.
        ((A, A), B): after_a[B],
        # First position: ^a 2, ^b 1 of 3: (2 − 1)/3, and (1 + 0.5)/3 backs off.
        ((START,), A): third + third / 2,
    }
    for (context, symbol), probability in expected.items():
        assert p(kn, context, symbol, 3) == pytest.approx(float(probability)), (context, symbol)


def test_discounts_by_hand() -> None:
    counts = np.array([1] * 8 + [2] * 4 + [3] * 2 + [4] + [9, 0, 0])
    # Y = 8/(8 + 8) = ½; 1 − 2 · ½ · 4/8, 2 − 3 · ½ · 2/4, 3 − 4 · ½ · 1/2.
    assert discounts(counts) == (0.5, 1.25, 2.0)


@pytest.mark.parametrize(
    "counts",
    [
        [],
        [1, 1, 2, 3],
        [2, 3, 4],
        # D₂ = 2 − 3 · ⅓ · 9/1 would be negative.
        [1, 2, *[3] * 9, 4],
    ],
)
def test_discounts_fall_back_if_undefined(counts: list[int]) -> None:
    assert discounts(np.array(counts, dtype=np.int64)) == FALLBACK


class Reference:
    """A plain implementation of Kneser–Ney with dictionaries."""

    def __init__(self, sequences: Sequence[Sequence[int]], order: int, outcomes: int) -> None:
        self.outcomes = outcomes
        self.counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
        for s in sequences:
            for n in range(1, order + 1):
                self.counts[n].update(tuple(s[i : i + n]) for i in range(len(s) - n + 1))
        for n in range(1, order):
            adjusted = Counter(ngram[1:] for ngram in self.counts[n + 1])
            starts = {g: c for g, c in self.counts[n].items() if g[0] == START and n > 1}
            self.counts[n] = adjusted | Counter(starts)
        self.discounts = [discounts(np.array(list(c.values()) or [0])) for c in self.counts]

    def p(self, context: tuple[int, ...], symbol: int) -> float:
        n = len(context) + 1
        followers = {g[-1]: c for g, c in self.counts[n].items() if g[:-1] == context}
        lower = self.p(context[1:], symbol) if context else 1 / self.outcomes
        total = sum(followers.values())
        if not total:
            return lower
        subtracted = {w: self.discounts[n][min(c, 3) - 1] for w, c in followers.items()}
        own = followers.get(symbol, 0) - subtracted.get(symbol, 0.0)
        return own / total + sum(subtracted.values()) / total * lower


def random_text(num_symbols: int, seed: int, num: int = 60) -> list[list[int]]:
    """Return sequences in which some n-grams are frequent and most are rare."""
    rng = random.Random(seed)
    symbols = range(2, num_symbols)
    weights = [1 / rank for rank in range(1, len(symbols) + 1)]
    return [[START, *rng.choices(symbols, weights, k=rng.randrange(1, 9)), END] for _ in range(num)]


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", [1, 2])
def test_kneser_ney_matches_plain_implementation(order: int, seed: int) -> None:
    text, fresh = random_text(9, seed), random_text(9, seed + 10, num=10)
    kn, reference = model(text, 5, 9), Reference(text, order, 8)
    assert any(found != FALLBACK for found in reference.discounts[1:])
    found = kn.probabilities(join_sequences(fresh), order)
    expected = [
        probability
        for s in fresh
        for probability in (
            0.0,
            *(reference.p(tuple(s[max(0, i - order + 1) : i]), s[i]) for i in range(1, len(s))),
            0.0,
        )
    ]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_probabilities_sum_to_one_in_any_context(order: int) -> None:
    kn = model(random_text(7, 3), 5, 7)
    for context in product(range(1, 7), repeat=min(order - 1, 2)):
        whole = sum(p(kn, [START, *context], symbol, order) for symbol in range(1, 7))
        assert whole == pytest.approx(1)


def test_probabilities_do_not_depend_on_max_order() -> None:
    text = random_text(9, 4)
    tokens = join_sequences(random_text(9, 5, num=5))
    exact, larger = model(text, 3, 9), model(text, 5, 9)
    assert exact.probabilities(tokens, 3) == pytest.approx(larger.probabilities(tokens, 3))


def test_likelihoods_count_tokens_as_scoring_does() -> None:
    vocab = Vocabulary((*SPECIALS, *"，。？！", "山", "云", "<form:五绝>"))
    found = kneser_ney_likelihoods([Poem("山云。")] * 3, [Poem("山鹤。")], vocab, orders=(2,))[2]
    assert (found.poems, found.tokens, found.unknown_tokens, found.hanzi) == (1, 4, 1, 2)
    # Bigrams: ^山 山云 云。 。$, three each, so each unigram 1 of 4; 0.5 of each is freed: ½ for the
    # eight symbols end, <unk>, four marks, 山 and 云.
    once, never = 0.5 / 4 + 0.5 / 8, 0.5 / 8
    # After ^: (3 − 1.5)/3, and ½ backs off; after <unk> only the unigrams.
    probabilities = [0.5 + once / 2, never / 2, once, 0.5 + once / 2]
    nats = -sum(map(math.log, probabilities)) + math.log(20992 - 2)
    assert found.nats == pytest.approx(nats)


def test_likelihoods_of_all_orders_by_default() -> None:
    vocab = Vocabulary((*SPECIALS, *"，。？！", *"山云"))
    train = [Poem("山云。山云，云山。"), Poem("云云山。")]
    found = kneser_ney_likelihoods(train, [Poem("山云。"), Poem("云。")], vocab)
    assert list(found) == [2, 3, 4, 5]
    assert all(one.tokens == 7 and math.isfinite(one.nats) for one in found.values())


def test_distribution_agrees_with_the_probability_of_each_symbol() -> None:
    rng = random.Random(3)
    texts = [[0, *(rng.randrange(1, 9) for _ in range(rng.randrange(3, 12)))] for _ in range(60)]
    kn = model(texts, 4, num_symbols=9)
    for text in [*texts[:10], [0, 3, 3, 3, 3, 7, 2, 2, 8]]:
        for length in range(1, len(text) + 1):
            for order in (2, 3, 4):
                found = kn.distribution(text[:length], order)
                assert found[START] == 0
                assert found.sum() == pytest.approx(1)
                expected = [p(kn, text[:length], symbol, order) for symbol in range(1, 9)]
                assert found[1:] == pytest.approx(expected)
