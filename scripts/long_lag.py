"""Task 2c of the 1997 paper, a lag of 100 and of 1,000 steps: python scripts/long_lag.py.

A sequence opens with a start sign and x or y; then come `lag` distractors, each drawn anew from as many
kinds, then one more after another with probability .9, and a sign that asks: x or y?  Right is an error
below 0.25; it is solved when 10,000 sequences in a row are right, and these are counted among the
sequences seen (Hochreiter & Schmidhuber 1997, section 5.2).

32 units, Adam at .005, batches of 32, gradients clipped at 1.  "Chrono" gates are told the lag's length
when they begin, which the net of 1997 was not: the counts of sequences are not like for like.  Controls,
with as many sequences as the paper's LSTM needed: an LSTM whose forget gates all begin with the usual
bias of 1, and a plain RNN of as many units, and so a quarter of the recurrent weights.
"""

from argparse import ArgumentParser
from functools import partial

import torch
from learning import Batch, Memory, Outcome, Task, learn
from showing import contest, plot_curves, read_arguments
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

PAPER = {50: 30_000, 100: 31_000, 200: 33_000, 500: 38_000, 1000: 49_000}
ASK, START, FIRST_DISTRACTOR = 2, 3, 4  # 0 and 1 are x and y
END_RATE = 0.1
STREAK = 10_000


def draw(lag: int, num: int, chance: torch.Generator) -> Batch:
    """Sequences of `lag` distractors and those that follow with probability .9 each."""
    more_B = torch.empty(num).geometric_(END_RATE, generator=chance).long() - 1
    last_B = 2 + lag + more_B
    length = int(last_B.max()) + 1
    ids_BT = torch.randint(
        FIRST_DISTRACTOR, FIRST_DISTRACTOR + lag, (num, length), generator=chance
    )
    which_B = torch.randint(2, (num,), generator=chance)
    ids_BT[:, 0], ids_BT[:, 1] = START, which_B
    ids_BT[torch.arange(num), last_B] = ASK  # what stands behind it is never looked at
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
    curves: dict[str, Outcome] = {}
    for lag in [50] if arguments.quick else arguments.lag:
        limit, tests = (640, 64) if arguments.quick else (PAPER[lag], 10_000)
        first = contest(
            f"2c, lag {lag}, at most {limit:,} sequences",
            (f"{PAPER[lag]:,}", "0 of 10,000"),
            partial(run, lag, limit=limit, tests=tests),
            arguments.seeds,
        )
        curves |= {f"{name}, lag {lag}": outcome for name, outcome in first.items()}
        print()
    plot_curves(arguments.plot, curves, "Remembering one sign over a lag (task 2c)")


if __name__ == "__main__":
    main()
