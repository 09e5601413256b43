"""Rows of int8 with a scale each, for weights and for activations.

A row x is stored as whole numbers q from −127 to 127 and a scale s with x ≈ s·q.

Shape suffixes: R rows of a matrix, B rows of a batch, K values per row.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INT8_MAX = 127
SCALE = ".scale"
"""Suffix of the array that holds the scale of each row of an int8 matrix."""


@dataclass(frozen=True)
class QuantizedRows:
    """Rows of int8 with a scale each."""

    values: NDArray[np.int8]
    """(rows, K)."""
    scale: NDArray[np.float64]
    """(rows,)."""

    def select(self, rows: NDArray[np.intp]) -> "QuantizedRows":
        """Return copies of the given rows."""
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
    scale_R1 = np.maximum(largest_R1, np.float32(1e-12)) / np.float32(INT8_MAX)
    return np.rint(weight_RK / scale_R1).astype(np.int8), scale_R1


def quantize_activations(x_BK: NDArray[np.float64]) -> QuantizedRows:
    """Return activations as int8 rows; a row of zeros has the scale 0.

    >>> quantize_activations(np.array([[0.25, -0.5], [0.0, 0.0]])).values.tolist()
    [[64, -127], [0, 0]]
    """
    largest_B = np.maximum(x_BK.max(axis=1), -x_BK.min(axis=1))
    # The product is at most 127·(1 + 2⁻⁵²), so it rounds to 127 at most.
    factor_B = INT8_MAX / np.maximum(largest_B, 1e-300)
    values_BK = x_BK * factor_B[:, None]
    return QuantizedRows(np.rint(values_BK, out=values_BK).astype(np.int8), largest_B / INT8_MAX)
