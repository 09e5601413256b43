"""Gradients that vanish and gradients that explode: python scripts/gradient_flow.py.

How much of the gradient at the last of 101 steps is left k steps before, in cells as they are
initialised, on random input; and in plain RNNs whose recurrent matrix has a given spectral norm.  A
norm below 1 must make it vanish; above 1 it may explode (Pascanu, Mikolov & Bengio 2013).

64 units.  The gradient is that at a cell's whole state: the hidden state, and of an LSTM the cell too.
"""

from typing import Any

import torch
from learning import KINDS, set_gate_biases
from showing import COLOURS, plot, print_table, read_arguments
from torch import Tensor
from tqdm import tqdm

from poetgen.inspection.gradients import norms_back
from poetgen.model.cell import CellWeights, gru_step, lstm_step, rnn_step

STEPS, LAGS = 101, (10, 50, 100)
UNITS, INPUTS, ROWS = 64, 32, 16
NEARLY_ZERO = 1e-40  # so small that even doubled 100 times it is small


def fresh(cell: str, seed: int) -> CellWeights:
    """Weights as `torch.nn` initialises them, in float64."""
    torch.manual_seed(seed)
    return CellWeights(*(w.detach() for w in KINDS[cell](INPUTS, UNITS).double().all_weights[0]))


def lstm(seed: int, *, forget_bias: float = 1.0, chrono: int = 0) -> CellWeights:
    weights = fresh("lstm", seed)
    set_gate_biases(weights, forget_bias=forget_bias, chrono=chrono)
    return weights


def rnn_of_norm(norm: float, seed: int) -> CellWeights:
    """A random orthogonal matrix times `norm`: every direction is stretched as much."""
    weights = fresh("rnn", seed)
    chance = torch.Generator().manual_seed(seed)
    square = torch.randn(UNITS, UNITS, generator=chance, dtype=torch.float64)
    zeros = torch.zeros(UNITS, dtype=torch.float64)
    return CellWeights(weights.from_input, norm * torch.linalg.qr(square)[0], zeros, zeros)


def reach(cell: str, weights: CellWeights, seed: int, *, input_scale: float = 1.0) -> list[float]:
    """‖∂loss/∂state‖ 0, 1, 2 … steps back, relative to the last; the loss a random mix of outputs."""
    chance = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

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
    norms = norms_back((state[0] * mix_H).sum(), states)
    return [norm / norms[0] for norm in norms]


def shown(name: str, norms: list[float]) -> tuple[str, ...]:
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
        name: reach(cell, weights, seed)
        for name, (cell, weights) in tqdm(cells.items(), leave=False, disable=None)
    }
    headings = ("", *(f"{lag} steps back" for lag in LAGS))
    print_table(
        "Gradient at initialisation, relative to the last step",
        headings,
        [shown(*i) for i in found.items()],
    )
    print()
    by_norm = {
        f"spectral norm {norm}": (
            reach("rnn", rnn_of_norm(norm, seed), seed, input_scale=NEARLY_ZERO),
            reach("rnn", rnn_of_norm(norm, seed), seed),
        )
        for norm in tqdm(norms, leave=False, disable=None)
    }
    print_table(
        "A plain RNN with an orthogonal recurrent matrix: near zero, and driven by noise",
        ("", *(f"{lag}, near 0" for lag in LAGS), *(f"{lag}, driven" for lag in LAGS)),
        [(*shown(name, near), *shown("", far)[1:]) for name, (near, far) in by_norm.items()],
    )

    def draw(axis: Any) -> None:
        curves = found | {
            name: near for name, (near, _) in by_norm.items() if name[-3:] in ("0.9", "1.1")
        }
        colours = [*COLOURS, "#2766a8", "#222222"]
        for colour, (name, one) in zip(colours, curves.items(), strict=False):
            axis.plot([x or None for x in one], label=name, color=colour)
        axis.set(
            title="What is left of the gradient",
            xlabel="steps back",
            yscale="log",
            ylim=(1e-16, 1e6),
        )
        axis.legend(fontsize=7, ncols=2)

    plot(arguments.plot, draw)


if __name__ == "__main__":
    main()
