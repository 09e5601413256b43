"""Diversity and distribution: how much poems repeat, and which characters they use.

N-grams here are runs of n Han characters of a poem; punctuation is skipped.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from poetgen.data.poem import Poem


def character_ngrams(poem: Poem, n: int) -> list[str]:
    """Return the n-grams of a poem, in order.

    >>> character_ngrams(Poem("山云，月。"), 2)
    ['山云', '云月']
    """
    characters = poem.characters
    return [characters[i : i + n] for i in range(len(characters) - n + 1)]


def frequencies(poems: Iterable[Poem], n: int) -> Counter[str]:
    """Count the n-grams of characters in the poems."""
    return Counter(ngram for poem in poems for ngram in character_ngrams(poem, n))


def distinct(poems: Sequence[Poem], n: int) -> float:
    """Return distinct-n: distinct n-grams over all n-grams of the poems (Li et al. 2016).

    It falls as the number of poems grows, so compare only samples of equal size.
    """
    counts = frequencies(poems, n)
    return len(counts) / max(1, counts.total())


def self_bleu(poems: Sequence[Poem], order: int = 2) -> float:
    """Return the mean BLEU of each poem against all others; 0 for a single poem.

    Self-BLEU: Zhu et al. 2018 (Texygen).  It is 1 where every poem occurs twice.  BLEU: Papineni et
    al. 2002, up to n-grams of length `order`, not smoothed: the geometric mean of the clipped
    precisions times the brevity penalty for the reference nearest in length.
    """
    if len(poems) < 2:
        return 0.0
    counts = [[Counter(character_ngrams(poem, n)) for n in range(1, order + 1)] for poem in poems]
    top_two = _top_two(counts)
    lengths = Counter(len(poem.characters) for poem in poems)
    total = 0.0
    for poem, own in zip(poems, counts, strict=True):
        precisions = [_precision(ngrams, top_two) for ngrams in own]
        if min(precisions) > 0:
            mean = math.exp(math.fsum(map(math.log, precisions)) / order)
            total += mean * _brevity_penalty(len(poem.characters), lengths)
    return total / len(poems)


def _top_two(counts: Iterable[Iterable[Counter[str]]]) -> dict[str, tuple[int, int]]:
    """Return, for each n-gram, its highest and its second-highest count in a poem."""
    top: dict[str, tuple[int, int]] = {}
    for own in counts:
        for ngram, count in chain.from_iterable(ngrams.items() for ngrams in own):
            first, second = top.get(ngram, (0, 0))
            top[ngram] = max(first, count), max(second, min(first, count))
    return top


def _precision(own: Counter[str], top_two: dict[str, tuple[int, int]]) -> float:
    """Return the share of a poem's n-grams that occur in another poem, each clipped to its count."""
    # The highest count may be this poem's own; another poem then has the second-highest.
    clipped = sum(
        top_two[ngram][1] if count == top_two[ngram][0] else count for ngram, count in own.items()
    )
    return clipped / max(1, own.total())


def _brevity_penalty(length: int, lengths: Counter[int]) -> float:
    others = lengths - Counter([length])
    nearest = min(others, key=lambda other: (abs(other - length), other))
    return 1.0 if length >= nearest else math.exp(1 - nearest / length)


def repeated_characters(poem: Poem) -> float:
    """Return the share of a poem's characters that repeat an earlier one of the poem."""
    return _repeated(poem.characters)


def repeated_lines(poems: Sequence[Poem]) -> float:
    """Return the share of lines that repeat an earlier line of the sample."""
    return _repeated([line for poem in poems for line in poem.lines])


def _repeated(items: Sequence[str]) -> float:
    return (len(items) - len(set(items))) / max(1, len(items))


def js_distance(counts: Mapping[str, int], other_counts: Mapping[str, int]) -> float:
    """Return the Jensen–Shannon distance of two frequency tables: 0 equal, 1 disjoint.

    The square root of the divergence ½ Σ p log₂(p/m) + ½ Σ q log₂(q/m), m = (p + q)/2 (Lin 1991;
    Endres & Schindelin 2003 show that the root is a metric).  It falls as the samples grow.

    >>> js_distance({"山": 2}, {"云": 7})
    1.0
    """
    total, other_total = sum(counts.values()), sum(other_counts.values())
    if not total or not other_total:
        return 0.0 if total == other_total else 1.0
    divergence, shared = 0.0, 0.0
    for ngram, count in counts.items():
        p, q = count / total, other_counts.get(ngram, 0) / other_total
        middle = (p + q) / 2
        divergence += p * math.log2(p / middle)
        if q:
            divergence += q * math.log2(q / middle)
            shared += q
    # An n-gram of the other table only has m = q/2 and contributes q · log₂ 2 = q.
    return math.sqrt(min(1.0, max(0.0, (divergence + 1 - shared) / 2)))


def rank_frequency(poems: Iterable[Poem], num_points: int = 60) -> list[tuple[int, float]]:
    """Return (rank, share of the text) of the poems' characters, most frequent first, to 7 digits.

    At most `num_points` ranks, evenly spaced in the logarithm, the first and the last included.
    """
    counts = sorted(frequencies(poems, 1).values(), reverse=True)
    total = sum(counts)
    return [(rank, round(counts[rank - 1] / total, 7)) for rank in _ranks(len(counts), num_points)]


def _ranks(last: int, num_points: int) -> Sequence[int]:
    if last < 2:
        return range(1, last + 1)
    exponents = (i / (num_points - 1) for i in range(num_points))
    return sorted({round(last**exponent) for exponent in exponents})
