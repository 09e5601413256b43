"""Every gate of every layer while a model reads, and models with a gate held open or shut.

The recording is a walk of its own over the steps of `poetgen.model.cell`; sampling knows nothing of
it and is not slowed.  A gate is held by its weights, so that the equations stay in one place and a
model with a held gate is a `PoemLSTM` like any other: it can be recorded, and it can write.

Shape suffixes: T places, H hidden size, V vocabulary size.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from poetgen.errors import UsageError
from poetgen.model.cell import CellWeights, gru_step, lstm_step, rnn_step
from poetgen.model.lstm import LayerState, PoemLSTM

SERIES = ("forget", "input", "output", "candidate", "cell", "hidden")
"""What is recorded of an LSTM layer."""
GATES = ("forget", "input", "output")
"""Of these, what lies between 0 (shut) and 1 (open)."""

_ROWS = {"input": 0, "forget": 1, "output": 3}
# Where `torch.nn` keeps a gate's rows among the four blocks: i, f, g, o.
_SATURATED = 1e4
# σ(±1e4) is exactly 1 or 0 in fp32 and in fp64, and no sum overflows on the way.


@dataclass(frozen=True)
class Recording:
    """What a model computed while it read T ids."""

    layers: tuple[dict[str, Tensor], ...]
    """Lowest first: {name: (T, H)} for the names in `SERIES`; a GRU or a plain RNN has hidden alone."""
    log_probs_TV: Tensor
    """After each id, ln p of every next one, in float64."""

    @property
    def has_gates(self) -> bool:
        return "forget" in self.layers[0]

    def nats(self, tokens: Sequence[int]) -> list[float]:
        """−ln p of `tokens[1:]`, where `tokens` are the ids that were read."""
        told = torch.tensor(tokens[1:])
        return (-self.log_probs_TV[:-1].gather(1, told[:, None])[:, 0]).tolist()

    def most_likely(
        self, num: int, *, without: Sequence[int] = ()
    ) -> list[list[tuple[int, float]]]:
        """After each id the `num` likeliest next ones, each with its probability, best first.

        Ids in `without` are passed over; the rest keep their probabilities.
        """
        left = torch.tensor(without, dtype=torch.long)
        best = self.log_probs_TV.index_fill(1, left, -torch.inf).topk(num, dim=1)
        return [
            list(zip(ids, probs, strict=True))
            for ids, probs in zip(best.indices.tolist(), best.values.exp().tolist(), strict=True)
        ]

    def mean(self, layer: int, name: str) -> list[float]:
        """The mean over units of a layer's series, for each place."""
        return [float(x) for x in self.layers[layer][name].mean(dim=1)]

    def norm(self, layer: int, name: str) -> list[float]:
        """The Euclidean norm over units of a layer's series, for each place."""
        return [float(x) for x in self.layers[layer][name].norm(dim=1)]


@torch.inference_mode()
def record(model: PoemLSTM, tokens: Sequence[int]) -> Recording:
    """All that `model` computes while it reads `tokens` from a zero state, without dropout.

    Agrees with `PoemLSTM.step` and `forward` to rounding.
    """
    state = model.zero_state(1)
    seen: list[list[dict[str, Tensor]]] = [[] for _ in model.layers]
    log_probs = []
    for token in tokens:
        x_1H = model.embedding[token].unsqueeze(0)
        for number, layer in enumerate(model.layers):
            computed, state[number] = _layer_step(model.cell, x_1H, state[number], layer)
            seen[number].append(computed)
            x_1H = computed["hidden"]
        features = x_1H if model.projection is None else model.projection(x_1H)
        log_probs.append(torch.log_softmax(model.logits(features).double(), dim=-1).cpu())
    layers = tuple(
        {name: torch.cat([place[name] for place in places]).cpu() for name in places[0]}
        for places in seen
    )
    return Recording(layers, torch.cat(log_probs))


def _layer_step(
    cell: str, x_1H: Tensor, before: LayerState, layer: nn.Module
) -> tuple[dict[str, Tensor], LayerState]:
    """({name: (1, H)}, state after) of one layer."""
    weights = cell_weights(layer)
    if cell == "lstm":
        step = lstm_step(x_1H, before[0], before[1], weights)
        return step._asdict(), (step.hidden, step.cell)
    hidden = (gru_step if cell == "gru" else rnn_step)(x_1H, before[0], weights)
    return {"hidden": hidden}, (hidden,)


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


def cell_weights(layer: nn.Module) -> CellWeights:
    """The weights of a one-layer module of `torch.nn`, as `poetgen.model.cell` takes them."""
    assert isinstance(layer, nn.RNNBase)
    return CellWeights(*layer.all_weights[0])


def no_gates(cell: str) -> tuple[str, str]:
    """Why there is less to see of a GRU or a plain RNN, and what there is."""
    why = {
        "gru": "a GRU has neither a cell nor an LSTM's forget, input and output gates",
        "rnn": "a plain RNN has neither gates nor a cell",
    }[cell]
    return why, "Shown are its surprise, its next characters and its hidden state."
