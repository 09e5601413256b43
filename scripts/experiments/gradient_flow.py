"""Vanishing and exploding gradients: python scripts/experiments/gradient_flow.py.

Measures the share of the gradient at the last of 101 steps that remains k steps earlier: in freshly
initialized cells on random input, and in plain RNNs whose recurrent matrix has a given spectral norm.  With
a norm below 1 the gradient must vanish; above 1 it may explode (Pascanu, Mikolov & Bengio 2013).

64 units.  The gradient is taken at the whole state of a cell: the hidden state and, in an LSTM, the cell.
"""

import torch
from learning import LAYERS, set_gate_biases
from showing import print_table, read_arguments, write_plot
from torch import Tensor
from tqdm import tqdm

from poetgen.inspection.gradients import gradient_norms
from poetgen.model.cell import CellWeights, gru_step, lstm_step, rnn_step
from poetgen.views.charts import Curve, line_chart
from poetgen.views.svg import color

STEPS, LAGS = 101, (10, 50, 100)
UNITS, INPUTS, ROWS = 64, 32, 16
NEARLY_ZERO = 1e-40  # still small after doubling 100 times


def fresh(cell: str, seed: int) -> CellWeights:
    """Return weights as `torch.nn` initializes them, in float64."""
    torch.manual_seed(seed)
    return CellWeights(*(w.detach() for w in LAYERS[cell](INPUTS, UNITS).double().all_weights[0]))


def lstm(seed: int, *, forget_bias: float = 1.0, chrono: int = 0) -> CellWeights:
    weights = fresh("lstm", seed)
    set_gate_biases(weights, forget_bias=forget_bias, chrono=chrono)
    return weights


def rnn_of_norm(norm: float, seed: int) -> CellWeights:
    """Return a random orthogonal matrix times `norm`, which scales all directions equally."""
    weights = fresh("rnn", seed)
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(UNITS, UNITS, generator=generator, dtype=torch.float64)
    zeros = torch.zeros(UNITS, dtype=torch.float64)
    return CellWeights(weights.from_input, norm * torch.linalg.qr(square)[0], zeros, zeros)


def decay(cell: str, weights: CellWeights, seed: int, *, input_scale: float = 1.0) -> list[float]:
    """Return ‖∂loss/∂state‖ 0, 1, 2 … steps back relative to the last step.

    The loss is a random linear combination of the last hidden states; its scale cancels out.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x_TBI, mix_H = input_scale * noise(STEPS, ROWS, INPUTS), noise(UNITS)
    zeros = torch.zeros(ROWS, UNITS, dtype=torch.float64, requires_grad=True)
    state: tuple[Tensor, ...] = (zeros, zeros)
    states = []
    for x_BI in x_TBI:
        if cell == "lstm":
            step = lstm_step(x_BI, state[0], state[1], weights)
            state = (step.hidden, step.cell)
        elif cell == "gru":
            state = (gru_step(x_BI, state[0], weights).hidden,)
        else:
            state = (rnn_step(x_BI, state[0], weights),)
        states.append(state)
    norms = gradient_norms((state[0] * mix_H).sum(), states)
    return [norm / norms[0] for norm in norms]


def table_row(name: str, norms: list[float]) -> tuple[str, ...]:
    return (name, *(f"{norms[lag]:.1e}" for lag in LAGS))


def main() -> None:
    arguments = read_arguments(__doc__ or "")
    seed = arguments.seed
    cells = {
        "plain RNN": ("rnn", fresh("rnn", seed)),
        "GRU": ("gru", fresh("gru", seed)),
        "LSTM, forget bias 0": ("lstm", lstm(seed, forget_bias=0.0)),
        "LSTM, forget bias 1": ("lstm", lstm(seed, forget_bias=1.0)),
        "LSTM, forget bias 5": ("lstm", lstm(seed, forget_bias=5.0)),
        "LSTM, chrono 100": ("lstm", lstm(seed, chrono=100)),
    }
    norms = (0.5, 1.5) if arguments.quick else (0.5, 0.9, 1.0, 1.1, 1.5, 2.0)
    if arguments.quick:
        cells = {name: cells[name] for name in ("plain RNN", "LSTM, forget bias 5")}
    found = {
        name: decay(cell, weights, seed)
        for name, (cell, weights) in tqdm(cells.items(), leave=False, disable=None)
    }
    headings = ("", *(f"{lag} steps back" for lag in LAGS))
    print_table(
        "Gradient at initialization, relative to the last step",
        headings,
        [table_row(*i) for i in found.items()],
    )
    print()
    by_norm = {
        f"spectral norm {norm}": (
            decay("rnn", rnn_of_norm(norm, seed), seed, input_scale=NEARLY_ZERO),
            decay("rnn", rnn_of_norm(norm, seed), seed),
        )
        for norm in tqdm(norms, leave=False, disable=None)
    }
    print_table(
        "A plain RNN with an orthogonal recurrent matrix: near zero, and driven by noise",
        ("", *(f"{lag}, near 0" for lag in LAGS), *(f"{lag}, driven" for lag in LAGS)),
        [
            (*table_row(name, near), *table_row("", far)[1:])
            for name, (near, far) in by_norm.items()
        ],
    )

    def draw() -> str:
        shown = found | {
            name: near for name, (near, _) in by_norm.items() if name[-3:] in ("0.9", "1.1")
        }
        curves = [
            Curve(name, list(enumerate(one)), color(index))
            for index, (name, one) in enumerate(shown.items())
        ]
        return line_chart(
            "Remaining gradient",
            curves,
            "steps back",
            "relative to the last step",
            log_y=True,
            y_range=(1e-16, 1e6),
        )

    write_plot(arguments.plot, draw)


if __name__ == "__main__":
    main()
