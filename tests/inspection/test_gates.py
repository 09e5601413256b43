"""What is recorded, against the equations done by hand on `torch.nn`'s weights; held gates."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from poetgen.config import Config
from poetgen.data.vocab import BOS, UNK
from poetgen.errors import UsageError
from poetgen.inspection.gates import GATES, hold, record, walk
from poetgen.model.lstm import PoemLSTM
from poetgen.model.store import StoredModel, new_model
from poetgen.sampling.decode import Sample, generate
from poetgen.sampling.request import Request

LSTM_SERIES = ("forget", "input", "output", "candidate", "cell", "hidden")
TOKENS = [BOS, 9, 14, 30, 5, UNK, 22]


def by_hand(model: PoemLSTM, tokens: list[int]) -> list[dict[str, Tensor]]:
    """Each layer's series from `torch.nn`'s weights, sliced gate by gate, in float64."""
    inputs = model.embedding[tokens].double()
    layers = []
    for layer in model.layers:
        assert isinstance(layer, nn.LSTM)
        assert isinstance(layer.weight_ih_l0, Tensor)
        assert isinstance(layer.weight_hh_l0, Tensor)
        assert isinstance(layer.bias_ih_l0, Tensor)
        assert isinstance(layer.bias_hh_l0, Tensor)
        w, u = layer.weight_ih_l0.double(), layer.weight_hh_l0.double()
        b = (layer.bias_ih_l0 + layer.bias_hh_l0).double()
        size = model.hidden_size
        h = c = torch.zeros(size, dtype=torch.float64)
        steps: dict[str, list[Tensor]] = {name: [] for name in LSTM_SERIES}
        for x in inputs:
            i = 1 / (1 + torch.exp(-(w[:size] @ x + u[:size] @ h + b[:size])))
            rows = slice(size, 2 * size)
            f = 1 / (1 + torch.exp(-(w[rows] @ x + u[rows] @ h + b[rows])))
            rows = slice(2 * size, 3 * size)
            g = torch.tanh(w[rows] @ x + u[rows] @ h + b[rows])
            rows = slice(3 * size, 4 * size)
            o = 1 / (1 + torch.exp(-(w[rows] @ x + u[rows] @ h + b[rows])))
            c = f * c + i * g
            h = o * torch.tanh(c)
            for name, value in zip(LSTM_SERIES, (f, i, o, g, c, h), strict=True):
                steps[name].append(value)
        layers.append({name: torch.stack(values) for name, values in steps.items()})
        inputs = layers[-1]["hidden"]
    return layers


@pytest.fixture
def model(tiny_model: StoredModel) -> PoemLSTM:
    """A model whose gates differ from each other: a fresh one's hardly do."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in tiny_model.model.layers:
            for weight in layer.parameters():
                weight.add_(torch.randn(weight.shape, generator=random), alpha=0.6)
    return tiny_model.model


