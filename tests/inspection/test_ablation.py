"""Clamped gates: the gate is constant, the other equations still hold, the original is unchanged."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from poetgen.config import Config
from poetgen.data.vocab import EOS
from poetgen.errors import UsageError
from poetgen.inspection.ablation import Clamp, ablate_gates, clamp_gate, continue_clamped
from poetgen.inspection.result import GATES
from poetgen.inspection.trace import continue_text, read, stack, trace
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN
from poetgen.sampling.options import Options
from tests.inspection.networks import LSTM_SERIES, TOKENS, bundle_with_cell, perturb

TEXT = "床前明月光，疑是地上霜。"


@pytest.fixture
def network(tiny_model: ModelBundle) -> PoemRNN:
    return perturb(tiny_model.network)


def layers_of(network: PoemRNN) -> tuple[dict[str, NDArray[np.float32]], ...]:
    return stack(step.layers for step in read(network, TOKENS))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("is_open", [False, True])
def test_clamp_gate_changes_only_that_gate(
    network: PoemRNN, gate: str, layer: int, is_open: bool
) -> None:
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    found = layers_of(clamp_gate(network, layer, gate, is_open=is_open))
    unmodified = layers_of(network)
    assert set(found[layer][gate].flatten().tolist()) == {float(is_open)}
    # At the first position, from a zero state, the other gates are unchanged.
    for name in GATES:
        if name != gate:
            np.testing.assert_allclose(
                found[layer][name][0], unmodified[layer][name][0], rtol=0, atol=1e-6
            )
    for below in range(layer):
        for name in LSTM_SERIES:
            np.testing.assert_array_equal(found[below][name], unmodified[below][name])
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_clamp_gate_keeps_equations(network: PoemRNN) -> None:
    shut = layers_of(clamp_gate(network, 0, "forget", is_open=False))[0]
    np.testing.assert_allclose(shut["cell"], shut["input"] * shut["candidate"], atol=1e-6)
    open_ = layers_of(clamp_gate(network, 0, "forget", is_open=True))[0]
    expected = (open_["input"] * open_["candidate"]).cumsum(axis=0)
    np.testing.assert_allclose(open_["cell"], expected, rtol=1e-5, atol=1e-5)
    silent = layers_of(clamp_gate(network, 1, "output", is_open=False))
    assert not silent[1]["hidden"].any()


def test_clamp_gate_of_single_units(network: PoemRNN) -> None:
    found = layers_of(clamp_gate(network, 1, "input", is_open=False, units=[3, 7]))[1]
    assert not found["input"][:, [3, 7]].any()
    assert not found["hidden"][:, [3, 7]].any()  # with an empty cell they output zero
    others = [unit for unit in range(network.hidden_size) if unit not in (3, 7)]
    assert float(found["input"][:, others].min()) > 0
    assert found["hidden"][:, others].all()


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_clamp_gate_refuses_other_cells(
    cell: str, tiny_config: Config, tiny_model: ModelBundle
) -> None:
    bundle = bundle_with_cell(cell, tiny_config, tiny_model)
    with pytest.raises(UsageError, match="neither"):
        clamp_gate(bundle.network, 0, "forget", is_open=True)
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


def test_continue_clamped_equals_clamped_networks(tiny_model: ModelBundle) -> None:
    perturb(tiny_model.network)
    tiny_model.network.output_bias[EOS] += 4.0  # so that poems end, and leave the batch, one by one
    clamps = [Clamp(*one) for one in product((0, 1), GATES, (False, True))]
    lengths = set()
    for seed in (1, 2, 3):
        options = Options("床前", seed=seed)
        found = continue_clamped(tiny_model, options, clamps)
        expected = [
            continue_text(
                replace(
                    tiny_model,
                    network=clamp_gate(
                        tiny_model.network, clamp.layer, clamp.gate, is_open=clamp.is_open
                    ),
                ),
                options,
            )
            for clamp in clamps
        ]
        assert found == expected
        assert len({one.text for one in found}) > 6
        lengths |= {len(one.text) for one in found}
    assert len(lengths) > 3
    assert continue_clamped(tiny_model, options, []) == []


def hooks(network: nn.Module) -> list[object]:
    groups: list[Callable[[nn.Module], object]] = [
        lambda m: m._forward_hooks,
        lambda m: m._forward_pre_hooks,
        lambda m: m._backward_hooks,
    ]
    return [hook for module in network.modules() for group in groups if (hook := group(module))]


def test_inspection_leaves_network_unchanged(tiny_model: ModelBundle) -> None:
    network = tiny_model.network
    step, weights = network.step, {k: w.clone() for k, w in network.state_dict().items()}
    trace(tiny_model, TEXT)
    clamp_gate(network, 0, "input", is_open=False)
    assert hooks(network) == []
    assert network.step == step
    assert all(torch.equal(weight, weights[name]) for name, weight in network.state_dict().items())
    assert not network.embedding.requires_grad
