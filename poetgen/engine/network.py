"""The recurrent network in exact arithmetic: the one authority on what a model computes.

Weights and activations are int8 rows; their products are exact whole numbers (`products`).  The sum that
enters a gate, and a logit, are rounded to a multiple of 1/`STEPS`, so that sigmoid and tanh are looked up
in tables.  All else is IEEE arithmetic in fp32, one operation after the other.  A row's values are
therefore the same bits on every machine, with every provider, at every batch size and position.

Shape suffixes: B rows, T positions read, H hidden size, G stacked gates, E embedding size, F features, V
vocabulary size, K kinds of use.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poetgen.config import ModelConfig
from poetgen.data.prefix import NextToken, next_tokens, table_rows, uses
from poetgen.data.vocab import PAD
from poetgen.engine.mathematics import sigmoid, tanh
from poetgen.engine.products import NumpyProducts, Products, Whole
from poetgen.engine.quantize import (
    SCALE,
    QuantizedRows,
    Rows,
    quantize_activations,
    quantize_weights,
)
from poetgen.engine.softmax import STEPS, row_blocks

Float32: TypeAlias = NDArray[np.float32]

_SATURATION = 16
"""From here on, sigmoid and tanh are 1, and before its negative 0 and −1."""
_OFFSET = np.float32(_SATURATION * STEPS)
"""The place of 0 in a table."""
_STEP = np.float32(STEPS)
_ONE = np.float32(1)
_WORK_OF_IMPORT = 40_000_000_000
"""Multiplications that numpy does in about the time in which torch is imported."""


@dataclass(frozen=True)
class LayerWeights:
    """A recurrent layer: matrices, and biases (G,); gates in the order of `torch.nn`."""

    from_input: QuantizedRows
    from_hidden: QuantizedRows
    input_bias: Float32
    hidden_bias: Float32

    @cached_property
    def bias(self) -> Float32:
        """The sum of both biases, in steps."""
        return (self.input_bias + self.hidden_bias) * _STEP


@dataclass(frozen=True)
class VerseWeights:
    """The weights of the facts about the next token (`poetgen.data.prefix`)."""

    facing: QuantizedRows
    rhyme: QuantizedRows
    """Applied to the embedding of the facing character and of the last rhyme, (E, E) each."""
    line: QuantizedRows
    position: QuantizedRows
    """An embedding per line and per position."""


@dataclass(frozen=True)
class ReuseWeights:
    """The weights of the term on the logits of characters already used in the poem."""

    bias: Float32
    """(K,)."""
    gate: QuantizedRows | None = None
    """(K, F); None: the term does not depend on the state of the network."""


@dataclass(frozen=True)
class NetworkWeights:
    """All weights of a network."""

    embedding: QuantizedRows
    layers: tuple[LayerWeights, ...]
    projection: tuple[QuantizedRows, Float32] | None
    """The map from hidden to embedding size, with its bias; None: the output is not tied."""
    output: QuantizedRows
    output_bias: Float32
    verse: VerseWeights | None = None
    reuse: ReuseWeights | None = None

    @property
    def matrices(self) -> list[QuantizedRows]:
        """The matrices that rows are multiplied with."""
        own = [matrix for layer in self.layers for matrix in (layer.from_input, layer.from_hidden)]
        own += [self.projection[0]] if self.projection else []
        own += [self.verse.facing, self.verse.rhyme] if self.verse else []
        own += [self.reuse.gate] if self.reuse and self.reuse.gate else []
        return [*own, self.output]

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], config: ModelConfig
    ) -> "NetworkWeights":
        """Return the weights in the arrays of a model file: fp32, or int8 with a scale per row.

        Matrices in fp32 are quantized as `poetgen export --int8` does it.
        """

        def matrix(name: str) -> QuantizedRows:
            if name + SCALE in arrays:
                return QuantizedRows(arrays[name], arrays[name + SCALE][:, 0])
            values, scale_R1 = quantize_weights(arrays[name])
            return QuantizedRows(values, scale_R1[:, 0])

        layers = (
            LayerWeights(
                matrix(f"layers.{number}.weight_ih_l0"),
                matrix(f"layers.{number}.weight_hh_l0"),
                arrays[f"layers.{number}.bias_ih_l0"],
                arrays[f"layers.{number}.bias_hh_l0"],
            )
            for number in range(config.num_layers)
        )
        embedding = matrix("embedding")
        is_tied = config.tie_embeddings
        verse = reuse = None
        if config.verse_inputs:
            verse = VerseWeights(*map(matrix, ("facing", "rhyme", "line", "position")))
        if config.reuse_term != "none":
            gate = matrix("reuse_gate") if config.reuse_term == "gated" else None
            reuse = ReuseWeights(arrays["reuse_bias"], gate)
        return cls(
            embedding,
            tuple(layers),
            (matrix("projection.weight"), arrays["projection.bias"]) if is_tied else None,
            embedding if is_tied else matrix("output"),
            arrays["output_bias"],
            verse,
            reuse,
        )


@dataclass(frozen=True)
class LayerState:
    """The state that a layer passes from one position to the next."""

    hidden_BH: Float32
    quantized: QuantizedRows
    """`hidden_BH` as int8 rows."""
    cell_BH: Float32 | None = None
    """The cell state of an LSTM; None for the other cells."""

    def select(self, rows: Rows) -> "LayerState":
        """Return the state of some rows."""
        cell_BH = None if self.cell_BH is None else self.cell_BH[rows]
        return LayerState(self.hidden_BH[rows], self.quantized.select(rows), cell_BH)


@dataclass(frozen=True)
class State:
    """The state that a network passes from one position to the next."""

    layers: tuple[LayerState, ...]
    tokens_BT: NDArray[np.intp]
    """The ids read so far, after `PAD` in the shorter rows; T is 0 if the network needs none of them."""

    @property
    def num_rows(self) -> int:
        return len(self.tokens_BT)


@dataclass(frozen=True)
class Features:
    """The operands of the logits of the next id."""

    rows: QuantizedRows
    tokens_BT: NDArray[np.intp]
    """The ids read so far."""
    facts: NextToken | None = None
    """The facts about the next one; None: the network does not need them."""


Gates: TypeAlias = Mapping[str, Float32]
"""The gates and states of one layer at one position, (B, H) each, by name."""


@dataclass(frozen=True)
class Product:
    """A product of rows and a matrix in whole numbers, and the scales to apply to it."""

    whole_BR: Whole
    scale_B: Float32
    scale_R: Float32

    def scaled(self, rows: slice = slice(None), factor: np.float32 = _ONE) -> Float32:
        """Return some rows times a power of two in fp32, a new array; `_STEP` gives them in steps."""
        result_BR = self.whole_BR[rows].astype(np.float32)
        result_BR *= self.scale_B[rows, None] * factor
        result_BR *= self.scale_R
        return result_BR


class Network:
    """A network whose every result is reproducible to the bit.

    network = Network(weights, config.model)
    features, state = network.step(tokens_B, network.zero_state(1))
    logits_BV = network.logits(features)
    """

    def __init__(
        self, weights: NetworkWeights, config: ModelConfig, products: Products | None = None
    ) -> None:
        """Without `products`, numpy computes them, and later torch if there is much work; see `expect`."""
        self.weights = weights
        self.config = config
        self._work = 0
        self.use(products or NumpyProducts())
        self._is_automatic = products is None

    def expect(self, num_rows: int) -> None:
        """Note that so many rows are to be computed.

        Once all that was expected outweighs the import of torch, torch computes the products.
        """
        if not self._is_automatic:
            return
        self._work += num_rows * sum(matrix.values.size for matrix in self.weights.matrices)
        is_imported = sys.modules.get("torch") is not None
        if is_imported or (self._work > _WORK_OF_IMPORT and find_spec("torch") is not None):
            from poetgen.engine.torch_products import TorchProducts

            self.use(TorchProducts() if is_imported else TorchProducts(num_threads=1))

    def use(self, products: Products) -> None:
        """Compute products with another provider from here on; no result changes."""
        prepared = {id(matrix): products.prepare(matrix.values) for matrix in self.weights.matrices}
        self._is_automatic = False
        self._provider = (products, prepared)  # one assignment: other threads may be computing

    def with_layers(self, layers: Sequence[LayerWeights]) -> "Network":
        """Return a network whose layers have other biases than this one's, and the same matrices."""
        network = copy(self)
        network.weights = replace(self.weights, layers=tuple(layers))
        return network

    def zero_state(self, num_rows: int) -> State:
        """Return the initial state of `num_rows` sequences: all zeros."""
        zeros_BH = np.zeros((num_rows, self.config.hidden_size), np.float32)
        cell_BH = zeros_BH if self.config.cell == "lstm" else None
        layer = LayerState(zeros_BH, quantize_activations(zeros_BH), cell_BH)
        layers = (layer,) * len(self.weights.layers)
        return State(layers, np.zeros((num_rows, 0), np.intp))

    def step(self, tokens_B: NDArray[np.intp], state: State) -> tuple[Features, State]:
        """Return (features, state) after one more id per row; `logits` takes the features."""
        self.expect(len(tokens_B))
        features, after, _ = self._run(tokens_B, state, ("hidden", "cell"))
        return features, after

    def trace(
        self, tokens_B: NDArray[np.intp], state: State
    ) -> tuple[Features, State, list[Gates]]:
        """Return what `step` does, and the gates and states of each layer."""
        return self._run(tokens_B, state, ())

    def logits(self, features: Features) -> Float32:
        """Return the logits of the next id, (B, V): whole multiples of 1/`STEPS`."""
        product = self._multiply(features.rows, self.weights.output)
        num_rows, vocab_size = product.whole_BR.shape
        logits_BV = np.empty((num_rows, vocab_size), np.float32)
        for rows in row_blocks(num_rows, vocab_size):
            steps_BV = product.scaled(rows, _STEP)
            steps_BV += self.weights.output_bias * _STEP
            np.rint(steps_BV, out=steps_BV)
            np.multiply(steps_BV, 1 / _STEP, out=logits_BV[rows])
        if self.weights.reuse is not None:
            self._add_reuse_terms(logits_BV, features, self.weights.reuse)
        return logits_BV

    def _add_reuse_terms(
        self, logits_BV: Float32, features: Features, weights: ReuseWeights
    ) -> None:
        assert features.facts is not None
        kinds_BT = uses(features.tokens_BT, features.facts, slice(-1, None))[:, 0]
        steps_BK = np.zeros((len(logits_BV), len(weights.bias)), np.float32)
        if weights.gate is not None:
            steps_BK = self._multiply(features.rows, weights.gate).scaled(factor=_STEP)
        steps_BK += weights.bias * _STEP
        terms_BK = np.rint(steps_BK) * (1 / _STEP)
        row_N, at_N = np.nonzero(kinds_BT >= 0)
        tokens_N, kinds_N = features.tokens_BT[row_N, at_N], kinds_BT[row_N, at_N]
        # Whole multiples of a step: the order of these sums does not matter.
        np.add.at(logits_BV, (row_N, tokens_N), terms_BK[row_N, kinds_N])

    def _run(
        self, tokens_B: NDArray[np.intp], state: State, kept: Sequence[str]
    ) -> tuple[Features, State, list[Gates]]:
        """Run all layers; keep the gates named, or all if none is."""
        tokens_BT, facts = state.tokens_BT, None
        if self.weights.verse is not None or self.weights.reuse is not None:
            tokens_BT = np.concatenate([_without_padding(tokens_BT), tokens_B[:, None]], axis=1)
            facts = next_tokens(tokens_BT)
        x = self.weights.embedding.select(tokens_B)
        if self.weights.verse is not None and facts is not None:
            x = self._with_verse_inputs(x, facts, self.weights.verse)
        after: list[LayerState] = []
        traced: list[Gates] = []
        for layer, before in zip(self.weights.layers, state.layers, strict=True):
            gates = self._run_layer(x, layer, before, kept)
            x = quantize_activations(gates["hidden"])
            after.append(LayerState(gates["hidden"], x, gates.get("cell")))
            traced.append(gates)
        if self.weights.projection is not None:
            matrix, bias_E = self.weights.projection
            x = quantize_activations(self._multiply(x, matrix).scaled() + bias_E)
        return Features(x, tokens_BT, facts), State(tuple(after), tokens_BT), traced

    def _with_verse_inputs(
        self, x: QuantizedRows, facts: NextToken, weights: VerseWeights
    ) -> QuantizedRows:
        """Return the inputs of the lowest layer: the embedding, and the facts about the next token."""
        line_BT, position_BT = table_rows(facts)
        embedding = self.weights.embedding
        x_BE = x.values * x.scale[:, None]
        for ids_BT, matrix in ((facts.facing, weights.facing), (facts.rhyme, weights.rhyme)):
            x_BE += self._multiply(embedding.select(ids_BT[:, -1]), matrix).scaled()
        for rows_BT, table in ((line_BT, weights.line), (position_BT, weights.position)):
            chosen = table.select(rows_BT[:, -1])
            x_BE += chosen.values * chosen.scale[:, None]
        return quantize_activations(x_BE)

    def _run_layer(
        self, x: QuantizedRows, layer: LayerWeights, before: LayerState, kept: Sequence[str]
    ) -> Gates:
        from_x = self._multiply(x, layer.from_input)
        from_h = self._multiply(before.quantized, layer.from_hidden)
        run_cell = _CELLS[self.config.cell]
        blocks = [
            run_cell(
                from_x.scaled(rows, _STEP),
                from_h.scaled(rows, _STEP),
                layer,
                before.select(rows),
            )
            for rows in row_blocks(*from_x.whole_BR.shape)
        ]
        if len(blocks) == 1:
            return blocks[0]
        names = [name for name in blocks[0] if name in kept or not kept]
        return {name: np.concatenate([gates[name] for gates in blocks]) for name in names}

    def _multiply(self, x: QuantizedRows, matrix: QuantizedRows) -> Product:
        products, prepared = self._provider
        whole_BR = products.multiply(x.values, prepared[id(matrix)])
        return Product(whole_BR, x.scale, matrix.scale)


