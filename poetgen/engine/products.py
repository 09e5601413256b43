"""Products of int8 rows and int8 matrices, exact whatever computes them.

A product of K terms is a whole number of at most 128·128·K.  Below 2²⁴, that is for K up to 1,024, fp32
represents it and every partial sum exactly, so that the order of summation, the number of threads and the
library do not matter; longer rows are split, and the parts are added in float64.  int32 sums are exact too.

Shape suffixes: B rows of a batch, R rows of a matrix, K values per row.
"""

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

BLOCK = 1024
"""Columns whose product with int8 values is exact in fp32: 128·128·1024 = 2²⁴."""

Whole: TypeAlias = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int32]
"""An array of whole numbers."""


class Products(Protocol):
    """A provider of exact products; all of them return the same numbers."""

    def prepare(self, values_RK: NDArray[np.int8]) -> Any:
        """Return a matrix in the form that `multiply` takes."""

    def multiply(self, values_BK: NDArray[np.int8], prepared: Any) -> Whole:
        """Return values_BK·matrix_RKᵀ, (B, R), in whatever type holds it."""


class NumpyProducts:
    """Products in fp32 by numpy's BLAS."""

    def prepare(self, values_RK: NDArray[np.int8]) -> list[NDArray[np.float32]]:
        """See `Products`."""
        starts = range(0, values_RK.shape[1], BLOCK)
        return [values_RK[:, start : start + BLOCK].astype(np.float32) for start in starts]

    def multiply(self, values_BK: NDArray[np.int8], prepared: list[NDArray[np.float32]]) -> Whole:
        """See `Products`."""
        operand_BK = values_BK.astype(np.float32)
        parts = [
            operand_BK[:, number * BLOCK : (number + 1) * BLOCK] @ block.T
            for number, block in enumerate(prepared)
        ]
        first, *others = parts
        return sum((part.astype(np.float64) for part in others), start=first) if others else first
