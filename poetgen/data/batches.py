"""Batches of token ids: bucketed by length, padded to few shapes, resumable from any batch.

Shape suffixes: B rows (poems), T time steps (tokens).
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from poetgen.data.vocab import BOS, PAD

# The common forms fill theirs exactly: 五绝 has 25 tokens (24 and <eos>), 七绝 33, 五律 49, 七律 65;
# five-character poems of 12, 16, 20 and 28 lines have 73, 97, 121 and 169.  Form and author add two.
# The other lengths are for titles.  The CPU prepares an LSTM kernel per shape, so shapes are few.
_BUCKETS = (25, 27, 33, 35, 41, 49, 51, 58, 65, 67, 73, 82, 97, 108, 121, 137, 169, 200, 256, 288)


@dataclass(frozen=True)
class Batch:
    """Poems of similar length; `targets_BT` is `tokens_BT` shifted left by one.

    Both are `PAD` after the end of a row and in empty rows.  Targets are also `PAD` for conditions,
    which precede `<bos>`.  Positions with a `PAD` target do not count towards the loss.
    """

    tokens_BT: Tensor
    targets_BT: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device; to CUDA it is copied from pinned memory, in the background."""
        if device.type != "cuda":
            return Batch(self.tokens_BT.to(device), self.targets_BT.to(device))
        tokens_BT, targets_BT = self.tokens_BT.pin_memory(), self.targets_BT.pin_memory()
        return Batch(
            tokens_BT.to(device, non_blocking=True), targets_BT.to(device, non_blocking=True)
        )


def read_ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches on a device, each copied there before the one before it is yielded."""
    ahead: Batch | None = None
    for batch in batches:
        current, ahead = ahead, batch.to(device)
        if current is not None:
            yield current
    if ahead is not None:
        yield ahead


def training_batches(
    sequences: Sequence[Sequence[int]],
    *,
    batch_tokens: int,
    seed: int,
    epoch: int,
    start: int = 0,
) -> Iterator[Batch]:
    """Yield the batches of an epoch from index `start` on, shuffled by (seed, epoch).

    All batches of a bucket have one shape of at most `batch_tokens` tokens, or one row; the last
    batch is padded with empty rows.
    """
    for length, rows, members in _plan(sequences, batch_tokens, seed, epoch)[start:]:
        yield _collate([sequences[i] for i in members], length, rows)


def num_batches(sequences: Sequence[Sequence[int]], *, batch_tokens: int) -> int:
    """Return the number of batches per epoch; it is equal for every seed and epoch."""
    return sum(1 for _ in _buckets(sequences, batch_tokens, range(len(sequences))))


def ordered_batches(
    sequences: Sequence[Sequence[int]], *, batch_tokens: int
) -> Iterator[tuple[list[int], Batch]]:
    """Yield all `sequences` from shortest to longest, with their indices, for evaluation."""
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
    """Yield (padded length, rows, indices) per batch, by bucket, indices in the order of `order`."""
    buckets: dict[int, list[int]] = {}
    for index in order:
        buckets.setdefault(_padded(len(sequences[index]) - 1), []).append(index)
    for length, members in sorted(buckets.items()):
        rows = max(1, batch_tokens // length)
        for first in range(0, len(members), rows):
            yield length, rows, members[first : first + rows]


def _padded(length: int) -> int:
    """Return the bucket for `length` tokens; beyond the table, the next multiple of its last."""
    for bucket in _BUCKETS:
        if length <= bucket:
            return bucket
    return -(-length // _BUCKETS[-1]) * _BUCKETS[-1]


def _collate(sequences: Sequence[Sequence[int]], length: int, rows: int) -> Batch:
    tokens_BT = torch.full((rows, length), PAD, dtype=torch.long)
    targets_BT = torch.full((rows, length), PAD, dtype=torch.long)
    for row, ids in enumerate(sequences):
        row_ids = torch.tensor(ids)
        start, end = ids.index(BOS), len(ids) - 1
        tokens_BT[row, :end] = row_ids[:-1]
        targets_BT[row, start:end] = row_ids[start + 1 :]
    return Batch(tokens_BT, targets_BT)
