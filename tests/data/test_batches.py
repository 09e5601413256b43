"""`poetgen.data.batches`: shapes, masks, order, and resuming at any batch."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from poetgen.data.batches import (
    Batch,
    num_batches,
    ordered_batches,
    read_ahead,
    training_batches,
)
from poetgen.data.corpus import Corpus
from poetgen.data.encode import encode_poems
from poetgen.data.vocab import BOS, EOS, PAD, Vocabulary


def sequences_of(lengths: list[int]) -> list[list[int]]:
    """Return sequences of these lengths (plus one id each) with distinct second ids."""
    return [[BOS, 100 + number, *[5] * (length - 2), EOS] for number, length in enumerate(lengths)]


def rows(batch: Batch) -> list[list[int]]:
    """Return the id sequences in a batch."""
    found = []
    for tokens, targets in zip(batch.tokens_BT.tolist(), batch.targets_BT.tolist(), strict=True):
        if BOS in tokens:
            start = tokens.index(BOS)
            length = start + sum(target != PAD for target in targets)
            assert targets[:start] == [PAD] * start
            assert targets[length:] == tokens[length:] == [PAD] * (len(tokens) - length)
            assert tokens[start + 1 : length] == targets[start : length - 1]
            found.append([*tokens[:length], targets[length - 1]])
        else:
            assert set(tokens + targets) == {PAD}
    return found


def epoch_of(
    sequences: list[list[int]], *, seed: int = 1, epoch: int = 0, start: int = 0, size: int = 128
) -> list[Batch]:
    return list(training_batches(sequences, batch_tokens=size, seed=seed, epoch=epoch, start=start))


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.tokens_BT, b.tokens_BT) and torch.equal(a.targets_BT, b.targets_BT)
        for a, b in zip(one, other, strict=True)
    )


MIXED = sequences_of([25, 7, 33, 49, 26, 65, 49, 300, 2, 25, 33, 60, 13, 257, 600] * 3)


def test_batches_by_hand() -> None:
    (batch,) = training_batches([[1, 9, 8, 2], [1, 7, 2]], batch_tokens=75, seed=1, epoch=0)
    assert batch.tokens_BT.shape == batch.targets_BT.shape == (3, 25)
    assert batch.tokens_BT.dtype == batch.targets_BT.dtype == torch.long
    both = list(zip(batch.tokens_BT.tolist(), batch.targets_BT.tolist(), strict=True))
    assert sorted(both, reverse=True) == [
        ([1, 9, 8] + [PAD] * 22, [9, 8, 2] + [PAD] * 22),
        ([1, 7] + [PAD] * 23, [7, 2] + [PAD] * 23),
        ([PAD] * 25, [PAD] * 25),
    ]


def test_batches_mask_conditions() -> None:
    given = [[40, 41, BOS, 9, 8, EOS], [BOS, 7, EOS]]
    (batch,) = training_batches(given, batch_tokens=50, seed=1, epoch=0)
    both = list(zip(batch.tokens_BT.tolist(), batch.targets_BT.tolist(), strict=True))
    assert sorted(both, reverse=True) == [
        ([40, 41, BOS, 9, 8] + [PAD] * 20, [PAD, PAD, 9, 8, EOS] + [PAD] * 20),
        ([BOS, 7] + [PAD] * 23, [7, EOS] + [PAD] * 23),
    ]


def test_ordered_batches_mask_conditions() -> None:
    given = [[40, 41, BOS, 9, 8, EOS], [BOS, 7, EOS]]
    ((members, batch),) = ordered_batches(given, batch_tokens=50)
    assert rows(batch) == [given[i] for i in members]
    assert int((batch.targets_BT != PAD).sum()) == 3 + 2


def test_buckets_fit_common_forms() -> None:
    """Form and author add two ids per row, which need no padding."""
    for length in (25, 33, 49, 65):
        (sequence,) = sequences_of([length])
        (batch,) = epoch_of([[40, 41, *sequence]], size=length + 2)
        assert batch.tokens_BT.shape == (1, length + 2)


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_batches_contain_each_poem_once(epoch: int) -> None:
    batches = epoch_of(MIXED, epoch=epoch)
    assert sorted(row for batch in batches for row in rows(batch)) == sorted(MIXED)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(2, 600), st.integers(0, 27)), max_size=25),
    st.integers(min_value=16, max_value=2000),
)
def test_batches_keep_poems_of_any_length(shapes: list[tuple[int, int]], size: int) -> None:
    """Shapes are pairs of length and number of conditions."""
    poems = sequences_of([length for length, _ in shapes])
    sequences = [[40] * num + ids for (_, num), ids in zip(shapes, poems, strict=True)]
    batches = epoch_of(sequences, size=size)
    assert sorted(row for batch in batches for row in rows(batch)) == sorted(sequences)
    assert len(batches) == num_batches(sequences, batch_tokens=size)
    for batch in batches:
        assert batch.tokens_BT.numel() <= size or len(batch.tokens_BT) == 1


def test_buckets_have_one_shape() -> None:
    lengths = [24, 25, 26, 33, 49, 50, 65, 65, 73, 97, 121, 169, 170, 200, 256, 257, 512, 513]
    batches = epoch_of(sequences_of(lengths * 4), size=400)
    widths = [25, 27, 33, 49, 51, 65, 73, 97, 121, 169, 200, 256, 288, 576]
    expected = {(max(1, 400 // width), width) for width in widths}
    assert {tuple(batch.tokens_BT.shape) for batch in batches} == expected


def test_batches_have_equal_shapes_in_every_epoch(starter: Corpus) -> None:
    vocab = Vocabulary.build(starter.splits["train"], min_count=1)
    sequences = encode_poems(starter.splits["train"], vocab, 256)
    shapes = [
        sorted(tuple(batch.tokens_BT.shape) for batch in epoch_of(sequences, epoch=epoch, size=512))
        for epoch in range(3)
    ]
    assert shapes[0] == shapes[1] == shapes[2]
    assert len(set(shapes[0])) < 9


def test_batches_are_reproducible() -> None:
    assert same(epoch_of(MIXED, seed=3, epoch=2), epoch_of(MIXED, seed=3, epoch=2))


def test_batches_depend_on_seed_and_epoch() -> None:
    sequences = sequences_of([25] * 40)
    epochs = [epoch_of(sequences, seed=seed, epoch=epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert not any(same(a, b) for i, a in enumerate(epochs) for b in epochs[:i])
    members = [{frozenset(map(tuple, rows(batch))) for batch in batches} for batches in epochs]
    assert not any(a == b for i, a in enumerate(members) for b in members[:i])


def test_batches_mix_lengths() -> None:
    widths = [batch.tokens_BT.shape[1] for batch in epoch_of(sequences_of([25, 49] * 60))]
    assert widths not in (sorted(widths), sorted(widths, reverse=True))


def test_batches_resume_at_any_index() -> None:
    whole = epoch_of(MIXED, seed=7, epoch=3)
    assert len(whole) > 10
    for start in range(len(whole) + 1):
        assert same(epoch_of(MIXED, seed=7, epoch=3, start=start), whole[start:])


def test_batches_of_no_poems() -> None:
    assert epoch_of([]) == []
    assert num_batches([], batch_tokens=128) == 0
    assert list(ordered_batches([], batch_tokens=128)) == []


def test_ordered_batches_sort_by_length() -> None:
    batches = list(ordered_batches(MIXED, batch_tokens=256))
    widths = [batch.tokens_BT.shape[1] for _, batch in batches]
    assert widths == sorted(widths)
    assert sorted(i for indices, _ in batches for i in indices) == list(range(len(MIXED)))
    for indices, batch in batches:
        assert rows(batch) == [MIXED[i] for i in indices]


def test_ordered_batches_keep_long_poems() -> None:
    (sequence,) = sequences_of([1000])
    ((indices, batch),) = ordered_batches([sequence], batch_tokens=256)
    assert indices == [0]
    assert batch.tokens_BT.shape == (1, 1152)
    assert rows(batch) == [sequence]


def test_batch_to_moves_both_tensors() -> None:
    (batch,) = epoch_of(sequences_of([5]), size=25)
    moved = batch.to(torch.device("meta"))
    assert moved.tokens_BT.is_meta
    assert moved.targets_BT.is_meta
    assert not batch.tokens_BT.is_meta


def test_read_ahead_yields_all_batches_and_takes_one_ahead() -> None:
    taken: list[int] = []

    def batches() -> Iterator[Batch]:
        for number in range(3):
            taken.append(number)
            yield Batch(torch.full((1, 2), number), torch.full((1, 2), number))

    ahead = read_ahead(batches(), torch.device("cpu"))
    assert int(next(ahead).tokens_BT[0, 0]) == 0
    assert taken == [0, 1]
    assert [int(batch.targets_BT[0, 0]) for batch in ahead] == [1, 2]
    assert list(read_ahead([], torch.device("cpu"))) == []