def select_rows(state: State, rows: NDArray[np.intp]) -> State:
    """Return the state of `rows`, in their order; −1 is a row of zeros."""
    is_new_B = rows < 0
    selected = State(
        tuple(layer.select(rows) for layer in state.layers),
        np.where(is_new_B[:, None], PAD, state.tokens_BT[rows]),
    )
    if is_new_B.any():
        for layer in selected.layers:
            parts = (layer.hidden_BH, layer.quantized.values, layer.quantized.scale, layer.cell_BH)
            for part in parts:
                if part is not None:
                    part[is_new_B] = 0
    return selected


def _without_padding(tokens_BT: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the columns from the first that is not all `PAD`."""
    is_used_T = (tokens_BT != PAD).any(axis=0)
    return tokens_BT[:, int(is_used_T.argmax()) if is_used_T.any() else len(is_used_T) :]


def _lstm(
    from_x: Float32, from_h: Float32, layer: LayerWeights, before: LayerState
) -> dict[str, Float32]:
    """Run the six equations of `poetgen.model.cell.lstm_step`."""
    assert before.cell_BH is not None
    from_x += from_h
    from_x += layer.bias
    places = _places(from_x)
    size = before.cell_BH.shape[1]
    input_, forget, output = (
        _sigmoid().take(places[:, start : start + size], mode="clip")
        for start in (0, size, 3 * size)
    )
    candidate = _tanh().take(places[:, 2 * size : 3 * size], mode="clip")
    cell = forget * before.cell_BH
    cell += input_ * candidate
    hidden = _tanh().take(_places(cell * _STEP), mode="clip")
    hidden *= output
    return {
        "forget": forget,
        "input": input_,
        "candidate": candidate,
        "cell": cell,
        "output": output,
        "hidden": hidden,
    }


def _gru(
    from_x: Float32, from_h: Float32, layer: LayerWeights, before: LayerState
) -> dict[str, Float32]:
    """Run the four equations of `poetgen.model.cell.gru_step`."""
    size = before.hidden_BH.shape[1]
    from_x += layer.input_bias * _STEP
    from_h += layer.hidden_bias * _STEP
    opened = _sigmoid().take(_places(from_x[:, : 2 * size] + from_h[:, : 2 * size]), mode="clip")
    reset, update = opened[:, :size], opened[:, size:]
    inner = from_x[:, 2 * size :] + reset * from_h[:, 2 * size :]
    candidate = _tanh().take(_places(inner), mode="clip")
    hidden = (1 - update) * candidate
    hidden += update * before.hidden_BH
    return {"reset": reset, "update": update, "candidate": candidate, "hidden": hidden}


def _rnn(
    from_x: Float32, from_h: Float32, layer: LayerWeights, _before: LayerState
) -> dict[str, Float32]:
    """Run the equation of `poetgen.model.cell.rnn_step`."""
    from_x += from_h
    from_x += layer.bias
    return {"hidden": _tanh().take(_places(from_x), mode="clip")}


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}


def _places(steps: Float32) -> NDArray[np.intp]:
    """Return the places of these numbers of steps in a table; overwrites the argument."""
    steps += _OFFSET
    np.rint(steps, out=steps)
    return steps.astype(np.intp)


@cache
def _sigmoid() -> Float32:
    return _table(sigmoid, 0.0)


@cache
def _tanh() -> Float32:
    return _table(tanh, -1.0)


def _table(function: Callable[[Any], Any], least: float) -> Float32:
    """Return the values of a function at each step from −`_SATURATION` to `_SATURATION`."""
    x = np.arange(-_SATURATION * STEPS, _SATURATION * STEPS + 1) / STEPS
    table: Float32 = function(x).astype(np.float32)
    table[0], table[-1] = least, 1.0
    return table
