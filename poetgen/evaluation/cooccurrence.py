"""Pairs of characters: their counts, their mutual information, character vectors and classes.

Positive pointwise mutual information (PPMI), reduced by a truncated singular value decomposition (Levy &
Goldberg 2014).  Deterministic; no dictionary is used.  Does not know what a pair means.

Shape suffixes: V characters, K features, G classes, N pairs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from poetgen.data.poem import Poem

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]

MIN_COUNT = 10
"""Occurrences in the training text that a character needs to have an id."""
MAX_CHARACTERS = 6000
"""Most frequent characters that get an id: the memory of a table of pairs grows with its square."""

_CONTEXT_SMOOTHING = 0.75  # exponent of the context counts, so that rare contexts are not overrated
_MAX_PENDING = 4_000_000  # pairs that are counted at once
_OVERSAMPLING = 16
_NUM_POWER_ITERATIONS = 4
_NUM_CLUSTER_ITERATIONS = 15


class Characters:
    """The characters that occur often enough to be counted, the most frequent first.

    >>> Characters([Poem("山山云，山。")], min_count=1).encode("云海山")
    [1, 0]
    """

    def __init__(self, poems: Iterable[Poem], min_count: int = MIN_COUNT) -> None:
        counts = Counter(character for poem in poems for character in poem.characters)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_CHARACTERS]
        kept = [(character, num) for character, num in ranked if num >= min_count]
        self.ids = {character: i for i, (character, _) in enumerate(kept)}
        counts_V = np.array([num for _, num in kept], dtype=np.float32)
        self.shares_V: Floats = counts_V / max(1.0, counts_V.sum())
        """The share of each character in the text, those without an id left out."""

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self, text: str) -> list[int]:
        """Return the ids of the characters of `text` that have one."""
        return [self.ids[character] for character in text if character in self.ids]


def count_pairs(pairs: Iterable[tuple[Ints, Ints]], num_characters: int) -> Floats:
    """Return how often each pair of ids occurs, (V, V); `pairs` are parallel arrays of ids, (N,)."""
    size = num_characters**2
    counts = np.zeros(size, dtype=np.float32)
    for keys in _batches(firsts * num_characters + seconds for firsts, seconds in pairs):
        counts += np.bincount(keys, minlength=size)
    return counts.reshape(num_characters, num_characters)


def _batches(arrays: Iterable[Ints]) -> Iterator[Ints]:
    pending: list[Ints] = []
    num = 0
    for keys in arrays:
        pending.append(keys)
        num += len(keys)
        if num >= _MAX_PENDING:
            yield np.concatenate(pending)
            pending, num = [], 0
    if pending:
        yield np.concatenate(pending)


def ppmi(counts_VV: Floats) -> Floats:
    """Return the positive pointwise mutual information of pairs, contexts in columns."""
    contexts_V = (counts_VV.sum(axis=0) + 1) ** _CONTEXT_SMOOTHING
    expected_VV = np.outer(counts_VV.sum(axis=1) + 1, contexts_V / contexts_V.sum())
    ratios_VV = counts_VV / expected_VV
    result: Floats = np.log(np.maximum(ratios_VV, 1, out=ratios_VV), out=ratios_VV)
    return result


def truncated_svd(matrix: Floats, num_features: int) -> tuple[Floats, Floats, Floats]:
    """Return the leading left singular vectors (V, K), the values (K,) and the right vectors (V, K).

    Randomized subspace iteration (Halko, Martinsson & Tropp 2011) from a fixed start.
    """
    width = min(num_features + _OVERSAMPLING, *matrix.shape)
    start = np.random.default_rng(0).standard_normal((matrix.shape[1], width)).astype(np.float32)
    basis = np.linalg.qr(matrix @ start)[0]
    for _ in range(_NUM_POWER_ITERATIONS):
        basis = np.linalg.qr(matrix.T @ basis)[0]
        basis = np.linalg.qr(matrix @ basis)[0]
    left, values, right = np.linalg.svd(basis.T @ matrix, full_matrices=False)
    kept = slice(min(num_features, width))
    return (basis @ left)[:, kept], values[kept], right[kept].T


def cluster(vectors_VK: Floats, weights_V: Floats, num_classes: int) -> Ints:
    """Return a class for each vector, (V,): spherical k-means (Dhillon & Modha 2001).

    The first centers are the vectors of greatest weight, so the result is always the same.
    """
    unit_VK = normalized(vectors_VK)
    centers_GK = unit_VK[np.argsort(-weights_V, kind="stable")[:num_classes]]
    weighted_VK = unit_VK * weights_V[:, None]
    classes: Ints = (unit_VK @ centers_GK.T).argmax(axis=1)
    for _ in range(_NUM_CLUSTER_ITERATIONS):
        members_GV = classes == np.arange(len(centers_GK))[:, None]
        centers_GK = normalized(members_GV.astype(np.float32) @ weighted_VK)
        classes = (unit_VK @ centers_GK.T).argmax(axis=1)
    return classes


def normalized(vectors: Floats) -> Floats:
    """Return vectors of length 1; a vector of zeros is unchanged."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: Floats = vectors / np.maximum(lengths, 1e-9)
    return result


def pairs_of(firsts: Sequence[int], seconds: Sequence[int]) -> tuple[Ints, Ints]:
    """Return two lists of ids as arrays."""
    return np.array(firsts, dtype=np.int64), np.array(seconds, dtype=np.int64)
