"""The recurrent network in exact arithmetic: the one authority on what a model computes.

Weights and activations are int8 rows; their products are exact (`products`), everything else is float64
with IEEE operations in a fixed order (`mathematics`).  A row's values are therefore the same bits on every
machine, with every provider, at every batch size and position.

Shape suffixes: B rows, H hidden size, G stacked gates, E embedding size, F features, V vocabulary size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from poetgen.config import ModelConfig
from poetgen.engine.mathematics import row_blocks, sigmoid, tanh
from poetgen.engine.products import NumpyProducts, Products
from poetgen.engine.quantize import (
    SCALE,
    QuantizedRows,
    quantize_activations,
    quantize_weights,
)

Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class LayerWeights:
    """A recurrent layer: matrices, and biases (G,) in float64; gates in the order of `torch.nn`."""

    from_input: QuantizedRows
    from_hidden: QuantizedRows
    input_bias: Float64
    hidden_bias: Float64


@dataclass(frozen=True)
class NetworkWeights:
    """All weights of a network."""

    embedding: QuantizedRows
    layers: tuple[LayerWeights, ...]
    projection: tuple[QuantizedRows, Float64] | None
    """The map from hidden to embedding size, with its bias; None: the output is not tied."""
    output: QuantizedRows
    output_bias: Float64

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], config: ModelConfig
    ) -> "NetworkWeights":
        """Return the weights in the arrays of a model file: fp32, or int8 with a scale per row.

        Matrices in fp32 are quantized as `poetgen export --int8` does it.

        Raises:
            ValueError: a value is not a finite number; names the array.
        """

        def floats(name: str) -> Float64:
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} has a value that is not a finite number")
            return arrays[name].astype(np.float64)

        def matrix(name: str) -> QuantizedRows:
            if name + SCALE in arrays:
                return QuantizedRows(arrays[name], floats(name + SCALE)[:, 0])
            floats(name)  # checks them
            values, scale_R1 = quantize_weights(arrays[name])
            return QuantizedRows(values, scale_R1[:, 0].astype(np.float64))

        layers = (
            LayerWeights(
                matrix(f"layers.{number}.weight_ih_l0"),
                matrix(f"layers.{number}.weight_hh_l0"),
                floats(f"layers.{number}.bias_ih_l0"),
                floats(f"layers.{number}.bias_hh_l0"),
            )
            for number in range(config.num_layers)
        )
        embedding = matrix("embedding")
        is_tied = config.tie_embeddings
        return cls(
            embedding,
            tuple(layers),
            (matrix("projection.weight"), floats("projection.bias")) if is_tied else None,
            embedding if is_tied else matrix("output"),
            floats("output_bias"),
        )


@dataclass(frozen=True)
class LayerState:
    """The state that a layer passes from one position to the next."""

    hidden_BH: Float64
    quantized: QuantizedRows
    """`hidden_BH` as int8 rows."""
    cell_BH: Float64 | None = None
    """The cell state of an LSTM; None for the other cells."""


State: TypeAlias = tuple[LayerState, ...]
Gates: TypeAlias = Mapping[str, Float64]
"""The gates and states of one layer at one position, (B, H) each, by name."""


class Network:
    """A network whose every result is reproducible to the bit.

    network = Network(weights, config.model)
    features, state = network.step(tokens_B, network.zero_state(1))
    logits_BV = network.logits(features)
    """

    def __init__(
        self, weights: NetworkWeights, config: ModelConfig, products: Products | None = None
    ) -> None:
        self.weights = weights
        self.config = config
        self.use(products or NumpyProducts())

    def use(self, products: Products) -> None:
        """Compute products with another provider from here on; no result changes."""
        self._products = products
        weights = self.weights
        self._layers = [
            (products.prepare(layer.from_input.values), products.prepare(layer.from_hidden.values))
            for layer in weights.layers
        ]
        self._projection = weights.projection and products.prepare(weights.projection[0].values)
        self._output = products.prepare(weights.output.values)

    def zero_state(self, num_rows: int) -> State:
        """Return the initial state of `num_rows` sequences: all zeros."""
        zeros_BH = np.zeros((num_rows, self.config.hidden_size))
        cell_BH = zeros_BH if self.config.cell == "lstm" else None
        layer = LayerState(zeros_BH, quantize_activations(zeros_BH), cell_BH)
        return (layer,) * len(self._layers)

    def step(self, tokens_B: NDArray[np.intp], state: State) -> tuple[QuantizedRows, State]:
        """Return (features, state) after one more id per row; `logits` takes the features."""
        features, after, _ = self.trace(tokens_B, state)
        return features, after

    def trace(
        self, tokens_B: NDArray[np.intp], state: State
    ) -> tuple[QuantizedRows, State, list[Gates]]:
        """Return what `step` does, and the gates and states of each layer."""
        embedding = self.weights.embedding
        x = QuantizedRows(embedding.values[tokens_B], embedding.scale[tokens_B])
        after: list[LayerState] = []
        traced: list[Gates] = []
        for layer, prepared, before in zip(self.weights.layers, self._layers, state, strict=True):
            from_x = self._product(x, prepared[0], layer.from_input.scale)
            from_h = self._product(before.quantized, prepared[1], layer.from_hidden.scale)
            gates, cell_BH = _CELLS[self.config.cell](from_x, from_h, layer, before)
            x = quantize_activations(gates["hidden"])
            after.append(LayerState(gates["hidden"], x, cell_BH))
            traced.append(gates)
        if self.weights.projection is not None:
            matrix, bias_E = self.weights.projection
            x = quantize_activations(self._product(x, self._projection, matrix.scale) + bias_E)
        return x, tuple(after), traced

    def logits(self, features: QuantizedRows) -> Float64:
        """Return the logits of the next id, (B, V)."""
        logits_BV = self._product(features, self._output, self.weights.output.scale)
        logits_BV += self.weights.output_bias
        return logits_BV

    def _product(self, x: QuantizedRows, prepared: Any, scale_R: Float64) -> Float64:
        """Return a product with the scales of both operands applied, (B, R)."""
        result_BR = self._products.multiply(x, prepared)
        result_BR *= x.scale[:, None]
        result_BR *= scale_R
        return result_BR


def select_rows(state: State, rows: NDArray[np.intp]) -> State:
    """Return the state of `rows`, in their order; −1 is a row of zeros."""
    is_new_B1 = (rows < 0)[:, None]

    def selected(part_BH: Float64) -> Float64:
        chosen_BH = part_BH[rows]
        return np.where(is_new_B1, 0.0, chosen_BH) if is_new_B1.any() else chosen_BH

    layers = []
    for layer in state:
        hidden_BH = selected(layer.hidden_BH)
        quantized = layer.quantized.select(rows)
        if is_new_B1.any():
            quantized = quantize_activations(hidden_BH)  # of the same rows: the same values
        cell_BH = None if layer.cell_BH is None else selected(layer.cell_BH)
        layers.append(LayerState(hidden_BH, quantized, cell_BH))
    return tuple(layers)


_LSTM_GATES = ("forget", "input", "candidate", "cell", "output", "hidden")


def _lstm(
    from_x: Float64, from_h: Float64, layer: LayerWeights, before: LayerState
) -> tuple[Gates, Float64]:
    """Run the six equations of `poetgen.model.cell.lstm_step`."""
    assert before.cell_BH is not None
    num_rows, size = before.cell_BH.shape
    bias_4H = layer.input_bias + layer.hidden_bias
    gates = {name: np.empty((num_rows, size)) for name in _LSTM_GATES}
    for rows in row_blocks(from_x):
        stacked_B4H = from_x[rows]
        stacked_B4H += from_h[rows]
        stacked_B4H += bias_4H
        input_, forget = np.split(sigmoid(stacked_B4H[:, : 2 * size]), 2, axis=1)
        candidate = tanh(stacked_B4H[:, 2 * size : 3 * size])
        output = sigmoid(stacked_B4H[:, 3 * size :])
        cell = forget * before.cell_BH[rows]
        cell += input_ * candidate
        hidden = tanh(cell)
        hidden *= output
        values = (forget, input_, candidate, cell, output, hidden)
        for name, value in zip(_LSTM_GATES, values, strict=True):
            gates[name][rows] = value
    return gates, gates["cell"]


def _gru(
    from_x: Float64, from_h: Float64, layer: LayerWeights, before: LayerState
) -> tuple[Gates, None]:
    """Run the four equations of `poetgen.model.cell.gru_step`."""
    size = before.hidden_BH.shape[1]
    from_x += layer.input_bias
    from_h += layer.hidden_bias
    reset, update = np.split(sigmoid(from_x[:, : 2 * size] + from_h[:, : 2 * size]), 2, axis=1)
    candidate = tanh(from_x[:, 2 * size :] + reset * from_h[:, 2 * size :])
    hidden = (1.0 - update) * candidate
    hidden += update * before.hidden_BH
    return {"reset": reset, "update": update, "candidate": candidate, "hidden": hidden}, None


def _rnn(
    from_x: Float64, from_h: Float64, layer: LayerWeights, _before: LayerState
) -> tuple[Gates, None]:
    """Run the equation of `poetgen.model.cell.rnn_step`."""
    from_x += from_h
    from_x += layer.input_bias + layer.hidden_bias
    return {"hidden": tanh(from_x)}, None


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}
