"""Exact products by torch: int8 kernels where they are exact, on the CPU or a GPU.

`torch._int_mm` multiplies int8 by int8 into int32.  It is private, and some kernels of older CPUs
saturate, so each shape is compared with an exact product before it is first used; where they differ,
fp32 takes its place, which is exact as well.

Shape suffixes: B rows of a batch, R rows of a matrix, K values per row.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poetgen.engine.products import BLOCK, Whole

_CHECKED_ROWS = 256
"""Rows of the matrices that a kernel is checked with."""


@dataclass
class PreparedMatrix:
    """A matrix on the device, its sizes padded to multiples of eight, which CUDA requires."""

    values_KR: Tensor
    """int8, a transposed view of rows."""
    num_rows: int
    blocks_KR: list[Tensor] = field(default_factory=list)
    """The same in fp32, in blocks of at most `BLOCK` rows; made when first needed."""


class TorchProducts:
    """Products by torch on one device.

    products = TorchProducts("cuda")
    """

    def __init__(
        self,
        device: str | torch.device = "cpu",
        *,
        use_int8: bool = True,
        num_threads: int | None = None,
    ) -> None:
        """Without `use_int8`, compute all products in fp32; `num_threads` is set for all of torch."""
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self._device = torch.device(device)
        self._use_int8 = use_int8
        self._is_exact: dict[tuple[int, int, int], bool] = {}

    def prepare(self, values_RK: NDArray[np.int8]) -> PreparedMatrix:
        """See `Products`."""
        num_rows, size = values_RK.shape
        padded_RK = np.zeros((_multiple(num_rows, 8), _multiple(size, 8)), np.int8)
        padded_RK[:num_rows, :size] = values_RK
        return PreparedMatrix(torch.from_numpy(padded_RK).to(self._device).t(), num_rows)

    def multiply(self, values_BK: NDArray[np.int8], prepared: PreparedMatrix) -> Whole:
        """See `Products`."""
        num_rows, size = values_BK.shape
        shape = (self._padded(num_rows), len(prepared.values_KR))
        if shape != (num_rows, size):
            padded_BK = np.zeros(shape, np.int8)
            padded_BK[:num_rows, :size] = values_BK
            values_BK = padded_BK
        on_device_BK = torch.from_numpy(values_BK).to(self._device)
        if self._takes_int8(*shape, prepared.values_KR.shape[1]):
            result_BR = torch._int_mm(on_device_BK, prepared.values_KR)
        else:
            result_BR = self._fp32_product(on_device_BK, prepared)
        whole: Whole = result_BR.cpu().numpy()[:num_rows, : prepared.num_rows]
        return whole

    def _padded(self, num_rows: int) -> int:
        """Return the number of rows to compute: few sizes, as each is checked; CUDA needs over 16."""
        if num_rows == 1 and self._device.type == "cpu":
            return 1
        return _multiple(num_rows, max(32, 2 ** (num_rows.bit_length() - 3)))

    def _takes_int8(self, num_rows: int, size: int, num_columns: int) -> bool:
        """Return whether the int8 kernel of these sizes is exact, on random values and on extremes."""
        if not self._use_int8:
            return False
        key = (num_rows, size, min(num_columns, _CHECKED_ROWS))
        if key not in self._is_exact:
            self._is_exact[key] = self._check(*key)
        return self._is_exact[key]

    def _check(self, num_rows: int, size: int, num_columns: int) -> bool:
        random = np.random.default_rng(0)
        x_BK = random.integers(-127, 128, (num_rows, size)).astype(np.int8)
        matrix_RK = random.integers(-127, 128, (num_columns, size)).astype(np.int8)
        x_BK[0], matrix_RK[0], matrix_RK[1] = 127, 127, -127
        try:
            found = torch._int_mm(
                torch.from_numpy(x_BK).to(self._device),
                torch.from_numpy(matrix_RK).to(self._device).t(),
            )
        except RuntimeError:  # no such kernel on this device
            return False
        expected_BR = x_BK.astype(np.float64) @ matrix_RK.T.astype(np.float64)
        return bool((found.cpu().numpy() == expected_BR).all())

    def _fp32_product(self, x_BK: Tensor, prepared: PreparedMatrix) -> Tensor:
        if not prepared.blocks_KR:
            prepared.blocks_KR = list(torch.split(prepared.values_KR.float(), BLOCK))
        parts = [
            x_BK[:, number * BLOCK : (number + 1) * BLOCK].float() @ block_KR
            for number, block_KR in enumerate(prepared.blocks_KR)
        ]
        first, *others = parts
        return sum((part.double() for part in others), first.double()) if others else first


def _multiple(number: int, of: int) -> int:
    """Return the least multiple of `of` that is not below `number`."""
    return number + -number % of
