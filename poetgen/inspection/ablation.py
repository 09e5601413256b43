"""Networks with a gate clamped open or shut: their traces and their continuations.

A gate is clamped through its bias.  The equations stay in `poetgen.engine.network`, and a network with a
clamped gate is a `Network` like any other: it can be traced, and it can generate.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from poetgen.engine.network import Network
from poetgen.errors import UsageError
from poetgen.inspection.result import GATES, GateAblation, explain
from poetgen.inspection.trace import continue_text, trace
from poetgen.language import tr
from poetgen.model.file import ModelBundle
from poetgen.progress import track
from poetgen.sampling.options import Options

_BLOCKS = {"input": 0, "forget": 1, "output": 3}
# torch.nn stacks a gate's rows in four blocks: i, f, g, o.
_SATURATED = 1e4
# σ(1e4) is 1 and σ(−1e4) is below 1e-300, whatever the rest of a gate's sum is.


def clamp_gate(
    network: Network, layer: int, gate: str, *, is_open: bool, units: Sequence[int] | None = None
) -> Network:
    """Return a network like `network` in which a gate of a layer (0 is the lowest) is always 1, or 0.

    `units` are the units of the layer whose gate is clamped; None: all.

    Raises:
        UsageError: the network is not an LSTM.
    """
    config = network.config
    if config.cell != "lstm":
        raise UsageError(*explain(config.cell))
    layers = list(network.weights.layers)
    bias_4H = layers[layer].input_bias.copy()
    for unit in range(config.hidden_size) if units is None else units:
        bias_4H[_BLOCKS[gate] * config.hidden_size + unit] = _SATURATED if is_open else -_SATURATED
    layers[layer] = replace(layers[layer], input_bias=bias_4H)
    return network.with_layers(layers)


def ablate_gates(bundle: ModelBundle, text: str, options: Options) -> Iterator[GateAblation]:
    """Yield the trace of `text` and a continuation with each gate of each layer shut, then open.

    Yields nothing for a GRU or a plain RNN.
    """
    layers = range(bundle.config.model.num_layers if bundle.config.model.cell == "lstm" else 0)
    clamps = list(product(layers, GATES, (False, True)))
    yield from track(_ablations(bundle, text, options, clamps), tr("clamping gates"), len(clamps))


def _ablations(
    bundle: ModelBundle, text: str, options: Options, clamps: Sequence[tuple[int, str, bool]]
) -> Iterator[GateAblation]:
    for layer, gate, is_open in clamps:
        network = clamp_gate(bundle.engine, layer, gate, is_open=is_open)
        clamped = bundle.with_engine(network)
        continuation = continue_text(clamped, options)
        yield GateAblation(layer, gate, is_open, trace(clamped, text), continuation)
