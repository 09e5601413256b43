"""A value behind two shut doors for 1,000 steps: python scripts/constant_error_carousel.py.

The cell of 1997 has no forget gate: what is in the cell goes round unchanged (the constant error
carousel), an input gate guards the way in and an output gate the way out.  The modern cell multiplies
by a forget gate at each step (Gers, Schmidhuber & Cummins 2000).  With a forget gate of 1 the cell's sum
is that of 1997 (whose squashing functions were scaled logistics).  Here one unit, its weights set by
hand: noise knocks at the input all the time, one door is opened to write and the other to read.
"""

import math
from typing import Any, NamedTuple

import torch
from showing import COLOURS, plot, print_table, read_arguments
from torch import Tensor
from tqdm import tqdm

from poetgen.model.cell import CellWeights, lstm_step

VALUE = 0.8
SHUT = -50.0  # σ(−50) is 2e-22: lost beside any value in double precision
FORGET_BIASES: dict[str, float] = {
    "1997: no forget gate": 1000.0,  # σ(1000) is exactly 1: the cell's sum is that of 1997
    "forget bias 7": 7.0,
    "forget bias 5": 5.0,
    "forget bias 1": 1.0,
}


class Run(NamedTuple):
    """One unit's life; index 0 is the step that writes."""

    cell: list[float]
    hidden: list[float]
    gradient: float
    """∂(last cell) / ∂(cell as written)."""


def weights(forget_bias: float) -> CellWeights:
    """Inputs: the value, the knob of the input gate, that of the output gate.  No recurrence."""
    doors = torch.tensor(
        [[0.0, -2 * SHUT, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -2 * SHUT]],
        dtype=torch.float64,
    )
    bias = torch.tensor([SHUT, forget_bias, 0.0, SHUT], dtype=torch.float64)
    return CellWeights(doors, doors.new_zeros(4, 1), bias, torch.zeros_like(bias))


def inputs(num_steps: int, seed: int) -> Tensor:
    """(T, 3): write the value at the first step, noise with both doors shut, read at the last."""
    chance = torch.Generator().manual_seed(seed)
    x_TI = torch.zeros(num_steps + 2, 3, dtype=torch.float64)
    x_TI[:, 0] = 3 * torch.randn(len(x_TI), generator=chance, dtype=torch.float64)
    x_TI[0] = torch.tensor([math.atanh(VALUE), 1.0, 0.0], dtype=torch.float64)
    x_TI[-1, 2] = 1.0
    return x_TI


def run(forget_bias: float, x_TI: Tensor) -> Run:
    by_hand = weights(forget_bias)
    hidden = cell = torch.zeros(1, 1, dtype=torch.float64)
    written = cell
    cells: list[float] = []
    hiddens: list[float] = []
    for x_I in tqdm(x_TI, leave=False, disable=None):
        step = lstm_step(x_I[None], hidden, cell, by_hand)
        hidden, cell = step.hidden, step.cell
        if not cells:
            cell = written = cell.requires_grad_()
        cells.append(cell.item())
        hiddens.append(hidden.item())
    (gradient,) = torch.autograd.grad(cell.sum(), written)
    return Run(cells, hiddens, float(gradient))


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    num_steps = 100 if arguments.quick else 1000
    x_TI = inputs(num_steps, arguments.seed)
    runs = {name: run(bias, x_TI) for name, bias in FORGET_BIASES.items()}
    print_table(
        f"{VALUE} written at step 0, then noise before shut doors, read at step {num_steps + 1}",
        (
            "cell",
            "written",
            "at 10",
            "at 100",
            f"at {num_steps}",
            "shown meanwhile",
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
    print(f"largest change of the 1997 cell in all that time: {drift:.0e}")

    def draw(axis: Any) -> None:
        for colour, (name, one) in zip(COLOURS, runs.items(), strict=False):
            axis.plot(one.cell, label=name, color=colour)
        axis.set(title="A value behind shut doors", xlabel="steps", ylabel="cell", xscale="symlog")
        axis.legend()

    plot(arguments.plot, draw)


if __name__ == "__main__":
    main()
