"""Networks with a gate clamped open or shut: their traces and their continuations.

A gate is clamped through its weights or its bias.  The equations stay in `poetgen.model.cell`, and a
network with a clamped gate is a `PoemRNN` like any other: it can be traced, and it can generate.

Shape suffixes: B rows, C clamps, H hidden size, L layers, V vocabulary size.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding

from poetgen.errors import UsageError
from poetgen.inspection.result import GATES, Continuation, GateAblation, explain
from poetgen.inspection.trace import continue_texts, trace
from poetgen.language import tr
from poetgen.model.cell import lstm_step
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN, State, cell_weights
from poetgen.progress import track
from poetgen.sampling.options import Options

_BLOCKS = {"input": 0, "forget": 1, "output": 3}
# torch.nn stacks a gate's rows in four blocks: i, f, g, o.
_SATURATED = 1e4
# σ(±1e4) is exactly 1 or 0 in fp32 and in fp64, whatever a gate's sum is, and no sum overflows.


class Clamp(NamedTuple):
    """A gate of a layer (0 is the lowest) that is always 1, or 0."""

    layer: int
    gate: str
    is_open: bool

    @property
    def bias(self) -> float:
        """The bias with which the gate is clamped."""
        return _SATURATED if self.is_open else -_SATURATED


class RowClampedRNN(PoemRNN):
    """A stack of LSTMs in which each row of a batch has another gate clamped.

    So one batch generates with all clamps.  Each layer's state has a third part, the number of the row:
    rows leave the batch when their poems end.
    """

    def __init__(self, network: PoemRNN, clamps: Sequence[Clamp]) -> None:
        """The weights are those of `network`; row i of a batch has `clamps[i]`, further rows the last."""
        with torch.device("meta"):  # no memory, no random draws: the weights are assigned
            super().__init__(len(network.embedding), network.config)
        self.load_state_dict(network.state_dict(), assign=True)
        self.eval().requires_grad_(False)
        biases_LC4H = network.embedding.new_zeros(
            len(network.layers), len(clamps), 4, network.hidden_size
        )
        for row, clamp in enumerate(clamps):
            biases_LC4H[clamp.layer, row, _BLOCKS[clamp.gate]] = clamp.bias
        self._biases_LC4H = biases_LC4H.flatten(start_dim=2)

    def zero_state(self, num_rows: int) -> State:
        """Return zeros for `num_rows` sequences, and the rows' numbers."""
        last = self._biases_LC4H.shape[1] - 1
        row_B1 = torch.arange(num_rows, device=self.device).clamp(max=last)[:, None]
        return [(*parts, row_B1) for parts in super().zero_state(num_rows)]

    def step(self, tokens_B: Tensor, state: State) -> tuple[Tensor, State]:
        """Return (logits_BV, state) after one more id per row."""
        x_BH = embedding(tokens_B, self.embedding)
        after: State = []
        layers = zip(self.layers, self._biases_LC4H, state, strict=True)
        for layer, biases_C4H, (hidden_BH, cell_BH, row_B1) in layers:
            weights = cell_weights(layer)
            bias_B4H = weights.input_bias + biases_C4H[row_B1[:, 0]]
            computed = lstm_step(x_BH, hidden_BH, cell_BH, weights._replace(input_bias=bias_B4H))
            x_BH = computed.hidden
            after.append((computed.hidden, computed.cell, row_B1))
        return self.logits(self.projection(x_BH)), after


def clamp_gate(
    network: PoemRNN, layer: int, gate: str, *, is_open: bool, units: Sequence[int] | None = None
) -> PoemRNN:
    """Return a copy of `network` in which a gate of a layer (0 is the lowest) is always 1, or 0.

    `units` are the units of the layer whose gate is clamped; None: all.

    Raises:
        UsageError: the network is not an LSTM.
    """
    if network.cell != "lstm":
        raise UsageError(*explain(network.cell))
    clamped = copy.deepcopy(network)
    weights = cell_weights(clamped.layers[layer])
    clamped_units = range(network.hidden_size) if units is None else units
    rows = [_BLOCKS[gate] * network.hidden_size + unit for unit in clamped_units]
    with torch.no_grad():
        for part in weights:
            part[rows] = 0.0
        weights.input_bias[rows] = Clamp(layer, gate, is_open).bias
    return clamped


def ablate_gates(bundle: ModelBundle, text: str, options: Options) -> Iterator[GateAblation]:
    """Yield the trace of `text` and a continuation with each gate of each layer shut, then open.

    Yields nothing for a GRU or a plain RNN.
    """
    layers = range(len(bundle.network.layers) if bundle.network.cell == "lstm" else 0)
    clamps = [Clamp(*one) for one in product(layers, GATES, (False, True))]
    yield from track(_ablations(bundle, text, options, clamps), tr("clamping gates"), len(clamps))


def _ablations(
    bundle: ModelBundle, text: str, options: Options, clamps: Sequence[Clamp]
) -> Iterator[GateAblation]:
    continuations = continue_clamped(bundle, options, clamps)
    for clamp, continuation in zip(clamps, continuations, strict=True):
        network = clamp_gate(bundle.network, clamp.layer, clamp.gate, is_open=clamp.is_open)
        yield GateAblation(*clamp, trace(replace(bundle, network=network), text), continuation)


def continue_clamped(
    bundle: ModelBundle, options: Options, clamps: Sequence[Clamp]
) -> list[Continuation]:
    """Return a continuation with each of `clamps`, all generated in one batch.

    Each equals the continuation by a network of `clamp_gate`.
    """
    if not clamps:
        return []
    network = RowClampedRNN(bundle.network, clamps)
    return continue_texts(replace(bundle, network=network), [options] * len(clamps))
