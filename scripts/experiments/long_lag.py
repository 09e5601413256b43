"""Task 2c of the 1997 paper, lags of 100 and 1,000 steps: python scripts/experiments/long_lag.py.

A sequence starts with a start symbol and x or y.  `lag` distractors follow, each drawn from `lag` symbols,
then further ones with probability .9 each, and a query symbol: x or y?  An output counts as correct if its
error is below 0.25.  The task is solved when 10,000 sequences in a row are correct; these are included in
the number of sequences (Hochreiter & Schmidhuber 1997, section 5.2).

32 units, Adam with learning rate .005, batches of 32, gradients clipped at 1.  "Chrono" gates are
initialized with the lag, which the network of 1997 was not given: the numbers of sequences are not directly
comparable.  The controls see the number of sequences that the paper's LSTM needed: an LSTM whose forget
gates all have the usual initial bias of 1, and a plain RNN with the same number of units, and so a quarter
of the recurrent weights.
"""

from argparse import ArgumentParser
from functools import partial

import torch
from learning import Batch, Memory, Outcome, Task, learn
from showing import compare_cells, plot_outcomes, read_arguments
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

PAPER = {50: 30_000, 100: 31_000, 200: 33_000, 500: 38_000, 1000: 49_000}
QUERY, START, FIRST_DISTRACTOR = 2, 3, 4  # 0 and 1 are x and y
END_RATE = 0.1
STREAK = 10_000


def draw(lag: int, num: int, generator: torch.Generator) -> Batch:
    """Return `num` sequences of `lag` distractors and further ones with probability .9 each."""
    more_B = torch.empty(num).geometric_(END_RATE, generator=generator).long() - 1
    last_B = 2 + lag + more_B
    length = int(last_B.max()) + 1
    ids_BT = torch.randint(
        FIRST_DISTRACTOR, FIRST_DISTRACTOR + lag, (num, length), generator=generator
    )
    which_B = torch.randint(2, (num,), generator=generator)
    ids_BT[:, 0], ids_BT[:, 1] = START, which_B
    ids_BT[torch.arange(num), last_B] = QUERY  # what follows it is never read
    return Batch(ids_BT, last_B, which_B.float())


def loss(outputs_BO: Tensor, which_B: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(outputs_BO[:, 0], which_B)


def is_wrong(outputs_BO: Tensor, which_B: Tensor) -> Tensor:
    return (torch.sigmoid(outputs_BO[:, 0]) - which_B).abs() >= 0.25


def run(
    lag: int,
    cell: str,
    seed: int,
    *,
    chrono: bool,
    limit: int | None = None,
    tests: int = 10_000,
) -> Outcome:
    torch.manual_seed(seed)
    num_symbols = FIRST_DISTRACTOR + lag
    memory = Memory(cell, 16, 32, 1, num_symbols=num_symbols, chrono=lag if chrono else 0)
    return learn(
        memory,
        Task(partial(draw, lag), loss, is_wrong),
        limit=PAPER[lag] if limit is None else limit,
        seed=seed,
        title=f"lag {lag} {cell} seed {seed}",
        learning_rate=5e-3,
        streak=STREAK,
        tests=tests,
    )


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--lag", type=int, nargs="+", default=[100, 1000], choices=sorted(PAPER))


def main() -> None:
    arguments = read_arguments(__doc__ or "", add_options)
    outcomes: dict[str, Outcome] = {}
    for lag in [50] if arguments.quick else arguments.lag:
        limit, tests = (640, 64) if arguments.quick else (PAPER[lag], 10_000)
        of_lag = compare_cells(
            f"2c, lag {lag}, at most {limit:,} sequences",
            (f"{PAPER[lag]:,}", "0 of 10,000"),
            partial(run, lag, limit=limit, tests=tests),
            arguments.seeds,
        )
        outcomes |= {f"{name}, lag {lag}": outcome for name, outcome in of_lag.items()}
        print()
    plot_outcomes(arguments.plot, outcomes, "Remembering one symbol over a lag (task 2c)")


if __name__ == "__main__":
    main()
