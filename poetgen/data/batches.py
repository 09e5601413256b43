"""Ids in, tensors out: length-bucketed, masked, of few shapes, and resumable from any batch.

Shape suffixes: B rows (poems), T places (tokens).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from poetgen.data.vocab import BOS, PAD

# The common forms fill theirs exactly: 五绝 has 25 tokens (24 and the end), 七绝 33, 五律 49, 七律 65,
# and five-character poems of 12, 16, 20 and 28 lines 73, 97, 121 and 169; with form and author before
# them two more.  The rest is for titles.  The CPU's LSTM kernel is prepared anew for each shape, so
# there are few.
_BUCKETS = (25, 27, 33, 35, 41, 49, 51, 58, 65, 67, 73, 82, 97, 108, 121, 137, 169, 200, 256, 288)


@dataclass(frozen=True)
class Batch:
    """Poems of similar length side by side; `targets_BT` is `tokens_BT` one place on.

    Where a row is past its end, or stands empty, both hold `PAD`; up to `<bos>`, which conditions may
    precede, the targets do.  A place whose target is `PAD` counts for nothing.
    """

    tokens_BT: Tensor
    targets_BT: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.tokens_BT.to(device), self.targets_BT.to(device))


def training_batches(
    sequences: Sequence[Sequence[int]],
    *,
    batch_tokens: int,
    seed: int,
    epoch: int,
    start: int = 0,
) -> Iterator[Batch]:
    """The batches of an epoch from number `start` on, in an order that (seed, epoch) decides.

    Every bucket has one batch shape, of at most `batch_tokens` places; its last batch is filled up
    with empty rows.
    """
    for length, rows, members in _plan(sequences, batch_tokens, seed, epoch)[start:]:
        yield _collate([sequences[i] for i in members], length, rows)


def num_batches(sequences: Sequence[Sequence[int]], *, batch_tokens: int) -> int:
    """How many batches an epoch has: the same for every seed and epoch."""
    return sum(1 for _ in _buckets(sequences, batch_tokens, range(len(sequences))))


def ordered_batches(
    sequences: Sequence[Sequence[int]], *, batch_tokens: int
) -> Iterator[tuple[list[int], Batch]]:
    """All `sequences` from the shortest to the longest, with their indices: for evaluation."""
    for length, rows, members in _buckets(sequences, batch_tokens, range(len(sequences))):
        yield members, _collate([sequences[i] for i in members], length, rows)


def _plan(
    sequences: Sequence[Sequence[int]], batch_tokens: int, seed: int, epoch: int
) -> list[tuple[int, int, list[int]]]:
    shuffler = random.Random(f"{seed}:{epoch}")
    order = list(range(len(sequences)))
    shuffler.shuffle(order)
    batches = list(_buckets(sequences, batch_tokens, order))
    shuffler.shuffle(batches)
    return batches


def _buckets(
    sequences: Sequence[Sequence[int]], batch_tokens: int, order: Sequence[int]
) -> Iterator[tuple[int, int, list[int]]]:
    """(padded length, rows, indices) of each batch, bucket by bucket, indices in `order`."""
    buckets: dict[int, list[int]] = {}
    for index in order:
        buckets.setdefault(_padded(len(sequences[index]) - 1), []).append(index)
    for length, members in sorted(buckets.items()):
        rows = max(1, batch_tokens // length)
        for first in range(0, len(members), rows):
            yield length, rows, members[first : first + rows]


def _padded(length: int) -> int:
    """The bucket that `length` places go to; beyond the table, the next multiple of its last."""
    for bucket in _BUCKETS:
        if length <= bucket:
            return bucket
    return -(-length // _BUCKETS[-1]) * _BUCKETS[-1]


def _collate(sequences: Sequence[Sequence[int]], length: int, rows: int) -> Batch:
    tokens_BT = torch.full((rows, length), PAD, dtype=torch.long)
    targets_BT = torch.full((rows, length), PAD, dtype=torch.long)
    for row, ids in enumerate(sequences):
        places = torch.tensor(ids)
        start, end = ids.index(BOS), len(ids) - 1
        tokens_BT[row, :end] = places[:-1]
        targets_BT[row, start:end] = places[start + 1 :]
    return Batch(tokens_BT, targets_BT)
