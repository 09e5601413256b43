"""Features that a reader can count: repeats, rhyme, tones, phrases seen elsewhere, parallelism, surprise.

Features that compare with other text use a *background*: a half of the training split that no judged poem
comes from.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from poetgen.data.poem import Poem
from poetgen.data.vocab import BOS, Vocabulary
from poetgen.evaluation.kneser_ney import KneserNey
from poetgen.evaluation.metrics.diversity import repeated_characters
from poetgen.evaluation.metrics.novelty import TrainingNGrams, seen_rate
from poetgen.evaluation.ngram_index import join_sequences
from poetgen.prosody.scan import scan

Floats = NDArray[np.float64]

_ORDER = 4
"""Order of the n-gram model that measures surprise."""
_PRIOR = 5.0
"""Weight of independence against the counts of facing characters."""
_RARE_RANK = 2000
_SEEN = (2, 3, 4, 5)

FEATURES = (
    "repeated characters",
    "repeats within a line",
    "repeats of the line before",
    "most frequent character",
    "characters used three times",
    "doubled characters",
    "equal first characters",
    "questions",
    "exclamations",
    "even lines rhyme",
    "level rhyme",
    "line 1 rhymes",
    "equal rhyme characters",
    "alternating lines",
    "opposed couplets",
    "joined couplets",
    "isolated level tones",
    "three level tones at the end",
    "breaks of the pattern",
    *(f"{n}-grams seen" for n in _SEEN),
    "longest n-gram seen",
    "parallelism of middle couplets",
    "parallelism of other couplets",
    "mean surprise",
    "variance of surprise",
    "most surprising line",
    "least surprising line",
    "mean frequency",
    "variance of frequency",
    "rare characters",
)
"""The names of the columns of `PoemFeatures.matrix`."""


class PoemFeatures:
    """Computes the features of poems against a background.

    features = PoemFeatures(background)
    features.matrix(poems)  # (poems, features)
    """

    def __init__(self, background: Sequence[Poem]) -> None:
        self._background = background
        self._vocab = Vocabulary.build(background, min_count=1)
        self._ngrams = TrainingNGrams(background)
        self._rows: dict[str, list[float]] = {}

    @cached_property
    def _surprise_model(self) -> KneserNey:
        return KneserNey(
            (self._vocab.encode_poem(poem.text) for poem in self._background),
            num_symbols=len(self._vocab),
            num_outcomes=len(self._vocab),
            start=BOS,
            max_order=_ORDER,
        )

    @cached_property
    def _frequencies(self) -> Counter[str]:
        return Counter(character for poem in self._background for character in poem.characters)

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {character: i for i, (character, _) in enumerate(self._frequencies.most_common())}

    @cached_property
    def _facing(self) -> tuple[Counter[tuple[str, str]], Counter[str], int]:
        """Counts of facing characters in couplets, of their characters, and of all pairs."""
        pairs = Counter(pair for poem in self._background for pair in facing_pairs(poem.lines))
        characters = Counter[str]()
        for (upper, lower), num in pairs.items():
            characters[upper] += num
            characters[lower] += num
        return pairs, characters, max(1, pairs.total())

    def matrix(self, poems: Sequence[Poem]) -> Floats:
        """Return the features of each poem, (poems, len(FEATURES))."""
        new = [poem for poem in poems if poem.text not in self._rows]
        for poem, nats in zip(new, self._nats(new), strict=True):
            self._rows[poem.text] = self._row(poem, nats)
        rows = [self._rows[poem.text] for poem in poems]
        return np.array(rows).reshape(len(poems), len(FEATURES))

    def _row(self, poem: Poem, nats: Floats) -> list[float]:
        lengths = self._ngrams.match_lengths(poem)
        seen = [seen_rate(lengths, n) or 0.0 for n in _SEEN]
        row = [*_repeats(poem), *_verse(poem), *seen, float(lengths.max(initial=0))]
        row += [*self._parallelism(poem), *self._surprise(poem, nats), *self._frequency(poem)]
        return row

    def _nats(self, poems: Sequence[Poem]) -> list[Floats]:
        """Return the surprise of each character, mark and end of each poem, in nats."""
        if not poems:
            return []
        sequences = [self._vocab.encode_poem(poem.text) for poem in poems]
        tokens = join_sequences(sequences)
        p = self._surprise_model.probabilities(tokens, _ORDER)
        counted = (tokens >= 0) & (tokens != BOS)
        ends = np.cumsum([len(ids) - 1 for ids in sequences])[:-1]
        return list(np.split(-np.log(np.maximum(p[counted], 1e-12)), ends))

    def _surprise(self, poem: Poem, nats: Floats) -> list[float]:
        starts = np.cumsum([0, *(len(line) + 1 for line in poem.lines)])
        lines = [nats[a : b - 1].mean() for a, b in pairwise(starts)]
        return [nats.mean(), nats.var(), max(lines), min(lines)]

    def _frequency(self, poem: Poem) -> list[float]:
        logs = np.log([self._frequencies[character] + 0.5 for character in poem.characters])
        ranks = [self._ranks.get(character, _RARE_RANK) for character in poem.characters]
        return [logs.mean(), logs.var(), float(np.mean([rank >= _RARE_RANK for rank in ranks]))]

    def _parallelism(self, poem: Poem) -> list[float]:
        """Return the mean pointwise mutual information of facing characters, middle couplets apart."""
        lines = poem.lines
        middle = facing_pairs(lines[2:-2])
        others = facing_pairs(lines[:2]) + facing_pairs(lines[-2:])
        return [float(np.mean([0.0, *map(self._pmi, pairs)])) for pairs in (middle, others)]

    def _pmi(self, pair: tuple[str, str]) -> float:
        pairs, characters, num = self._facing
        upper, lower = pair
        expected = (characters[upper] + 1) * (characters[lower] + 1) / (2.0 * num)
        found = pairs[pair] + pairs[lower, upper]
        return float(np.log((found + _PRIOR * expected) / ((1 + _PRIOR) * expected)))


def facing_pairs(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of characters at equal positions of the two lines of each couplet.

    >>> facing_pairs(["山月", "江云", "风"])
    [('山', '江'), ('月', '云')]
    """
    couplets = zip(lines[::2], lines[1::2], strict=False)
    return [pair for upper, lower in couplets for pair in zip(upper, lower, strict=False)]