def test_every_gate_is_that_of_the_equations(model: PoemLSTM) -> None:
    found = record(model, TOKENS)
    expected = by_hand(model, TOKENS)
    assert len(found.layers) == len(expected) == 2
    for mine, theirs in zip(found.layers, expected, strict=True):
        assert set(mine) == set(LSTM_SERIES)
        for name, values in theirs.items():
            assert mine[name].shape == (len(TOKENS), model.hidden_size)
            torch.testing.assert_close(mine[name].double(), values, rtol=0, atol=1e-5)
    assert float(found.layers[0]["forget"].std()) > 0.05  # else the test would show little


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_walk_agrees_with_the_fused_kernels(
    cell: str, tiny_config: Config, tiny_model: StoredModel
) -> None:
    shape = tiny_config.model.model_copy(update={"cell": cell})
    torch.manual_seed(1)
    config = tiny_config.model_copy(update={"model": shape})
    model = new_model(config, tiny_model.vocab).eval()
    found = torch.stack([place.log_probs_V for place in walk(model, TOKENS)])
    logits_1TV, _ = model(torch.tensor([TOKENS]))
    expected = torch.log_softmax(logits_1TV[0].double(), dim=-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    recording = record(model, TOKENS)
    gates = {"lstm": GATES, "gru": ("reset", "update"), "rnn": ()}[cell]
    others = {"lstm": {"candidate", "cell", "hidden"}, "gru": {"candidate", "hidden"}}
    assert recording.gates == gates
    assert set(recording.layers[0]) == {*gates, *others.get(cell, {"hidden"})}
    assert recording.state == ("cell" if cell == "lstm" else "hidden")


def test_the_gates_of_a_gru_make_its_hidden_state(
    tiny_config: Config, tiny_model: StoredModel
) -> None:
    shape = tiny_config.model.model_copy(update={"cell": "gru"})
    model = new_model(tiny_config.model_copy(update={"model": shape}), tiny_model.vocab).eval()
    for layer in record(model, TOKENS).layers:
        before = torch.cat([torch.zeros(1, model.hidden_size), layer["hidden"][:-1]])
        kept = layer["update"] * before + (1 - layer["update"]) * layer["candidate"]
        torch.testing.assert_close(layer["hidden"], kept)


def test_figures_of_a_recording(model: PoemLSTM) -> None:
    found = record(model, TOKENS)
    forget = found.layers[0]["forget"]
    assert found.mean(0, "forget")[2] == pytest.approx(float(forget[2].sum()) / model.hidden_size)
    cell = found.layers[1]["cell"]
    assert found.norm(1, "cell")[4] == pytest.approx(float(cell[4].square().sum()) ** 0.5)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_held_gate_is_held_and_no_other(
    model: PoemLSTM, gate: str, layer: int, is_open: bool
) -> None:
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    held = hold(model, layer, gate, is_open=is_open)
    found, as_it_is = record(held, TOKENS), record(model, TOKENS)
    assert set(found.layers[layer][gate].flatten().tolist()) == {float(is_open)}
    others = [name for name in GATES if name != gate]
    # At the first place, from a zero state, the other gates are what they were.
    for name in others:
        torch.testing.assert_close(
            found.layers[layer][name][0], as_it_is.layers[layer][name][0], rtol=0, atol=1e-6
        )
    for below in range(layer):
        for name in LSTM_SERIES:
            assert torch.equal(found.layers[below][name], as_it_is.layers[below][name])
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_the_equations_hold_behind_a_held_gate(model: PoemLSTM) -> None:
    shut = record(hold(model, 0, "forget", is_open=False), TOKENS).layers[0]
    torch.testing.assert_close(shut["cell"], shut["input"] * shut["candidate"])
    open_ = record(hold(model, 0, "forget", is_open=True), TOKENS).layers[0]
    torch.testing.assert_close(
        open_["cell"], (open_["input"] * open_["candidate"]).cumsum(dim=0), rtol=1e-5, atol=1e-5
    )
    silent = record(hold(model, 1, "output", is_open=False), TOKENS)
    assert not silent.layers[1]["hidden"].any()


def test_single_units_can_be_held(model: PoemLSTM) -> None:
    found = record(hold(model, 1, "input", is_open=False, units=[3, 7]), TOKENS).layers[1]
    assert not found["input"][:, [3, 7]].any()
    assert not found["hidden"][:, [3, 7]].any()  # their cells stay empty: they are silent
    others = [unit for unit in range(model.hidden_size) if unit not in (3, 7)]
    assert float(found["input"][:, others].min()) > 0
    assert found["hidden"][:, others].all()


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_what_has_no_gates_cannot_have_one_held(
    cell: str, tiny_config: Config, tiny_model: StoredModel
) -> None:
    shape = tiny_config.model.model_copy(update={"cell": cell})
    model = new_model(tiny_config.model_copy(update={"model": shape}), tiny_model.vocab)
    with pytest.raises(UsageError, match="neither"):
        hold(model, 0, "forget", is_open=True)


def hooks(model: nn.Module) -> list[object]:
    kinds: list[Callable[[nn.Module], object]] = [
        lambda m: m._forward_hooks,
        lambda m: m._forward_pre_hooks,
        lambda m: m._backward_hooks,
    ]
    return [hook for module in model.modules() for kind in kinds if (hook := kind(module))]


def test_recording_leaves_sampling_as_it_was(tiny_model: StoredModel) -> None:
    def poems() -> list[str]:
        requests = [Request(4, index) for index in range(4)]
        found = generate(tiny_model.model, tiny_model.vocab, requests, max_tokens=12)
        return [one.poem.text for one in found if isinstance(one, Sample)]

    step = tiny_model.model.step
    before = poems()
    record(tiny_model.model, TOKENS)
    hold(tiny_model.model, 0, "input", is_open=False)
    assert poems() == before
    assert hooks(tiny_model.model) == []
    assert tiny_model.model.step == step
    assert not tiny_model.model.embedding.requires_grad
