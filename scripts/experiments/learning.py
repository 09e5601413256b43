"""Training shared by the experiments: one recurrent layer with a readout, a task, Adam.

The layer is `torch.nn`'s fused kernel, for speed; a test compares it with the equations of
`poetgen.model.cell`, applied step by step with the same weights.

Shape suffixes: B rows, T steps, I inputs, H units, O outputs.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from poetgen.model.cell import CellWeights
from poetgen.model.network import cell_weights

LAYERS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
}


class Memory(nn.Module):
    """A recurrent layer and a linear readout; with `num_symbols` its inputs are ids.

    memory = Memory("lstm", input_size=2, hidden_size=32, output_size=1)
    outputs_BO = memory.at(inputs_BTI, last_B)
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        num_symbols: int = 0,
        forget_bias: float = 1.0,
        chrono: int = 0,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.embedding = nn.Embedding(num_symbols, input_size) if num_symbols else None
        self.layer = LAYERS[cell](input_size, hidden_size, batch_first=True)
        self.readout = nn.Linear(hidden_size, output_size)
        if cell == "lstm":
            set_gate_biases(self.weights, forget_bias=forget_bias, chrono=chrono)

    @property
    def weights(self) -> CellWeights:
        return cell_weights(self.layer)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return (B, T, I) for ids (B, T); numeric inputs are returned as they are."""
        return (
            inputs
            if self.embedding is None
            else nn.functional.embedding(inputs, self.embedding.weight)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the hidden states (B, T, H)."""
        hidden_BTH: Tensor = self.layer(self.embed(inputs))[0]
        return hidden_BTH

    def at(self, inputs: Tensor, last_B: Tensor) -> Tensor:
        """Return the outputs (B, O) at each row's last step."""
        hidden_BTH = self(inputs)
        outputs_BO: Tensor = self.readout(hidden_BTH[torch.arange(len(last_B)), last_B])
        return outputs_BO


def set_gate_biases(weights: CellWeights, *, forget_bias: float = 1.0, chrono: int = 0) -> None:
    """Initialize the forget gates as open: with one bias for all units, or with time scales.

    `chrono` T draws each unit's forget bias as the logarithm of a number from [1, T − 1] and sets its
    input bias to the negative, so that units start with memories of 2 to T steps (Tallec & Ollivier 2018).
    """
    hidden_size = weights.from_hidden.shape[1]
    with torch.no_grad():
        weights.input_bias[: 2 * hidden_size] = 0.0
        weights.hidden_bias[: 2 * hidden_size] = 0.0
        forget_H = weights.input_bias[hidden_size : 2 * hidden_size]
        forget_H.fill_(forget_bias)
        if chrono:
            forget_H.uniform_(1.0, chrono - 1.0).log_()
            weights.input_bias[:hidden_size] = -forget_H


class Batch(NamedTuple):
    """Sequences, the last step of each, and the expected output at that step."""

    inputs: Tensor
    last_B: Tensor
    target: Tensor


class Task(NamedTuple):
    """A source of sequences, a loss, and a test for wrong outputs."""

    draw: Callable[[int, torch.Generator], Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    is_wrong: Callable[[Tensor, Tensor], Tensor]


class Outcome(NamedTuple):
    """The result of one training run."""

    solved: int | None
    """Sequences seen when the last `streak` were all correct; None: not within the limit."""
    wrong: int
    """Wrong outputs among `tested` new sequences."""
    tested: int
    seconds: float
    curve: list[tuple[int, float]]
    """(sequences seen, share of wrong ones since the previous point)."""


def learn(
    memory: Memory,
    task: Task,
    *,
    limit: int,
    seed: int,
    title: str,
    batch_size: int = 32,
    learning_rate: float = 1e-2,
    streak: int = 2000,
    tests: int = 2560,
) -> Outcome:
    """Train with Adam until `streak` sequences in a row are correct or `limit` are seen; then test."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(memory.parameters(), learning_rate)
    start, seen, in_a_row, wrong = time.perf_counter(), 0, 0, 0
    curve: list[tuple[int, float]] = []
    interval = max(1, limit // batch_size // 100) * batch_size
    with tqdm(total=limit, desc=title, unit=" seq", leave=False, disable=None) as bar:
        while seen < limit and in_a_row < streak:
            batch = task.draw(batch_size, generator)
            outputs = memory.at(batch.inputs, batch.last_B)
            missed = int(task.is_wrong(outputs.detach(), batch.target).sum())
            optimizer.zero_grad()
            torch.autograd.backward(task.loss(outputs, batch.target))
            nn.utils.clip_grad_norm_(memory.parameters(), 1.0)
            optimizer.step()
            seen, wrong = seen + batch_size, wrong + missed
            in_a_row = 0 if missed else in_a_row + batch_size
            if seen % interval == 0:
                curve.append((seen, wrong / interval))
                wrong = 0
            bar.update(batch_size)
    solved = seen if in_a_row >= streak else None
    missed = count_wrong(memory, task, tests, seed + 1_000_000)
    return Outcome(solved, missed, tests, time.perf_counter() - start, curve)


@torch.inference_mode()
def count_wrong(memory: Memory, task: Task, num: int, seed: int, batch_size: int = 320) -> int:
    """Return the number of wrong outputs among `num` new sequences."""
    generator, wrong = torch.Generator().manual_seed(seed), 0
    for start in range(0, num, batch_size):
        batch = task.draw(min(batch_size, num - start), generator)
        wrong += int(task.is_wrong(memory.at(batch.inputs, batch.last_B), batch.target).sum())
    return wrong
