"""Products of int8 rows and int8 matrices, exact whatever computes them.

A product of K terms is a whole number of at most 128·128·K.  Below 2²⁴, that is for K up to 1,024, fp32
represents it and every partial sum exactly, so that the order of summation, the number of threads and the
library do not matter; longer rows are split, and the parts are added in float64.  int32 sums are exact too.

Shape suffixes: B rows of a batch, R rows of a matrix, K values per row.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from poetgen.engine.quantize import QuantizedRows

BLOCK = 1024
"""Columns whose product with int8 values is exact in fp32: 128·128·1024 = 2²⁴."""


class Products(Protocol):
    """A provider of exact products; all of them return the same numbers."""

    def prepare(self, values_RK: NDArray[np.int8]) -> Any:
        """Return a matrix in the form that `multiply` takes."""

    def multiply(self, x: QuantizedRows, prepared: Any) -> NDArray[np.float64]:
        """Return x_BK·matrix_RKᵀ of the whole numbers, (B, R); a new array."""


class NumpyProducts:
    """Products in fp32 by numpy's BLAS."""

    def prepare(self, values_RK: NDArray[np.int8]) -> list[NDArray[np.float32]]:
        """See `Products`."""
        starts = range(0, values_RK.shape[1], BLOCK)
        return [values_RK[:, start : start + BLOCK].astype(np.float32) for start in starts]

    def multiply(
        self, x: QuantizedRows, prepared: list[NDArray[np.float32]]
    ) -> NDArray[np.float64]:
        """See `Products`."""
        values_BK = x.values.astype(np.float32)
        first, *others = prepared
        result_BR = (values_BK[:, : first.shape[1]] @ first.T).astype(np.float64)
        for number, block in enumerate(others, start=1):
            result_BR += values_BK[:, number * BLOCK : (number + 1) * BLOCK] @ block.T
        return result_BR
