"""From logits to weights and likelihoods: tables of exp, and sums in a fixed order.

Logits are whole multiples of 1/`STEPS`, so exp is looked up: the table of temperature T holds
e^(−k/(`STEPS`·T)) for a logit k steps below the largest.  A weight below e^−36 is 0.

Shape suffixes: B rows, N ids, V vocabulary size, C columns of the table of a sum.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from poetgen.engine.mathematics import exp, log

Float64: TypeAlias = NDArray[np.float64]
Logits: TypeAlias = NDArray[np.float32] | NDArray[np.float64]

STEPS = 1024
"""Steps per nat, and per unit of a sum that enters a gate."""
NEVER = -1e9
"""A logit of an id that must not occur."""
LEAST_TEMPERATURE = 1e-300
"""A lower one gives the same distribution, and its inverse would be infinite."""
TABLE_ROWS = 64
"""Rows of the table that fixes the order of a sum; see `column_sums`."""
_LEAST_EXPONENT = 36.0
_MOST_ENTRIES = 2**18
"""Limit of a table: at temperatures above 7, a logit 256 nats below the largest has the weight 0."""
_BLOCK_SIZE = 2**18
"""Values that are computed with at once: few enough for a cache, and so many that threads seldom meet."""


def weights(logits_BN: Logits, temperature: float) -> Float64:
    """Return exp((logit − largest of the row) / temperature), (B, N), for a temperature above 0."""
    return _weights(logits_BN, logits_BN.max(axis=1, keepdims=True), temperature)


def _weights(logits_BN: Logits, largest_B1: Logits, temperature: float) -> Float64:
    steps_BN = largest_B1 - logits_BN
    steps_BN *= STEPS
    steps_BN += 0.5  # for the conversion cuts off
    return _table(float(temperature)).take(steps_BN.astype(np.intp), mode="clip")


@lru_cache(maxsize=64)
def _table(temperature: float) -> Float64:
    num = min(_MOST_ENTRIES, int(_LEAST_EXPONENT * temperature * STEPS) + 2)
    table: Float64 = exp(np.arange(num) / -STEPS, 1 / max(temperature, LEAST_TEMPERATURE))
    table[-1] = 0.0
    return table


def log_sum_exp(logits_BV: Logits) -> Float64:
    """Return ln Σ exp(logit) of each row, (B,).

    >>> log_sum_exp(np.array([[0.0, 0.0]])).round(8).tolist()
    [0.69314718]
    """
    largest_B1 = logits_BV.max(axis=1, keepdims=True)
    sums_B = np.empty(len(logits_BV))
    for rows in row_blocks(*logits_BV.shape):
        padded_BV = pad(logits_BV[rows])
        sums_B[rows] = row_sums(_weights(padded_BV, largest_B1[rows], 1.0))
    result_B: Float64 = log(sums_B) + largest_B1[:, 0]
    return result_B


def token_nats(logits_BV: Logits, tokens_B: Sequence[int] | NDArray[np.intp]) -> list[float]:
    """Return −ln of the probability of one id per row."""
    chosen_B = logits_BV[np.arange(len(tokens_B)), tokens_B]
    nats: list[float] = (log_sum_exp(logits_BV) - chosen_B).tolist()
    return nats


def pad(logits_BN: Logits) -> Logits:
    """Return a copy whose rows fill the table of `column_sums`; what is added has no weight."""
    num_rows, size = logits_BN.shape
    padded_BN = np.empty((num_rows, padded_size(size)), logits_BN.dtype)
    padded_BN[:, :size] = logits_BN
    padded_BN[:, size:] = NEVER
    return padded_BN


def padded_size(size: int) -> int:
    """Return the number of values that fill the table of `column_sums`.

    >>> padded_size(65)
    128
    """
    return -(-size // TABLE_ROWS) * TABLE_ROWS


def row_sums(x_BN: Float64) -> Float64:
    """Return the sum of each row, (B,): that of its `column_sums`, one after the other."""
    return column_sums(x_BN).cumsum(axis=1)[:, -1]


def column_sums(x_BN: Float64) -> Float64:
    """Return the sums of the columns of each row's table, (B, ⌈N/`TABLE_ROWS`⌉).

    The table has the N values in `TABLE_ROWS` rows, filled one after the other, the last with zeros.  A
    column is summed by halves: the lower half of the table is added to the upper half until one row is
    left.  So few values are summed one by one, which is slow.

    >>> column_sums(np.ones((1, 65))).tolist()
    [[33.0, 32.0]]
    """
    num_columns = padded_size(x_BN.shape[1]) // TABLE_ROWS
    missing = padded_size(x_BN.shape[1]) - x_BN.shape[1]
    if missing:
        x_BN = np.concatenate([x_BN, np.zeros((len(x_BN), missing))], axis=1)
    while x_BN.shape[1] > num_columns:
        half = x_BN.shape[1] // 2
        x_BN = x_BN[:, :half] + x_BN[:, half:]
    return x_BN


def row_blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Yield slices of consecutive rows, small enough that operations on them stay in the cache.

    >>> list(row_blocks(5, 100_000))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    step = max(1, _BLOCK_SIZE // max(1, num_columns))
    return (slice(start, start + step) for start in range(0, num_rows, step))
