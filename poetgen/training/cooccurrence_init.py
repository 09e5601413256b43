"""Initial embeddings from co-occurrence counts: characters with similar contexts get similar vectors.

Four co-occurrence relations are counted in the training text: the next character, the previous
character, the character at the same position of the couplet's other line, and, for line ends, the ends
of the poem's other even lines (its rhymes).  Each count matrix is turned into positive pointwise mutual
information (PPMI) and reduced by a truncated SVD (Levy & Goldberg 2014).  No dictionary is used.

Shape suffixes: V vocabulary size, E embedding size, K features of a relation.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.language import tr
from poetgen.training.log import show_progress

MAX_POEMS = 60_000
"""Maximum number of poems to count, spaced evenly over the corpus; more have little effect."""

_CONTEXT_SMOOTHING = 0.75  # exponent of the context counts, so that rare contexts are not overrated
_NOISE_SCALE = 0.3  # share of the random embedding that is kept, for characters without counts

Pairs = tuple[list[int], list[int]]
"""Parallel lists of ids and of the ids in their contexts."""


def cooccurrence_embedding(poems: Sequence[Poem], vocab: Vocabulary, noise_VE: Tensor) -> Tensor:
    """Return embeddings (V, E) with about the standard deviation of `noise_VE`.

    Each relation gets a quarter of the features; those left over by the division stay noise.
    """
    following, couplets, rhymes = _count(poems[:: -(-len(poems) // MAX_POEMS)], vocab)
    preceding = (following[1], following[0])
    size = noise_VE.shape[1] // 4
    relations = (following, preceding, couplets, rhymes)
    title = tr("initial embedding")
    features = [_features(one, len(vocab), size) for one in show_progress(relations, title)]
    features_VK = torch.cat(features, dim=1)
    features_VK *= noise_VE.std() / features_VK.std().clamp(min=1e-9)
    num_features = features_VK.shape[1]
    embedding_VE = noise_VE * _NOISE_SCALE
    embedding_VE[:, :num_features] += features_VK
    embedding_VE[:, num_features:] = noise_VE[:, num_features:]
    return embedding_VE


def _count(poems: Iterable[Poem], vocab: Vocabulary) -> tuple[Pairs, Pairs, Pairs]:
    """Return the pairs (character, next), (character, couplet partner) and (line end, other rhyme)."""
    following: Pairs = ([], [])
    couplets: Pairs = ([], [])
    rhymes: Pairs = ([], [])
    for poem in poems:
        lines = [vocab.encode(line) for line in poem.lines]
        for line in lines:
            _extend(following, line[:-1], line[1:])
        for upper, lower in zip(lines[::2], lines[1::2], strict=False):
            if len(upper) == len(lower):
                _extend(couplets, upper + lower, lower + upper)
        ends = [line[-1] for line in lines[1::2]]
        for index, end in enumerate(ends):
            others = ends[:index] + ends[index + 1 :]
            _extend(rhymes, [end] * len(others), others)
    return following, couplets, rhymes


def _extend(pairs: Pairs, ids: Sequence[int], contexts: Sequence[int]) -> None:
    pairs[0].extend(ids)
    pairs[1].extend(contexts)


def _features(pairs: Pairs, vocab_size: int, size: int) -> Tensor:
    """Return the leading singular directions of the relation's PPMI, (V, K), as rows of length 1."""
    size = min(size, vocab_size)
    counts_VV = torch.zeros(vocab_size, vocab_size)
    ids, contexts = torch.tensor(pairs[0]), torch.tensor(pairs[1])
    counts_VV.index_put_((ids.long(), contexts.long()), torch.ones(len(ids)), accumulate=True)
    context_V = (counts_VV.sum(0) + 1) ** _CONTEXT_SMOOTHING
    expected_VV = (counts_VV.sum(1, keepdim=True) + 1) * (context_V / context_V.sum())
    ppmi_VV = (counts_VV / expected_VV).clamp(min=1).log_()
    left_VK, values_K, _ = torch.svd_lowrank(ppmi_VV, q=min(size + 16, vocab_size), niter=3)
    features_VK = left_VK[:, :size] * values_K[:size].sqrt()
    return normalize(features_VK, dim=1)
