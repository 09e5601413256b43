"""Initial embeddings: characters with similar contexts have similar vectors."""

import itertools
import random

import torch

from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.training.cooccurrence_init import cooccurrence_embedding

FIRST_RHYMES, SECOND_RHYMES = "东风空红同", "光霜乡长香"
OTHERS = "山水云月花雪夜春秋江河日星林石松竹梅"


def rhymed_poems(count: int = 600) -> list[Poem]:
    """Random quatrains whose even lines end in one of two rhyme groups."""
    rng = random.Random(3)

    def line(end: str = "") -> str:
        return "".join(rng.choices(OTHERS, k=4)) + (end or rng.choice(OTHERS))

    poems = []
    for number in range(count):
        ends = rng.sample(SECOND_RHYMES if number % 2 else FIRST_RHYMES, 2)
        poems.append(Poem(f"{line()}，{line(ends[0])}。{line()}，{line(ends[1])}。"))
    return poems


POEMS = rhymed_poems()
VOCAB = Vocabulary.build(POEMS, min_count=1)


def embedded(size: int = 32, std: float = 0.5) -> torch.Tensor:
    noise = torch.randn(len(VOCAB), size, generator=torch.Generator().manual_seed(1)) * std
    torch.manual_seed(2)
    return cooccurrence_embedding(POEMS, VOCAB, noise)


def similarity(embedding: torch.Tensor, pairs: list[tuple[str, str]]) -> float:
    rows = [(embedding[VOCAB.ids[a]], embedding[VOCAB.ids[b]]) for a, b in pairs]
    return float(torch.stack([torch.cosine_similarity(a, b, dim=0) for a, b in rows]).mean())


def test_rhymes_have_similar_embeddings() -> None:
    embedding = embedded()[:, 24:]  # the rhyme relation's quarter
    same = [*itertools.combinations(FIRST_RHYMES, 2), *itertools.combinations(SECOND_RHYMES, 2)]
    other = list(itertools.product(FIRST_RHYMES, SECOND_RHYMES))
    assert similarity(embedding, same) > similarity(embedding, other) + 0.3


def test_embedding_keeps_the_standard_deviation() -> None:
    embedding = embedded(std=0.9)
    assert embedding.shape == (len(VOCAB), 32)
    # A little higher, because part of the noise is added.
    assert 0.9 <= float(embedding.std()) < 1.0


def test_leftover_features_stay_noise() -> None:
    noise = torch.ones(len(VOCAB), 34) * torch.linspace(0.1, 1, 34)
    embedding = cooccurrence_embedding(POEMS, VOCAB, noise)
    assert torch.equal(embedding[:, 32:], noise[:, 32:])
    assert not torch.equal(embedding[:, :32], noise[:, :32])


def test_embedding_from_a_single_poem() -> None:
    poems = [Poem("山水云月，花雪夜春。")]
    vocab = Vocabulary.build(poems, min_count=1)
    embedding = cooccurrence_embedding(poems, vocab, torch.randn(len(vocab), 64))
    assert bool(embedding.isfinite().all())
