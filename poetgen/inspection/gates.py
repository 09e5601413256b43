"""Every gate of every layer while a model reads, and models with a gate held open or shut.

The recording is a walk of its own over the steps of `poetgen.model.cell`; sampling knows nothing of
it and is not slowed.  A gate is held by its weights, so that the equations stay in one place and a
model with a held gate is a `PoemLSTM` like any other: it can be recorded, and it can write.

Shape suffixes: T places, H hidden size, V vocabulary size.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from poetgen.errors import UsageError
from poetgen.model.lstm import PoemLSTM, cell_weights, layer_step

SERIES = ("forget", "input", "output", "reset", "update", "candidate", "cell", "hidden")
"""What is recorded of a layer, as far as its cell has it."""
GATES = ("forget", "input", "output")
"""An LSTM's gates: of its series, what lies between 0 (shut) and 1 (open)."""
GATES_OF_A_GRU = ("reset", "update")
SIGNED = ("candidate", "cell", "hidden")
"""What may be below 0."""

_ROWS = {"input": 0, "forget": 1, "output": 3}
# Where `torch.nn` keeps a gate's rows among the four blocks: i, f, g, o.
_SATURATED = 1e4
# σ(±1e4) is exactly 1 or 0 in fp32 and in fp64, and no sum overflows on the way.


@dataclass(frozen=True)
class Recording:
    """What the layers of a model computed while it read T ids."""

    layers: tuple[dict[str, Tensor], ...]
    """Lowest first: {name: (T, H)} for those names in `SERIES` that its cell has."""

    @property
    def gates(self) -> tuple[str, ...]:
        """Those of its cell: an LSTM's three, a GRU's two, none of a plain RNN."""
        return tuple(name for name in (*GATES, *GATES_OF_A_GRU) if name in self.layers[0])

    @property
    def state(self) -> str:
        """The series that it remembers by: an LSTM's cell, else the hidden state."""
        return "cell" if "cell" in self.layers[0] else "hidden"

    def mean(self, layer: int, name: str) -> list[float]:
        """The mean over units of a layer's series, for each place."""
        return [float(x) for x in self.layers[layer][name].mean(dim=1)]

    def norm(self, layer: int, name: str) -> list[float]:
        """The Euclidean norm over units of a layer's series, for each place."""
        return [float(x) for x in self.layers[layer][name].norm(dim=1)]


class Place(NamedTuple):
    """What a model computed at one id."""

    layers: tuple[dict[str, Tensor], ...]
    """Lowest first: {name: (H,)}."""
    log_probs_V: Tensor
    """ln p of every next id, in float64."""


@torch.inference_mode()
def walk(model: PoemLSTM, tokens: Iterable[int]) -> Iterator[Place]:
    """All that `model` computes while it reads `tokens` from a zero state, without dropout.

    Agrees with `PoemLSTM.step` and `forward` to rounding.
    """
    state = model.zero_state(1)
    for token in tokens:
        x_1H = model.embedding[token].unsqueeze(0)
        layers = []
        for number, layer in enumerate(model.layers):
            computed, state[number] = layer_step(model.cell, x_1H, state[number], layer)
            layers.append({name: values_1H[0].cpu() for name, values_1H in computed.items()})
            x_1H = computed["hidden"]
        features = x_1H if model.projection is None else model.projection(x_1H)
        log_probs_V = torch.log_softmax(model.logits(features)[0].double(), dim=-1).cpu()
        yield Place(tuple(layers), log_probs_V)


def record(model: PoemLSTM, tokens: Iterable[int]) -> Recording:
    """The layers of each place of a walk."""
    return gather(place.layers for place in walk(model, tokens))


def gather(places: Iterable[tuple[dict[str, Tensor], ...]]) -> Recording:
    """The recording of the layers of one place after another."""
    by_layer = list(zip(*places, strict=True))
    return Recording(
        tuple(
            {name: torch.stack([one[name] for one in layer]) for name in layer[0]}
            for layer in by_layer
        )
    )


def hold(
    model: PoemLSTM, layer: int, gate: str, *, is_open: bool, units: Sequence[int] | None = None
) -> PoemLSTM:
    """A copy of `model` in which a gate of a layer (0 the lowest) is 1 throughout, or 0.

    `units` names those of the layer whose gate is held; None: all.

    Raises:
        UsageError: the model is no LSTM.
    """
    if model.cell != "lstm":
        raise UsageError(*no_gates(model.cell))
    held = copy.deepcopy(model)
    weights = cell_weights(held.layers[layer])
    held_units = range(model.hidden_size) if units is None else units
    rows = [_ROWS[gate] * model.hidden_size + unit for unit in held_units]
    with torch.no_grad():
        for part in weights:
            part[rows] = 0.0
        weights.input_bias[rows] = _SATURATED if is_open else -_SATURATED
    return held


def no_gates(cell: str) -> tuple[str, str]:
    """Why there is less to see of a GRU or a plain RNN, and what there is."""
    return {
        "gru": (
            "a GRU has neither a cell nor an LSTM's forget, input and output gates",
            "Shown are its surprise, its next characters, its reset and update gates and its hidden "
            "state; none is held.",
        ),
        "rnn": (
            "a plain RNN has neither gates nor a cell",
            "Shown are its surprise, its next characters and its hidden state.",
        ),
    }[cell]
