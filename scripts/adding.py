"""The adding problem, 100 steps: python scripts/adding.py.

Each step gives a number from [−1, 1] and a marker; two numbers are marked, one among the first ten,
one in the first half.  At the end the network is to give .5 + (their sum) / 4.  Right is an error
below .04 (Hochreiter & Schmidhuber 1997, section 5.4).
"""

import torch
from learning import Batch, Memory, Outcome, Task, learn
from showing import plot_curves, print_table, read_arguments, told
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


def run(cell: str, seed: int, *, limit: int, chrono: bool, tests: int) -> Outcome:
    torch.manual_seed(seed)
    memory = Memory(cell, 2, 32, 1, chrono=LENGTH if chrono else 0)
    task = Task(draw, loss, is_wrong)
    title = f"adding {cell} seed {seed}"
    return learn(memory, task, limit=limit, seed=seed, title=title, tests=tests, learning_rate=5e-3)


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    seeds = [arguments.seed + i for i in range(1 if arguments.quick else 3)]
    limit, tests = (640, 64) if arguments.quick else (PAPER, 2560)
    rows: list[tuple[str, ...]] = [("paper: LSTM of 1997", "all", f"{PAPER:,}", "1 of 2,560", "")]
    curves: dict[str, Outcome] = {}
    for name, cell, chrono in (
        ("here: LSTM, chrono", "lstm", True),
        ("control: LSTM, bias 1", "lstm", False),
        ("control: plain RNN", "rnn", False),
    ):
        outcomes = [run(cell, seed, limit=limit, chrono=chrono, tests=tests) for seed in seeds]
        rows.append((name, *told(outcomes)))
        curves[name.split(": ")[1]] = outcomes[0]
    print_table(
        f"Adding, {LENGTH} steps, at most {limit:,} sequences",
        ("", "solved", "sequences", "wrong, seed by seed", "seconds"),
        rows,
    )
    plot_curves(arguments.plot, curves, f"The adding problem, {LENGTH} steps")


if __name__ == "__main__":
    main()
