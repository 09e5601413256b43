"""First embeddings from counts: characters of one company begin close together."""

import itertools
import random

import torch

from poetgen.data.poem import Poem
from poetgen.data.vocab import Vocabulary
from poetgen.training.relations import relation_embedding

FIRST_RHYMES, SECOND_RHYMES = "东风空红同", "光霜乡长香"
OTHERS = "山水云月花雪夜春秋江河日星林石松竹梅"


def rhymed_poems(count: int = 600) -> list[Poem]:
    """Quatrains of chance characters whose even lines end in one of two groups."""
    chance = random.Random(3)

    def line(end: str = "") -> str:
        return "".join(chance.choices(OTHERS, k=4)) + (end or chance.choice(OTHERS))

    poems = []
    for number in range(count):
        ends = chance.sample(SECOND_RHYMES if number % 2 else FIRST_RHYMES, 2)
        poems.append(Poem(f"{line()}，{line(ends[0])}。{line()}，{line(ends[1])}。"))
    return poems


POEMS = rhymed_poems()
VOCAB = Vocabulary.build(POEMS, min_count=1)


def embedded(size: int = 32, std: float = 0.5) -> torch.Tensor:
    noise = torch.randn(len(VOCAB), size, generator=torch.Generator().manual_seed(1)) * std
    torch.manual_seed(2)
    return relation_embedding(POEMS, VOCAB, noise)


def likeness(embedding: torch.Tensor, pairs: list[tuple[str, str]]) -> float:
    rows = [(embedding[VOCAB.ids[a]], embedding[VOCAB.ids[b]]) for a, b in pairs]
    return float(torch.stack([torch.cosine_similarity(a, b, dim=0) for a, b in rows]).mean())


def test_rhymes_begin_close_together() -> None:
    embedding = embedded()[:, 24:]  # the quarter of the line ends
    same = [*itertools.combinations(FIRST_RHYMES, 2), *itertools.combinations(SECOND_RHYMES, 2)]
    other = list(itertools.product(FIRST_RHYMES, SECOND_RHYMES))
    assert likeness(embedding, same) > likeness(embedding, other) + 0.3


def test_spread_is_that_of_the_embedding_it_replaces() -> None:
    embedding = embedded(std=0.9)
    assert embedding.shape == (len(VOCAB), 32)
    # Part of the noise stays, so a little more.
    assert 0.9 <= float(embedding.std()) < 1.0


def test_features_that_do_not_divide_by_four_stay_noise() -> None:
    noise = torch.ones(len(VOCAB), 34) * torch.linspace(0.1, 1, 34)
    embedding = relation_embedding(POEMS, VOCAB, noise)
    assert torch.equal(embedding[:, 32:], noise[:, 32:])
    assert not torch.equal(embedding[:, :32], noise[:, :32])


def test_a_single_short_poem_is_enough() -> None:
    poems = [Poem("山水云月，花雪夜春。")]
    vocab = Vocabulary.build(poems, min_count=1)
    embedding = relation_embedding(poems, vocab, torch.randn(len(vocab), 64))
    assert bool(embedding.isfinite().all())
