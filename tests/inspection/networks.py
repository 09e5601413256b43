"""Networks with other cells, and activations computed by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from poetgen.config import Config
from poetgen.data.vocab import BOS, UNK
from poetgen.engine.quantize import quantize_activations, quantize_weights
from poetgen.engine.softmax import STEPS
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN, network_arrays

LSTM_SERIES = ("forget", "input", "output", "candidate", "cell", "hidden")
TOKENS = [BOS, 9, 14, 30, 5, UNK, 22]


def bundle_with_cell(cell: str, config: Config, bundle: ModelBundle) -> ModelBundle:
    """An untrained model with another cell and the vocabulary of `bundle`."""
    shape = config.model.model_copy(update={"cell": cell})
    config = config.model_copy(update={"model": shape})
    torch.manual_seed(1)
    weights = network_arrays(PoemRNN(len(bundle.vocab), config.model))
    return ModelBundle(weights, bundle.vocab, config, "")


def perturbed(bundle: ModelBundle) -> ModelBundle:
    """The same model with noise in its layers: the gates of a fresh network hardly differ."""
    random = np.random.default_rng(3)
    weights = {
        name: weight + random.normal(0, 0.6, weight.shape).astype(np.float32)
        if name.startswith("layers.")
        else weight
        for name, weight in bundle.weights.items()
    }
    return replace(bundle, weights=weights)


def compute_by_hand(
    bundle: ModelBundle, tokens: list[int], *, is_rounded: bool = True
) -> list[dict[str, NDArray[np.float64]]]:
    """Each layer's series by the equations of an LSTM, gate by gate, with the exponential of numpy.

    With `is_rounded`, matrices and activations are rounded to int8 rows, and sums to steps, as the engine
    does it; in fp32 it may round a sum to the next step.
    """
    round_matrix = _rounded_matrix if is_rounded else _unchanged
    round_vector = _rounded_vector if is_rounded else _unchanged
    round_sum = _rounded_sum if is_rounded else _unchanged
    config, weights = bundle.config.model, bundle.weights
    inputs = list(round_matrix(weights["embedding"].astype(np.float64))[tokens])
    layers = []
    for number in range(config.num_layers):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w, u, b1, b2 = (weights[f"layers.{number}.{name}_l0"].astype(np.float64) for name in names)
        steps = _run_lstm(
            inputs, round_matrix(w), round_matrix(u), b1 + b2, round_vector, round_sum
        )
        layers.append({name: np.stack([step[name] for step in steps]) for name in LSTM_SERIES})
        inputs = [round_vector(hidden) for hidden in layers[-1]["hidden"]]
    return layers


Vector = NDArray[np.float64]


def _run_lstm(
    inputs: list[Vector],
    w: Vector,
    u: Vector,
    b: Vector,
    round_vector: Callable[[Vector], Vector],
    round_sum: Callable[[Vector], Vector],
) -> list[dict[str, Vector]]:
    h = c = np.zeros(len(b) // 4)
    steps = []
    for x in inputs:
        i, f, g, o = np.split(round_sum(w @ x + u @ round_vector(h) + b), 4)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(round_sum(c))
        steps.append(dict(zip(LSTM_SERIES, (f, i, o, g, c, h), strict=True)))
    return steps


def _sigmoid(x: Vector) -> Vector:
    return np.asarray(1 / (1 + np.exp(-x)))


def _rounded_sum(x: Vector) -> Vector:
    return np.asarray(np.rint(x * STEPS) / STEPS)


def _unchanged(x: Vector) -> Vector:
    return x


def _rounded_matrix(matrix: Vector) -> Vector:
    values, scale = quantize_weights(matrix.astype(np.float32))
    return values.astype(np.float64) * scale


def _rounded_vector(vector: Vector) -> Vector:
    rows = quantize_activations(vector[None].astype(np.float32))
    (rounded,) = rows.values * rows.scale[:, None]
    return np.asarray(rounded)