def _repeats(poem: Poem) -> list[float]:
    characters, lines = poem.characters, poem.lines
    num = max(1, len(characters))
    counts = Counter(characters)
    before = sum(len(set(line) & set(following)) for line, following in pairwise(lines))
    doubled = sum(a == b for line in lines for a, b in pairwise(line))
    return [
        repeated_characters(poem),
        sum(len(line) - len(set(line)) for line in lines) / num,
        before / num,
        float(max(counts.values(), default=0)),
        float(sum(n >= 3 for n in counts.values())),
        float(doubled),
        float(len(lines) - len({line[0] for line in lines})),
        float(poem.text.count("？")),
        float(poem.text.count("！")),
    ]


def _verse(poem: Poem) -> list[float]:
    found = scan(poem.lines)
    if found is None:
        return [0.0] * 10
    ends = [line[-1] for line in poem.lines[1::2]]
    return [
        float(bool(found.rhyme)),
        float(found.level_rhyme),
        float(found.first_line_rhymes),
        float(len(ends) - len(set(ends))),
        float(np.mean([line.alternates for line in found.lines])),
        float(np.mean(found.opposed)),
        float(np.mean(found.joined or [1.0])),
        float(sum(line.lone_level for line in found.lines)),
        float(sum(line.three_level_end for line in found.lines)),
        float(sum(len(line.breaks) for line in found.lines)),
    ]
