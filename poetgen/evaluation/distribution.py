"""How the poems spend their characters, beside how poets do."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from poetgen.data.poem import Poem
from poetgen.evaluation.novelty import grams


def frequencies(poems: Iterable[Poem], n: int) -> Counter[str]:
    """How often each n-gram of characters stands in the poems."""
    return Counter(gram for poem in poems for gram in grams(poem, n))


def js_distance(ones: Mapping[str, int], others: Mapping[str, int]) -> float:
    """The Jensen–Shannon distance of two frequency tables: 0 alike, 1 nothing in common.

    The root of the divergence ½ Σ p log₂(p/m) + ½ Σ q log₂(q/m), m = (p + q)/2 (Lin 1991; that its
    root is a metric: Endres & Schindelin 2003).  It falls with the size of the samples.
    """
    num_ones, num_others = sum(ones.values()), sum(others.values())
    if not num_ones or not num_others:
        return 0.0 if num_ones == num_others else 1.0
    divergence, shared = 0.0, 0.0
    for gram, count in ones.items():
        p, q = count / num_ones, others.get(gram, 0) / num_others
        middle = (p + q) / 2
        divergence += p * math.log2(p / middle)
        if q:
            divergence += q * math.log2(q / middle)
            shared += q
    # What stands in the others alone has m = q/2, and log₂ 2 = 1.
    return math.sqrt(min(1.0, max(0.0, (divergence + 1 - shared) / 2)))


def rank_frequency(poems: Iterable[Poem], num_points: int = 60) -> list[tuple[int, float]]:
    """The shares of the text that its 1st, …, nth most frequent characters have, by rank.

    Of so many ranks at most, evenly spaced in the logarithm.
    """
    counts = sorted(frequencies(poems, 1).values(), reverse=True)
    total = sum(counts)
    return [(rank, counts[rank - 1] / total) for rank in _ranks(len(counts), num_points)]


def _ranks(last: int, num_points: int) -> Sequence[int]:
    if last < 2:
        return range(1, last + 1)
    steps = (i / (num_points - 1) for i in range(num_points))
    return sorted({round(last**step) for step in steps})
