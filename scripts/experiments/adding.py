"""The adding problem over 100 steps: python scripts/experiments/adding.py.

Each step provides a number from [−1, 1] and a marker.  Two numbers are marked: one among the first ten,
one in the first half.  At the end the network must output .5 + (their sum) / 4.  An output counts as
correct if its error is below .04 (Hochreiter & Schmidhuber 1997, section 5.4).

32 units, Adam with learning rate .005, batches of 32, gradients clipped at 1.  "Chrono" gates are
initialized with the length of the task, which the network of 1997 was not given: the numbers of sequences
are not directly comparable.  The plain RNN has the same number of units, and so a quarter of the recurrent
weights.
"""

from functools import partial

import torch
from learning import Batch, Memory, Outcome, Task, learn
from showing import compare_cells, plot_outcomes, read_arguments
from torch import Tensor
from torch.nn.functional import mse_loss

LENGTH, PAPER = 100, 74_000


def draw(num: int, generator: torch.Generator) -> Batch:
    """Return `num` sequences of 100 to 110 pairs (number, marker); the first and last marker are −1."""
    last_B = LENGTH - 1 + torch.randint(LENGTH // 10 + 1, (num,), generator=generator)
    length, rows = int(last_B.max()) + 1, torch.arange(num)
    values_BT = 2 * torch.rand(num, length, generator=generator) - 1
    # The first number counts as zero, marked or not.
    values_BT[:, 0] = 0.0
    first_B = torch.randint(10, (num,), generator=generator)
    # Another step of the first half: draw from one step fewer, then skip over `first`.
    second_B = torch.randint(LENGTH // 2 - 2, (num,), generator=generator)
    second_B += second_B >= first_B
    markers_BT = torch.zeros(num, length)
    markers_BT[rows, first_B] = markers_BT[rows, second_B] = 1.0
    markers_BT[:, 0] = markers_BT[rows, last_B] = -1.0
    sum_B = values_BT[rows, first_B] + values_BT[rows, second_B]
    return Batch(torch.stack([values_BT, markers_BT], dim=-1), last_B, 0.5 + sum_B / 4)


def loss(outputs_BO: Tensor, target_B: Tensor) -> Tensor:
    return mse_loss(outputs_BO[:, 0], target_B)


def is_wrong(outputs_BO: Tensor, target_B: Tensor) -> Tensor:
    return (outputs_BO[:, 0] - target_B).abs() >= 0.04


def run(cell: str, seed: int, *, chrono: bool, limit: int = PAPER, tests: int = 2560) -> Outcome:
    torch.manual_seed(seed)
    memory = Memory(cell, 2, 32, 1, chrono=LENGTH if chrono else 0)
    task = Task(draw, loss, is_wrong)
    title = f"adding {cell} seed {seed}"
    return learn(memory, task, limit=limit, seed=seed, title=title, tests=tests, learning_rate=5e-3)


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    limit, tests = (640, 64) if arguments.quick else (PAPER, 2560)
    outcomes = compare_cells(
        f"Adding, {LENGTH} steps, at most {limit:,} sequences",
        (f"{PAPER:,}", "1 of 2,560"),
        partial(run, limit=limit, tests=tests),
        arguments.seeds,
    )
    plot_outcomes(arguments.plot, outcomes, f"The adding problem, {LENGTH} steps")


if __name__ == "__main__":
    main()
