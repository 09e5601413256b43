"""Clamped gates: the gate is constant, the other equations still hold, the original is unchanged."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from poetgen.config import Config
from poetgen.data.vocab import EOS
from poetgen.engine.network import Network
from poetgen.errors import UsageError
from poetgen.inspection.ablation import ablate_gates, clamp_gate
from poetgen.inspection.result import GATES, GateAblation
from poetgen.inspection.trace import continue_text, read, stack, trace
from poetgen.model.file import ModelBundle
from poetgen.sampling.options import Options
from tests.inspection.networks import LSTM_SERIES, TOKENS, bundle_with_cell, perturbed

TEXT = "床前明月光，疑是地上霜。"


Series = dict[str, NDArray[np.float64]]


@pytest.fixture
def bundle(tiny_model: ModelBundle) -> ModelBundle:
    return perturbed(tiny_model)


def layers_of(network: Network) -> tuple[Series, ...]:
    return stack(step.layers for step in read(network, TOKENS))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("is_open", [False, True])
def test_clamp_gate_changes_only_that_gate(
    bundle: ModelBundle, gate: str, layer: int, is_open: bool
) -> None:
    network = bundle.engine
    unmodified = layers_of(network)
    found = layers_of(clamp_gate(network, layer, gate, is_open=is_open))
    assert set(found[layer][gate].flatten().tolist()) == {float(is_open)}
    # At the first position, from a zero state, the other gates are unchanged.
    for name in GATES:
        if name != gate:
            np.testing.assert_array_equal(found[layer][name][0], unmodified[layer][name][0])
    for below in range(layer):
        for name in LSTM_SERIES:
            np.testing.assert_array_equal(found[below][name], unmodified[below][name])
    for series, before in zip(layers_of(network), unmodified, strict=True):
        assert {name: values.tobytes() for name, values in series.items()} == {
            name: values.tobytes() for name, values in before.items()
        }


def test_clamp_gate_keeps_equations(bundle: ModelBundle) -> None:
    network = bundle.engine
    shut = layers_of(clamp_gate(network, 0, "forget", is_open=False))[0]
    np.testing.assert_array_equal(shut["cell"], shut["input"] * shut["candidate"])
    open_ = layers_of(clamp_gate(network, 0, "forget", is_open=True))[0]
    expected = (open_["input"] * open_["candidate"]).cumsum(axis=0)
    np.testing.assert_array_equal(open_["cell"], expected)


def test_shut_output_gate_leaves_only_biases(bundle: ModelBundle) -> None:
    silent = clamp_gate(bundle.engine, 1, "output", is_open=False)
    assert not layers_of(silent)[1]["hidden"].any()
    features, _ = silent.step(np.array([9]), silent.zero_state(1))
    nothing, _ = silent.step(np.array([14]), silent.zero_state(1))
    assert silent.logits(features).tobytes() == silent.logits(nothing).tobytes()


def test_clamp_gate_of_single_units(bundle: ModelBundle) -> None:
    clamped = clamp_gate(bundle.engine, 1, "input", is_open=False, units=[3, 7])
    found = layers_of(clamped)[1]
    assert not found["input"][:, [3, 7]].any()
    assert not found["hidden"][:, [3, 7]].any()  # with an empty cell they output zero
    others = [unit for unit in range(bundle.config.model.hidden_size) if unit not in (3, 7)]
    assert float(found["input"][:, others].min()) > 1e-9
    assert (np.abs(found["hidden"][:, others]) > 1e-9).all()


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_clamp_gate_refuses_other_cells(
    cell: str, tiny_config: Config, tiny_model: ModelBundle
) -> None:
    bundle = bundle_with_cell(cell, tiny_config, tiny_model)
    with pytest.raises(UsageError, match="neither"):
        clamp_gate(bundle.engine, 0, "forget", is_open=True)
    assert list(ablate_gates(bundle, TEXT, Options("床前"))) == []


def test_ablate_gates_covers_every_gate(tiny_model: ModelBundle) -> None:
    runs = list(ablate_gates(tiny_model, TEXT, Options("床前", temperature=0, seed=1)))
    found = [(run.layer, run.gate, run.is_open) for run in runs]
    assert found == [(la, g, o) for la in (0, 1) for g in GATES for o in (False, True)]
    for run in runs:
        assert run.trace.text == TEXT
        clamped = run.trace.layers[run.layer][run.gate]
        assert set(clamped.flatten().tolist()) == {float(run.is_open)}
        assert run.continuation.ended or len(run.continuation.text) == 64
    assert len({run.continuation.text for run in runs}) > 1
    assert len({run.trace.nats_per_character for run in runs}) > 6


def with_clamped_bias(bundle: ModelBundle, run: GateAblation) -> ModelBundle:
    """The model whose file has the bias of a clamped gate."""
    name = f"layers.{run.layer}.bias_ih_l0"
    size = bundle.config.model.hidden_size
    first = {"input": 0, "forget": 1, "output": 3}[run.gate] * size
    bias_4H = bundle.weights[name].copy()
    bias_4H[first : first + size] = 1e4 if run.is_open else -1e4
    return replace(bundle, weights={**bundle.weights, name: bias_4H})


def test_ablations_equal_models_with_clamped_gates(bundle: ModelBundle) -> None:
    weights = dict(bundle.weights)
    weights["projection.weight"] = 20 * weights["projection.weight"]
    weights["output_bias"] = weights["output_bias"].copy()
    weights["output_bias"][EOS] += 4.0  # so that poems end, and not all at the same length
    bundle = replace(bundle, weights=weights)
    lengths = set()
    for seed in (1, 2, 3):
        options = Options("床前", seed=seed)
        runs = list(ablate_gates(bundle, TEXT, options))
        for run in runs:
            other = with_clamped_bias(bundle, run)
            assert run.continuation == continue_text(other, options)
            assert run.trace.nats == trace(other, TEXT).nats
            lengths.add(len(run.continuation.text))
        assert len({run.continuation.text for run in runs}) > 6
    assert len(lengths) > 3


def test_inspection_leaves_model_unchanged(tiny_model: ModelBundle) -> None:
    before = {name: weight.copy() for name, weight in tiny_model.weights.items()}
    engine, logits = tiny_model.engine, layers_of(tiny_model.engine)
    list(ablate_gates(tiny_model, TEXT, Options("床前", seed=1)))
    assert tiny_model.engine is engine
    np.testing.assert_equal(layers_of(engine), logits)
    np.testing.assert_equal(dict(tiny_model.weights), before)
