"""Temporal order (task 6a), which symbol came first: python scripts/experiments/temporal_order.py.

Two of 100 to 110 symbols are X or Y, one at step 10 to 20 and one at step 50 to 60; the rest is noise.
At the end the network must name the order: XX, XY, YX or YY.  An output counts as correct if each of its
four errors is below .3 (Hochreiter & Schmidhuber 1997, section 5.6).

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
from torch.nn.functional import cross_entropy, one_hot

PAPER = 31_390
X, END, START, FIRST_NOISE, NUM_SYMBOLS = 0, 2, 3, 4, 8  # Y is 1; a, b, c, d are 4 to 7


def draw(num: int, generator: torch.Generator) -> Batch:
    """Return `num` sequences of ids, the step of each end symbol, and the classes."""

    def between(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (num,), generator=generator)

    last_B, rows = between(99, 109), torch.arange(num)
    length = int(last_B.max()) + 1
    ids_BT = torch.randint(FIRST_NOISE, NUM_SYMBOLS, (num, length), generator=generator)
    first_B, second_B = between(X, X + 1), between(X, X + 1)
    ids_BT[:, 0] = START
    ids_BT[rows, between(10, 20)] = first_B
    ids_BT[rows, between(50, 60)] = second_B
    ids_BT[rows, last_B] = END
    return Batch(ids_BT, last_B, 2 * first_B + second_B)


def is_wrong(outputs_BO: Tensor, class_B: Tensor) -> Tensor:
    return ((outputs_BO.softmax(dim=-1) - one_hot(class_B, 4)).abs() >= 0.3).any(dim=-1)


def run(cell: str, seed: int, *, chrono: bool, limit: int = PAPER, tests: int = 2560) -> Outcome:
    torch.manual_seed(seed)
    memory = Memory(cell, 8, 32, 4, num_symbols=NUM_SYMBOLS, chrono=100 if chrono else 0)
    task = Task(draw, cross_entropy, is_wrong)
    title = f"order {cell} seed {seed}"
    return learn(memory, task, limit=limit, seed=seed, title=title, tests=tests, learning_rate=5e-3)


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    limit, tests = (640, 64) if arguments.quick else (PAPER, 2560)
    outcomes = compare_cells(
        f"Temporal order of two symbols, at most {limit:,} sequences",
        (f"{PAPER:,}", "1 of 2,560"),
        partial(run, limit=limit, tests=tests),
        arguments.seeds,
    )
    plot_outcomes(arguments.plot, outcomes, "Temporal order (task 6a)")


if __name__ == "__main__":
    main()
