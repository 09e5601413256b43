"""First embeddings from counts: characters that keep the same company begin close together.

Positive pointwise mutual information of four relations, each reduced by a singular value
decomposition (Levy & Goldberg 2014): the character after, the character before, the character at the
same place of the couplet's other line, and, for line ends, the other ends of even lines in the poem.
The last is what rhyme looks like before anything is learned.  All of it is counted in the training
text: no dictionary takes part.

Shape suffixes: V vocabulary size, K features of a relation.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary

MAX_POEMS = 60_000
"""Poems that are counted, evenly from all: more change little."""

_SMOOTHING = 0.75  # of the context's frequency, so that rare contexts are not overrated
_NOISE = 0.3  # of the first random embedding that stays, for characters with no company

Pairs = tuple[list[int], list[int]]


def relation_embedding(poems: Sequence[Poem], vocab: Vocabulary, noise_VE: Tensor) -> Tensor:
    """Embeddings (V, E) of the spread of `noise_VE`, a quarter of the features per relation.

    Features left over by the division stay noise.
    """
    after, across, rhymes = _count(poems[:: -(-len(poems) // MAX_POEMS)], vocab)
    before = (after[1], after[0])
    size = noise_VE.shape[1] // 4
    parts = [_features(pairs, len(vocab), size) for pairs in (after, before, across, rhymes)]
    counted = torch.cat(parts, dim=1)
    counted *= noise_VE.std() / counted.std().clamp(min=1e-9)
    embedding = noise_VE * _NOISE
    embedding[:, : counted.shape[1]] += counted
    embedding[:, counted.shape[1] :] = noise_VE[:, counted.shape[1] :]
    return embedding


def _count(poems: Iterable[Poem], vocab: Vocabulary) -> tuple[Pairs, Pairs, Pairs]:
    """(next character, couplet partner, other rhyme) as pairs of ids."""
    after: Pairs = ([], [])
    across: Pairs = ([], [])
    rhymes: Pairs = ([], [])
    for poem in poems:
        lines = [vocab.encode(line) for line in poem.lines]
        for line in lines:
            _add(after, line[:-1], line[1:])
        for upper, lower in zip(lines[::2], lines[1::2], strict=False):
            if len(upper) == len(lower):
                _add(across, upper + lower, lower + upper)
        ends = [line[-1] for line in lines[1::2]]
        for number, end in enumerate(ends):
            others = ends[:number] + ends[number + 1 :]
            _add(rhymes, [end] * len(others), others)
    return after, across, rhymes


def _add(pairs: Pairs, ids: Sequence[int], contexts: Sequence[int]) -> None:
    pairs[0].extend(ids)
    pairs[1].extend(contexts)


def _features(pairs: Pairs, vocab_size: int, size: int) -> Tensor:
    """(V, K): the leading singular directions of the relation's PPMI, rows of length 1."""
    size = min(size, vocab_size)
    counts_VV = torch.zeros(vocab_size, vocab_size)
    ids, contexts = torch.tensor(pairs[0]), torch.tensor(pairs[1])
    counts_VV.index_put_((ids.long(), contexts.long()), torch.ones(len(ids)), accumulate=True)
    context_V = (counts_VV.sum(0) + 1) ** _SMOOTHING
    expected_VV = (counts_VV.sum(1, keepdim=True) + 1) * (context_V / context_V.sum())
    ppmi_VV = (counts_VV / expected_VV).clamp(min=1).log_()
    left_VK, strength_K, _ = torch.svd_lowrank(ppmi_VV, q=min(size + 16, vocab_size), niter=3)
    features_VK = left_VK[:, :size] * strength_K[:size].sqrt()
    return normalize(features_VK, dim=1)
