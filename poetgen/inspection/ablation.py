"""Networks with a gate clamped open or shut: their traces and their continuations.

A gate is clamped through its weights.  The equations stay in one place, and a network with a clamped
gate is a `PoemRNN` like any other: it can be traced, and it can generate.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import torch
from tqdm import tqdm

from poetgen.errors import UsageError
from poetgen.inspection.result import GATES, GateAblation, explain
from poetgen.inspection.trace import continue_text, trace
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN, cell_weights
from poetgen.sampling.options import Options

_BLOCKS = {"input": 0, "forget": 1, "output": 3}
# torch.nn stacks a gate's rows in four blocks: i, f, g, o.
_SATURATED = 1e4
# σ(±1e4) is exactly 1 or 0 in fp32 and in fp64, and no sum overflows on the way.


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
        weights.input_bias[rows] = _SATURATED if is_open else -_SATURATED
    return clamped


def ablate_gates(bundle: ModelBundle, text: str, options: Options) -> Iterator[GateAblation]:
    """Yield the trace of `text` and a continuation with each gate of each layer shut, then open.

    Yields nothing for a GRU or a plain RNN.  Shows a progress bar on a terminal.
    """
    layers = range(len(bundle.network.layers) if bundle.network.cell == "lstm" else 0)
    clamps = list(product(layers, GATES, (False, True)))
    for layer, gate, is_open in tqdm(clamps, unit=" runs", leave=False, disable=None):
        network = clamp_gate(bundle.network, layer, gate, is_open=is_open)
        clamped = replace(bundle, network=network)
        continuation = continue_text(clamped, options)
        yield GateAblation(layer, gate, is_open, trace(clamped, text), continuation)
