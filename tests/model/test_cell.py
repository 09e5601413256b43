"""The cells compared with `torch.nn`, and with examples computed by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from poetgen.model.cell import CellWeights, gru_step, lstm_step, rnn_step

INPUT, HIDDEN, ROWS, POSITIONS = 3, 5, 2, 7

Unrolled = tuple[Tensor, tuple[Tensor, ...]]


def unroll_lstm(x: Tensor, state: tuple[Tensor, ...], weights: CellWeights) -> Unrolled:
    hidden, cell = state
    outputs = []
    for position in range(x.shape[1]):
        step = lstm_step(x[:, position], hidden, cell, weights)
        hidden, cell = step.hidden, step.cell
        outputs.append(hidden)
    return torch.stack(outputs, 1), (hidden, cell)


def unroll_gru(x: Tensor, state: tuple[Tensor, ...], weights: CellWeights) -> Unrolled:
    return _unroll_plain(lambda *arguments: gru_step(*arguments).hidden, x, state, weights)


def unroll_rnn(x: Tensor, state: tuple[Tensor, ...], weights: CellWeights) -> Unrolled:
    return _unroll_plain(rnn_step, x, state, weights)


def _unroll_plain(
    step: Callable[[Tensor, Tensor, CellWeights], Tensor],
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: CellWeights,
) -> Unrolled:
    (hidden,) = state
    outputs = []
    for position in range(x.shape[1]):
        hidden = step(x[:, position], hidden, weights)
        outputs.append(hidden)
    return torch.stack(outputs, 1), (hidden,)


def fused(
    layer_class: type[nn.RNNBase], layer: nn.Module, x: Tensor, state: tuple[Tensor, ...]
) -> Unrolled:
    batched = tuple(part.unsqueeze(0) for part in state)
    outputs, last = layer(x, batched if layer_class is nn.LSTM else batched[0])
    return outputs, tuple(p.squeeze(0) for p in (last if layer_class is nn.LSTM else (last,)))


@pytest.mark.parametrize(
    ("layer_class", "unroll", "num_states"),
    [(nn.LSTM, unroll_lstm, 2), (nn.GRU, unroll_gru, 1), (nn.RNN, unroll_rnn, 1)],
    ids=["lstm", "gru", "rnn"],
)
def test_cell_equals_torch_with_all_gradients(
    layer_class: type[nn.LSTM] | type[nn.GRU] | type[nn.RNN],
    unroll: Callable[[Tensor, tuple[Tensor, ...], CellWeights], Unrolled],
    num_states: int,
) -> None:
    random = torch.Generator().manual_seed(4)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    layer = layer_class(INPUT, HIDDEN, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(noise(*parameter.shape))
    x = noise(ROWS, POSITIONS, INPUT).requires_grad_()
    state = tuple(noise(ROWS, HIDDEN).requires_grad_() for _ in range(num_states))
    leaves = [x, *state, *layer.parameters()]
    output_weight, state_weights = noise(ROWS, POSITIONS, HIDDEN), noise(num_states, ROWS, HIDDEN)

    def gradients(result: Unrolled) -> tuple[Tensor, ...]:
        outputs, states = result
        loss = (outputs * output_weight).sum() + (torch.stack(states) * state_weights).sum()
        return torch.autograd.grad(loss, leaves)

    ours = unroll(x, state, CellWeights(*layer.all_weights[0]))
    theirs = fused(layer_class, layer, x, state)

    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=1e-12)
    assert len(ours[1]) == len(theirs[1]) == num_states
    for our_state, their_state in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(our_state, their_state, rtol=0, atol=1e-12)
    pairs = list(zip(gradients(ours), gradients(theirs), strict=True))
    assert len(pairs) == 1 + num_states + 4
    for our_gradient, their_gradient in pairs:
        assert their_gradient.abs().max() > 1e-3
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-9, atol=1e-11)


def scalar_weights(*gates: float) -> CellWeights:
    """One unit and one input with equal weights per gate, and no bias."""
    column = torch.tensor(gates, dtype=torch.float64).unsqueeze(1)
    zeros = torch.zeros(len(gates), dtype=torch.float64)
    return CellWeights(column, column, zeros, zeros)


# f .7, i .6, candidate .5, o .9, stacked in the order of torch.nn: i, f, g, o.
LSTM_BY_HAND = scalar_weights(0.6, 0.7, 0.5, 0.9)


def one(value: float) -> Tensor:
    return torch.tensor([[value]], dtype=torch.float64)


def test_lstm_step_worked_example() -> None:
    step = lstm_step(one(0.5), one(0.2), one(0.4), LSTM_BY_HAND)
    assert {name: round(gate.item(), 3) for name, gate in step._asdict().items()} == {
        "forget": 0.620,
        "input": 0.603,
        "candidate": 0.336,
        "cell": 0.451,
        "output": 0.652,
        "hidden": 0.276,
    }


def test_lstm_step_three_steps_of_the_example() -> None:
    hidden, cell = one(0.0), one(0.0)
    rounded = []
    for x in (0.2, 0.4, 0.6):
        step = lstm_step(one(x), hidden, cell, LSTM_BY_HAND)
        hidden, cell = step.hidden, step.cell
        rounded.append(tuple(round(v.item(), 2) for v in (step.forget, cell, hidden)))
    assert rounded == [(0.53, 0.05, 0.03), (0.57, 0.15, 0.09), (0.62, 0.29, 0.18)]


def test_gru_step_by_hand() -> None:
    # r = σ(.7·.7) = .620, z = σ(.6·.7) = .603, n = tanh(.25 + .620·.1) = .302
    # h' = .397·.302 + .603·.2 = .241
    step = gru_step(one(0.5), one(0.2), scalar_weights(0.7, 0.6, 0.5))
    assert [round(value.item(), 3) for value in step] == [0.62, 0.603, 0.302, 0.241]


def test_rnn_step_by_hand() -> None:
    # tanh(.5·.5 + .5·.2) = tanh(.35) = .336
    assert round(rnn_step(one(0.5), one(0.2), scalar_weights(0.5)).item(), 3) == 0.336


def test_lstm_forget_gate_open_keeps_shut_clears() -> None:
    zeros = torch.zeros(4, 1, dtype=torch.float64)

    def biased(forget: float) -> CellWeights:
        bias = torch.tensor([-40.0, forget, 0.0, 40.0], dtype=torch.float64)
        return CellWeights(zeros, zeros, bias, torch.zeros_like(bias))

    kept = lstm_step(one(0.5), one(0.2), one(0.4), biased(40.0))
    cleared = lstm_step(one(0.5), one(0.2), one(0.4), biased(-40.0))
    assert kept.cell.item() == pytest.approx(0.4, abs=1e-12)
    assert cleared.cell.item() == pytest.approx(0.0, abs=1e-12)
