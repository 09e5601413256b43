"""A value behind two closed gates for 1,000 steps: python scripts/experiments/constant_error_carousel.py.

The cell of 1997 has no forget gate: the content of the cell is carried over unchanged (the constant error
carousel).  An input gate controls what enters the cell, an output gate what leaves it.  The modern cell
multiplies by a forget gate at each step (Gers, Schmidhuber & Cummins 2000).  With a forget gate of 1 its
sum is that of 1997 (whose activation functions were scaled logistics).  This experiment has one unit with
weights set by hand.  Its input is noise; the input gate opens once to store the value, the output gate once
to read it.
"""

import math
from typing import NamedTuple

import torch
from showing import print_table, read_arguments, write_plot
from torch import Tensor
from tqdm import tqdm

from poetgen.model.cell import CellWeights, lstm_step
from poetgen.views.charts import Curve, line_chart
from poetgen.views.svg import color

VALUE = 0.8
CLOSED = -50.0  # σ(−50) is 2e-22, which vanishes when added to a value in double precision
FORGET_BIASES: dict[str, float] = {
    "1997: no forget gate": 1000.0,  # σ(1000) is exactly 1: the cell's sum is that of 1997
    "forget bias 7": 7.0,
    "forget bias 5": 5.0,
    "forget bias 1": 1.0,
}


class Run(NamedTuple):
    """The states of one unit; index 0 is the step that stores the value."""

    cell: list[float]
    hidden: list[float]
    gradient: float
    """∂(last cell) / ∂(cell at step 0)."""


def weights(forget_bias: float) -> CellWeights:
    """Return weights for three inputs: value, input gate, output gate.  The unit has no recurrence."""
    from_input = torch.tensor(
        [[0.0, -2 * CLOSED, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -2 * CLOSED]],
        dtype=torch.float64,
    )
    bias = torch.tensor([CLOSED, forget_bias, 0.0, CLOSED], dtype=torch.float64)
    return CellWeights(from_input, from_input.new_zeros(4, 1), bias, torch.zeros_like(bias))


def inputs(num_steps: int, seed: int) -> Tensor:
    """Return (T, 3): store the value at the first step, noise at closed gates, read at the last step."""
    generator = torch.Generator().manual_seed(seed)
    x_TI = torch.zeros(num_steps + 2, 3, dtype=torch.float64)
    x_TI[:, 0] = 3 * torch.randn(len(x_TI), generator=generator, dtype=torch.float64)
    x_TI[0] = torch.tensor([math.atanh(VALUE), 1.0, 0.0], dtype=torch.float64)
    x_TI[-1, 2] = 1.0
    return x_TI


def run(forget_bias: float, x_TI: Tensor) -> Run:
    unit_weights = weights(forget_bias)
    hidden = cell = torch.zeros(1, 1, dtype=torch.float64)
    stored = cell
    cells: list[float] = []
    hiddens: list[float] = []
    for x_I in tqdm(x_TI, leave=False, disable=None):
        step = lstm_step(x_I[None], hidden, cell, unit_weights)
        hidden, cell = step.hidden, step.cell
        if not cells:
            cell = stored = cell.requires_grad_()
        cells.append(cell.item())
        hiddens.append(hidden.item())
    (gradient,) = torch.autograd.grad(cell.sum(), stored)
    return Run(cells, hiddens, float(gradient))


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    num_steps = 100 if arguments.quick else 1000
    x_TI = inputs(num_steps, arguments.seed)
    runs = {name: run(bias, x_TI) for name, bias in FORGET_BIASES.items()}
    print_table(
        f"{VALUE} stored at step 0, then noise at closed gates, read at step {num_steps + 1}",
        (
            "cell",
            "stored",
            "at 10",
            "at 100",
            f"at {num_steps}",
            "output, closed",
            "read",
            "gradient",
        ),
        [
            (
                name,
                f"{one.cell[0]:.6f}",
                f"{one.cell[10]:.6f}",
                f"{one.cell[100]:.6f}",
                f"{one.cell[num_steps]:.6f}",
                f"{max(map(abs, one.hidden[:-1])):.0e}",
                f"{one.hidden[-1]:.6f}",
                f"{one.gradient:.1e}",
            )
            for name, one in runs.items()
        ],
    )
    kept = runs["1997: no forget gate"].cell
    drift = max(abs(value - kept[0]) for value in kept)
    print(f"largest change of the 1997 cell over all steps: {drift:.0e}")

    def draw() -> str:
        curves = [
            Curve(name, list(enumerate(one.cell))[1 : num_steps + 1], color(index))
            for index, (name, one) in enumerate(runs.items())
        ]
        return line_chart("A value behind closed gates", curves, "steps", "cell", log_x=True)

    write_plot(arguments.plot, draw)


if __name__ == "__main__":
    main()
