"""Task 2c of the 1997 paper, a lag of 100 and of 1,000 steps: python scripts/long_lag.py.

A sequence opens with a start sign and x or y; then come `lag` or more distractors, each drawn anew
from as many kinds, and a sign that asks: x or y?  Right is an error below 0.25 (Hochreiter &
Schmidhuber 1997, section 5.2).  The control is a plain RNN given as many sequences as the paper's LSTM
needed, and an LSTM whose forget gates all begin with the usual bias of 1.
"""

from argparse import ArgumentParser
from functools import partial

import torch
from learning import Batch, Memory, Outcome, Task, learn
from showing import plot_curves, print_table, read_arguments, told
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

PAPER = {50: 30_000, 100: 31_000, 200: 33_000, 500: 38_000, 1000: 49_000}
ASK, START, FIRST_DISTRACTOR = 2, 3, 4  # 0 and 1 are x and y
END_RATE = 0.1


def draw(lag: int, num: int, chance: torch.Generator) -> Batch:
    """Sequences of `lag` distractors, and one more each time a die of ten says so."""
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


def run(lag: int, cell: str, seed: int, *, limit: int, chrono: bool, tests: int) -> Outcome:
    torch.manual_seed(seed)
    memory = Memory(
        cell, 16, 32, 1, num_symbols=FIRST_DISTRACTOR + lag, chrono=lag if chrono else 0
    )
    task = Task(partial(draw, lag), loss, is_wrong)
    title = f"lag {lag} {cell} seed {seed}"
    return learn(memory, task, limit=limit, seed=seed, title=title, tests=tests, learning_rate=5e-3)


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--lag", type=int, nargs="+", default=[100, 1000], choices=sorted(PAPER))


def main() -> None:
    arguments = read_arguments(__doc__ or "", add_options)
    seeds = [arguments.seed + i for i in range(1 if arguments.quick else 3)]
    curves: dict[str, Outcome] = {}
    for lag in [50] if arguments.quick else arguments.lag:
        limit, tests = (640, 64) if arguments.quick else (PAPER[lag], 10_000)
        rows: list[tuple[str, ...]] = [
            ("paper: LSTM of 1997", "all", f"{PAPER[lag]:,}", "0 of 10,000", "")
        ]
        for name, cell, chrono in (
            ("here: LSTM, chrono", "lstm", True),
            ("control: LSTM, bias 1", "lstm", False),
            ("control: plain RNN", "rnn", False),
        ):
            outcomes = [run(lag, cell, s, limit=limit, chrono=chrono, tests=tests) for s in seeds]
            rows.append((name, *told(outcomes)))
            curves[f"{name.split(': ')[1]}, lag {lag}"] = outcomes[0]
        heading = ("", "solved", "sequences", "wrong, seed by seed", "seconds")
        print_table(f"2c, lag {lag}, at most {limit:,} sequences", heading, rows)
        print()
    plot_curves(arguments.plot, curves, "Remembering one sign over a lag (task 2c)")


if __name__ == "__main__":
    main()
