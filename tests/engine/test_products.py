"""Products of int8 are exact with every provider."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from poetgen.engine.products import NumpyProducts, Products
from poetgen.engine.torch_products import TorchProducts

PROVIDERS: dict[str, Products] = {
    "numpy": NumpyProducts(),
    "int8": TorchProducts(),
    "fp32": TorchProducts(use_int8=False),
}
if torch.cuda.is_available():
    PROVIDERS["cuda"] = TorchProducts("cuda")


def random_rows(num_rows: int, size: int, seed: int) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 128, (num_rows, size)).astype(np.int8)


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
@pytest.mark.parametrize("size", [1, 7, 384, 640, 1024, 1025, 3000])
@pytest.mark.parametrize("num_rows", [1, 2, 7, 33])
def test_product_is_exact(provider: Products, size: int, num_rows: int) -> None:
    x_BK, matrix_RK = random_rows(num_rows, size, 1), random_rows(50, size, 2)
    product = provider.multiply(x_BK, provider.prepare(matrix_RK))
    assert product.tolist() == (x_BK.astype(int) @ matrix_RK.T.astype(int)).tolist()


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (-1, -1)])
def test_largest_product_is_exact(provider: Products, signs: tuple[int, int]) -> None:
    size = 2048
    x_BK = np.full((3, size), 127 if signs[0] > 0 else -128, np.int8)
    matrix_RK = np.full((4, size), 127 if signs[1] > 0 else -128, np.int8)
    product = provider.multiply(x_BK, provider.prepare(matrix_RK))
    assert (product == size * int(x_BK[0, 0]) * int(matrix_RK[0, 0])).all()


def saturating(x_BK: torch.Tensor, matrix_KR: torch.Tensor) -> torch.Tensor:
    """Return a product as kernels without VNNI compute it: sums of two terms end at 2¹⁵ − 1."""
    products = x_BK[:, :, None].int() * matrix_KR[None].int()
    pairs = products.reshape(len(x_BK), -1, 2, matrix_KR.shape[1]).sum(dim=2)
    return pairs.clamp(-(2**15), 2**15 - 1).sum(dim=1).int()


def missing(_x_BK: torch.Tensor, _matrix_KR: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no such kernel")


@pytest.mark.parametrize("kernel", [saturating, missing])
def test_kernel_that_is_not_exact_is_not_used(
    monkeypatch: pytest.MonkeyPatch, kernel: Callable[..., torch.Tensor]
) -> None:
    monkeypatch.setattr(torch, "_int_mm", kernel)
    products = TorchProducts()
    x_BK, matrix_RK = np.full((2, 16), 127, np.int8), np.full((3, 16), 127, np.int8)
    product = products.multiply(x_BK, products.prepare(matrix_RK))
    assert (product == 16 * 127 * 127).all()


def test_every_number_of_rows_gives_the_same_row() -> None:
    matrix_RK, x_BK = random_rows(70, 24, 3), random_rows(70, 24, 4)
    products = TorchProducts()
    prepared = products.prepare(matrix_RK)
    whole = products.multiply(x_BK, prepared)
    for num_rows in range(1, 70):
        part = products.multiply(x_BK[:num_rows], prepared)
        assert part.tolist() == whole[:num_rows].tolist()
