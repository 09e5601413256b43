"""Results of an inspection, as frozen dataclasses without tensors, and as JSON.

Imports no torch, so that views can draw results without a model.

Shape suffixes: T positions in the text, H hidden size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from poetgen.language import tr, tr_noop

SERIES = ("forget", "input", "output", "reset", "update", "candidate", "cell", "hidden")
"""Recorded activations of a layer, as far as its cell has them."""
GATES = ("forget", "input", "output")
"""An LSTM's gates: values from 0 (shut) to 1 (open)."""
SIGNED = ("candidate", "cell", "hidden")
"""Series with negative values."""

START, END, UNKNOWN = "＾", "＄", "＃"
"""Signs for the start, the end and an unknown character, as wide as a Han character."""
SIGNS = {
    START: tr_noop("start"),
    END: tr_noop("end"),
    UNKNOWN: tr_noop("character outside the vocabulary"),
}
NUM_NEXT = 5
"""Number of next characters kept per position."""
_SYMBOLS = {START: "<bos>", END: "<eos>", UNKNOWN: "<unk>"}
"""In JSON, the signs are written as in a vocabulary: ＃ may be a character of a text."""

Layers: TypeAlias = tuple[dict[str, NDArray[np.float64]], ...]
"""Lowest first: {series: values}, for the names in `SERIES` that the cell has."""
Json: TypeAlias = "int | float | str | Sequence[Json] | Mapping[str, Json] | None"


@dataclass(frozen=True)
class Trace:
    """Activations and predictions of a network at each position of a text, from the start sign on."""

    characters: tuple[str, ...]
    """`START`, then the characters of the text, unknown ones included."""
    layers: Layers
    """The values of each series, of shape (T, H)."""
    nats: tuple[float | None, ...]
    """Surprise at each character, as in `poetgen.engine.scoring`; None at the start."""
    next_characters: tuple[tuple[tuple[str, float], ...], ...]
    """After each character the `NUM_NEXT` most probable next ones with their probabilities."""
    unknown: frozenset[str]
    """Characters of the text outside the vocabulary."""

    @property
    def text(self) -> str:
        """The text without the start sign."""
        return "".join(self.characters[1:])

    @property
    def cell(self) -> str:
        """The network's cell: lstm, gru or rnn."""
        series = self.layers[0]
        return "lstm" if "cell" in series else "gru" if "update" in series else "rnn"

    @property
    def gates(self) -> tuple[str, ...]:
        """The cell's gates: an LSTM's three, a GRU's two, none of a plain RNN."""
        return tuple(name for name in (*GATES, "reset", "update") if name in self.layers[0])

    @property
    def state(self) -> str:
        """The series that carries memory: an LSTM's cell, otherwise the hidden state."""
        return "cell" if self.cell == "lstm" else "hidden"

    @property
    def nats_per_character(self) -> float:
        """The mean surprise over the characters of the text."""
        surprises = [nats for nats in self.nats if nats is not None]
        return math.fsum(surprises) / len(surprises)

    def mean(self, layer: int, name: str) -> list[float]:
        """Return the mean of a series over the units of a layer, one number per position."""
        means: list[float] = self.layers[layer][name].mean(axis=1).tolist()
        return means

    def state_norms(self, layer: int) -> list[float]:
        """Return the Euclidean norm of the state of a layer, one number per position."""
        norms: list[float] = np.linalg.norm(self.layers[layer][self.state], axis=1).tolist()
        return norms


@dataclass(frozen=True)
class Continuation:
    """Text that a model generated after a prompt."""

    text: str
    """Without the prompt."""
    ended: bool
    """Whether the model ended the poem; otherwise it was cut off."""


@dataclass(frozen=True)
class GateAblation:
    """The same text and prompt with one gate of one layer clamped."""

    layer: int
    """0 is the lowest."""
    gate: str
    is_open: bool
    """Whether the gate is clamped to 1; otherwise to 0."""
    trace: Trace
    continuation: Continuation


@dataclass(frozen=True)
class GradientDecay:
    """Norms of a loss gradient at the states 0, 1, 2 … steps before the loss."""

    model: str | None
    """The name of the trained model; None for freshly initialized weights."""
    cell: str
    norms: tuple[float, ...]
    """At the whole state (hidden states of all layers and an LSTM's cells together), relative to the
    norm at the last step."""


@dataclass(frozen=True)
class GradientComparison:
    """Gradient decay of several models on the same texts, which have one length."""

    texts: tuple[str, ...]
    generated: bool
    """Whether the first model generated the texts; otherwise there is one, the user's."""
    decays: tuple[GradientDecay, ...]

    @property
    def lags(self) -> list[int]:
        """The numbers of steps back to show: 1, 2, 5, 10 … and the last that all models have."""
        last = min(len(decay.norms) for decay in self.decays) - 1
        return [*(lag for lag in (1, 2, 5, 10, 20, 50, 100) if lag < last), last]


def trace_to_json(trace: Trace, model: str) -> dict[str, Json]:
    """Return a trace as the JSON of `inspect --json`.

    Lists have an entry per position: the start of the text, then each of its characters.

    - `model`, `cell`: the name of the model; lstm, gru or rnn
    - `text`, `unknown`: the normalized text; its characters outside the vocabulary
    - `nats_per_character`: the mean surprise
    - `characters`: `<bos>`, then the characters
    - `nats`: the surprise at the character; null at the start
    - `next`: the most probable next characters, best first, each a `character` (`<eos>` is the end of the
      poem, `<unk>` any character outside the vocabulary) and its `probability`
    - `layers`: of each layer, lowest first, the mean over its units of every series that the cell has
      (gates `forget`, `input`, `output`, or `reset`, `update`; `candidate`; states `cell`, `hidden`), and
      `state_norm`, the Euclidean norm of the state that carries memory: an LSTM's cell, else the hidden
      state
    """
    return {
        "model": model,
        "cell": trace.cell,
        "text": trace.text,
        "unknown": sorted(trace.unknown),
        "nats_per_character": trace.nats_per_character,
        "characters": [_SYMBOLS[START], *trace.text],
        "nats": trace.nats,
        "next": [
            [{"character": _SYMBOLS.get(c, c), "probability": p} for c, p in best]
            for best in trace.next_characters
        ],
        "layers": [
            {name: trace.mean(layer, name) for name in SERIES if name in series}
            | {"state_norm": trace.state_norms(layer)}
            for layer, series in enumerate(trace.layers)
        ],
    }


def gradients_to_json(comparison: GradientComparison) -> dict[str, Json]:
    """Return gradient decay as the JSON of `inspect --gradients --json`.

    - `texts`, `generated`: the texts that the models read; whether the first model generated them
    - `decays`: of each model `model` (its name; null for freshly initialized weights), `cell`, and `norms`:
      the gradient norm at the state 0, 1, 2 … steps before the loss, relative to the first
    """
    return {
        "texts": comparison.texts,
        "generated": comparison.generated,
        "decays": [
            {"model": decay.model, "cell": decay.cell, "norms": decay.norms}
            for decay in comparison.decays
        ],
    }


def explain(cell: str) -> tuple[str, str]:
    """Return why a GRU or a plain RNN has fewer series than an LSTM, and which it has."""
    if cell == "gru":
        return (
            tr("a GRU has neither a cell nor an LSTM's forget, input and output gates"),
            tr(
                "Shown are the surprise, the next characters, the reset and update gates and the hidden "
                "state; no gate is clamped."
            ),
        )
    return (
        tr("a plain RNN has neither gates nor a cell"),
        tr("Shown are the surprise, the next characters and the hidden state."),
    )
