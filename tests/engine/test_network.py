"""The exact network agrees with torch's, and with itself at any batch size."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from poetgen.config import ModelConfig
from poetgen.data.vocab import BOS
from poetgen.engine.network import Network, NetworkWeights, State, select_rows
from poetgen.engine.quantize import SCALE, quantize_weights
from poetgen.model.network import PoemRNN, layer_step

VOCAB_SIZE = 50
SHAPES = {
    "lstm": ModelConfig(cell="lstm", embedding_size=12, hidden_size=16, num_layers=2),
    "gru": ModelConfig(cell="gru", embedding_size=12, hidden_size=16, num_layers=2),
    "rnn": ModelConfig(cell="rnn", embedding_size=12, hidden_size=16, num_layers=1),
    "untied": ModelConfig(tie_embeddings=False, embedding_size=12, hidden_size=16, num_layers=1),
    "verse": ModelConfig(embedding_size=12, hidden_size=16, verse_inputs=True, reuse_term="gated"),
    "untied verse": ModelConfig(
        tie_embeddings=False,
        embedding_size=12,
        hidden_size=16,
        verse_inputs=True,
        reuse_term="fixed",
    ),
    "wide": ModelConfig(embedding_size=8, hidden_size=1100, num_layers=1),
}


def torch_network(config: ModelConfig) -> PoemRNN:
    torch.manual_seed(3)
    network = PoemRNN(VOCAB_SIZE, config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn_like(weight) * 1.2 / config.hidden_size**0.5)
    return network.eval().requires_grad_(False)


def arrays(network: PoemRNN) -> dict[str, NDArray[Any]]:
    return {name: weight.numpy() for name, weight in network.state_dict().items()}


def exact(config: ModelConfig) -> Network:
    return Network(NetworkWeights.from_arrays(arrays(torch_network(config)), config), config)


def tokens(num_positions: int, num_rows: int) -> NDArray[np.intp]:
    """Return random ids, one of them `BOS` at the beginning of each row."""
    tokens_TB = np.random.default_rng(5).integers(3, VOCAB_SIZE, (num_positions, num_rows))
    tokens_TB[np.arange(num_rows) % 2, np.arange(num_rows)] = BOS
    return tokens_TB


def run(network: Network, tokens_TB: NDArray[np.intp]) -> tuple[NDArray[np.float64], State]:
    """Return the logits after each position, (T, B, V), and the last state."""
    state = network.zero_state(tokens_TB.shape[1])
    logits = []
    for tokens_B in tokens_TB:
        features, state = network.step(tokens_B, state)
        logits.append(network.logits(features))
    return np.stack(logits), state


@pytest.mark.parametrize("shape", SHAPES)
def test_network_agrees_with_torch(shape: str) -> None:
    config = SHAPES[shape]
    reference, tokens_TB = torch_network(config), tokens(12, 3)
    logits_TBV, _ = run(exact(config), tokens_TB)
    expected_BTV, _ = reference(torch.from_numpy(tokens_TB.T))
    difference = np.abs(logits_TBV - expected_BTV.numpy().swapaxes(0, 1))
    # int8 rows are within half of a 127th of their largest value.
    assert difference.max() < 0.03 * np.abs(expected_BTV.numpy()).max()
    correlation = np.corrcoef(logits_TBV.ravel(), expected_BTV.numpy().swapaxes(0, 1).ravel())
    assert correlation[0, 1] > 0.999


@pytest.mark.parametrize("shape", SHAPES)
def test_trace_names_the_gates_of_the_torch_cell(shape: str) -> None:
    config = SHAPES[shape]
    reference, network = torch_network(config), exact(config)
    state, torch_state = network.zero_state(1), reference.zero_state(1)
    _, state, _ = network.trace(np.array([BOS]), state)
    inputs_2E = reference.inputs(torch.tensor([[BOS, 9]]))[0]
    x_1E = inputs_2E[:1]
    for number, layer in enumerate(reference.layers):
        expected, torch_state[number] = layer_step(config.cell, x_1E, torch_state[number], layer)
        x_1E = expected["hidden"]
    _, _, traced = network.trace(np.array([9]), state)
    x_1E = inputs_2E[1:]
    for number, layer in enumerate(reference.layers):
        expected, _ = layer_step(config.cell, x_1E, torch_state[number], layer)
        assert list(traced[number]) == list(expected)
        for name, values in expected.items():
            assert np.abs(traced[number][name] - values.numpy()).max() < 0.05, name
        x_1E = expected["hidden"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("num_rows", [1, 3, 7, 33])
def test_row_has_the_same_bits_in_any_batch(shape: str, num_rows: int) -> None:
    network, tokens_TB = exact(SHAPES[shape]), tokens(6, 64)
    logits_TBV, state = run(network, tokens_TB)
    some_TBV, some_state = run(network, tokens_TB[:, 5 : 5 + num_rows])
    assert some_TBV.tobytes() == logits_TBV[:, 5 : 5 + num_rows].tobytes()
    for whole, part in zip(state.layers, some_state.layers, strict=True):
        assert part.hidden_BH.tobytes() == whole.hidden_BH[5 : 5 + num_rows].tobytes()


def test_stored_int8_gives_the_same_bits_as_fp32() -> None:
    config = SHAPES["lstm"]
    stored: dict[str, NDArray[Any]] = {}
    for name, array in arrays(torch_network(config)).items():
        stored[name] = array
        if array.ndim == 2:
            stored[name], stored[name + SCALE] = quantize_weights(array)
    network = Network(NetworkWeights.from_arrays(stored, config), config)
    tokens_TB = tokens(5, 2)
    assert run(network, tokens_TB)[0].tobytes() == run(exact(config), tokens_TB)[0].tobytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_selected_rows_continue_as_before(shape: str) -> None:
    network, tokens_TB = exact(SHAPES[shape]), tokens(6, 8)
    _, state = run(network, tokens_TB)
    rows = np.array([6, 2, 2, -1])
    selected = select_rows(state, rows)
    features, _ = network.step(np.array([1, 2, 3, 4]), selected)
    for place, row in enumerate(rows):
        alone = network.zero_state(1) if row < 0 else run(network, tokens_TB[:, [row]])[1]
        expected, _ = network.step(np.array([place + 1]), alone)
        assert features.rows.values[place].tolist() == expected.rows.values[0].tolist()
        assert features.rows.scale[place] == expected.rows.scale[0]
