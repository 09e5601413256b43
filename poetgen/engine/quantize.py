"""Rows of int8 with a scale each, for weights and for activations.

A row x is stored as whole numbers q from −127 to 127 and a scale s with x ≈ s·q.

Shape suffixes: R rows of a matrix, B rows of a batch, K values per row.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.intp] | slice
"""A choice of rows."""
INT8_MAX = np.float32(127)
_LEAST = np.float32(1e-30)
SCALE = ".scale"
"""Suffix of the array that holds the scale of each row of an int8 matrix."""


@dataclass(frozen=True)
class QuantizedRows:
    """Rows of int8 with a scale each."""

    values: NDArray[np.int8]
    """(rows, K)."""
    scale: NDArray[np.float32]
    """(rows,)."""

    def select(self, rows: Rows) -> "QuantizedRows":
        """Return the given rows: copies, or a view of a slice."""
        return QuantizedRows(self.values[rows], self.scale[rows])


def quantize_weights(
    weight_RK: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a matrix as int8 (R, K), and the scale of each row (R, 1) in fp32, as model files store both.

    >>> values, scale = quantize_weights(np.array([[0.5, -1.0]], np.float32))
    >>> values.tolist(), round(float(scale[0, 0]), 6)
    ([[64, -127]], 0.007874)
    """
    largest_R1 = np.abs(weight_RK).max(axis=1, keepdims=True)
    scale_R1 = np.maximum(largest_R1, np.float32(1e-12)) / INT8_MAX
    return np.rint(weight_RK / scale_R1).astype(np.int8), scale_R1


def quantize_activations(x_BK: NDArray[np.float32]) -> QuantizedRows:
    """Return activations as int8 rows; a row of zeros has the scale 0.

    >>> quantize_activations(np.array([[0.25, -0.5], [0.0, 0.0]], np.float32)).values.tolist()
    [[64, -127], [0, 0]]
    """
    largest_B1 = np.abs(x_BK).max(axis=1, keepdims=True)
    # The product is at most 127·(1 + 2⁻²³), so it rounds to 127 at most.
    values_BK = x_BK * (INT8_MAX / np.maximum(largest_B1, _LEAST))
    return QuantizedRows(
        np.rint(values_BK, out=values_BK).astype(np.int8), largest_B1[:, 0] / INT8_MAX
    )
