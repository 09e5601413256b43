"""The six equations with numbers to check by hand: python scripts/experiments/worked_example.py.

One unit, one input.  Each gate has the same weight on the input and on the hidden state, and no bias.
"""

import torch
from showing import print_table, read_arguments, write_plot
from torch import Tensor

from poetgen.model.cell import CellWeights, LSTMStep, lstm_step
from poetgen.views.charts import Curve, line_chart
from poetgen.views.svg import color

WEIGHTS = {"input": 0.6, "forget": 0.7, "candidate": 0.5, "output": 0.9}  # in torch's order
X, HIDDEN, CELL = 0.5, 0.2, 0.4
BY_HAND = {
    "forget": 0.620,
    "input": 0.603,
    "candidate": 0.336,
    "cell": 0.451,
    "output": 0.652,
    "hidden": 0.276,
}
SEQUENCE = (0.2, 0.4, 0.6)
SEQUENCE_BY_HAND = ((0.53, 0.05, 0.03), (0.57, 0.15, 0.09), (0.62, 0.29, 0.18))
EQUATIONS = {
    "forget": "f = σ(.7·x + .7·h)",
    "input": "i = σ(.6·x + .6·h)",
    "candidate": "g = tanh(.5·x + .5·h)",
    "cell": "c' = f·c + i·g",
    "output": "o = σ(.9·x + .9·h)",
    "hidden": "h' = o·tanh(c')",
}


def one(value: float) -> Tensor:
    return torch.tensor([[value]], dtype=torch.float64)


def weights() -> CellWeights:
    column = torch.tensor(list(WEIGHTS.values()), dtype=torch.float64).unsqueeze(1)
    zeros = torch.zeros(4, dtype=torch.float64)
    return CellWeights(column, column, zeros, zeros)


def three_steps() -> list[LSTMStep]:
    """Return the steps of `SEQUENCE` from a zero state."""
    hidden, cell, steps = one(0.0), one(0.0), []
    for x in SEQUENCE:
        steps.append(lstm_step(one(x), hidden, cell, weights()))
        hidden, cell = steps[-1].hidden, steps[-1].cell
    return steps


def sums() -> dict[str, float]:
    """Return the argument of σ or tanh for each gate."""
    return {name: weight * X + weight * HIDDEN for name, weight in WEIGHTS.items()}


def sequence_row(x: float, by_hand: tuple[float, ...], here: LSTMStep) -> list[str]:
    """Return x, then forget gate, cell and hidden state, each by hand and as computed here."""
    row = [str(x)]
    for hand, value in zip(by_hand, (here.forget, here.cell, here.hidden), strict=True):
        row += [f"{hand:.2f}", f"{value.item():.3f}"]
    return row


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    step = lstm_step(one(X), one(HIDDEN), one(CELL), weights())._asdict()
    before = sums()
    rows = [
        (
            EQUATIONS[name],
            f"{before[name]:.3f}" if name in before else "",
            f"{by_hand:.3f}",
            f"{step[name].item():.3f}",
        )
        for name, by_hand in BY_HAND.items()
    ]
    print_table(
        f"One step: x = {X}, h = {HIDDEN}, c = {CELL}",
        ("equation", "argument", "by hand", "here"),
        rows,
    )
    print()
    steps = three_steps()
    print_table(
        "Three steps from a zero state",
        ("x", "f by hand", "here", "c by hand", "here", "h by hand", "here"),
        [sequence_row(*one) for one in zip(SEQUENCE, SEQUENCE_BY_HAND, steps, strict=True)],
    )

    def draw() -> str:
        curves = [
            Curve(
                name,
                [(x, s._asdict()[name].item()) for x, s in zip(SEQUENCE, steps, strict=True)],
                color(index),
                has_dots=True,
            )
            for index, name in enumerate(("forget", "cell", "hidden"))
        ]
        return line_chart("Three steps from a zero state", curves, "x", "value")

    write_plot(arguments.plot, draw)


if __name__ == "__main__":
    main()
