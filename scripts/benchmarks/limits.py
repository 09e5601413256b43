"""The limits of the machine: matrix products in the shapes of the bundled model, copies of memory."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.lines import Group, Line, Settings, rate
from poetgen.model.file import load_model
from poetgen.runs import BUNDLED

_ROWS = 256
_COPIED_BYTES = 256 << 20


def limits(settings: Settings) -> Group:
    """Return products of 256 rows with all matrices of a step, and the copying of memory."""
    return Group(
        "limits",
        f"Limits of the machine: products of {_ROWS} rows with the matrices of the bundled model",
        (
            *(
                Line(f"{name} products", "GOP/s", _products(dtype, settings))
                for name, dtype in (
                    ("fp32", torch.float32),
                    ("bf16", torch.bfloat16),
                    ("int8", torch.int8),
                )
            ),
            Line("memory, read and written", "GB/s", _copying(settings)),
        ),
    )


def _products(dtype: torch.dtype, settings: Settings) -> Callable[[], float]:
    """Return a measurement of multiplications and additions, in thousand millions per second."""
    network = load_model(BUNDLED).network
    matrices = [weight for weight in network.parameters() if weight.ndim == 2]
    generator = torch.Generator().manual_seed(1)

    def random(rows: int, columns: int) -> Tensor:
        values = torch.randint(-127, 128, (rows, columns), generator=generator)
        return values.to(settings.device, dtype)

    pairs = [(random(_ROWS, one.shape[1]), random(*one.shape).t()) for one in matrices]
    operations = sum(2 * _ROWS * one.numel() for one in matrices)
    multiply = torch._int_mm if dtype == torch.int8 else torch.mm

    def work() -> float:
        for x, matrix in pairs:
            multiply(x, matrix)
        _synchronize(settings.device)
        return operations

    return lambda: rate(work, settings.seconds) / 1e9


def _copying(settings: Settings) -> Callable[[], float]:
    """Return a measurement of bytes read and bytes written, in thousand millions per second."""
    source = torch.ones(_COPIED_BYTES // 4, device=settings.device)
    target = torch.empty_like(source)

    def work() -> float:
        target.copy_(source)
        _synchronize(settings.device)
        return 2 * _COPIED_BYTES

    return lambda: rate(work, settings.seconds) / 1e9


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
