"""The adding problem, 100 steps: python scripts/adding.py.

Each step gives a number from [−1, 1] and a marker; two numbers are marked, one among the first ten,
one in the first half.  At the end the network is to give .5 + (their sum) / 4.  Right is an error
below .04 (Hochreiter & Schmidhuber 1997, section 5.4).

32 units, Adam at .005, batches of 32, gradients clipped at 1.  "Chrono" gates are told the task's length
when they begin, which the net of 1997 was not: the counts of sequences are not like for like.  The plain
RNN has as many units, and so a quarter of the recurrent weights.
"""

from functools import partial

import torch
from learning import Batch, Memory, Outcome, Task, learn
from showing import contest, plot_curves, read_arguments
from torch import Tensor
from torch.nn.functional import mse_loss

LENGTH, PAPER = 100, 74_000


def draw(num: int, chance: torch.Generator) -> Batch:
    """Sequences of 100 to 110 pairs (number, marker); the first and the last marker are −1."""
    last_B = LENGTH - 1 + torch.randint(LENGTH // 10 + 1, (num,), generator=chance)
    length, rows = int(last_B.max()) + 1, torch.arange(num)
    values_BT = 2 * torch.rand(num, length, generator=chance) - 1
    # The very first number counts as nothing, whether marked or not.
    values_BT[:, 0] = 0.0
    first_B = torch.randint(10, (num,), generator=chance)
    # One of the other places of the first half: a number is drawn and stepped over `first`.
    second_B = torch.randint(LENGTH // 2 - 2, (num,), generator=chance)
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
    curves = contest(
        f"Adding, {LENGTH} steps, at most {limit:,} sequences",
        (f"{PAPER:,}", "1 of 2,560"),
        partial(run, limit=limit, tests=tests),
        arguments.seeds,
    )
    plot_curves(arguments.plot, curves, f"The adding problem, {LENGTH} steps")


if __name__ == "__main__":
    main()
