"""Gradient norms, compared with numbers by hand and with finite differences."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.config import Config
from poetgen.data.vocab import BOS
from poetgen.errors import UsageError
from poetgen.inspection import gradients
from poetgen.inspection.gradients import (
    compare_gradients,
    gradient_decay,
    gradient_norms,
    sample_texts,
)
from poetgen.inspection.result import GradientComparison, GradientDecay
from poetgen.model.cell import lstm_step
from poetgen.model.file import ModelBundle
from poetgen.model.network import cell_weights
from poetgen.sampling.options import Options
from tests.inspection.networks import bundle_with_cell


def test_gradient_norms_of_a_chain() -> None:
    # s1 = 2·s0, s2 = 3·s1, loss = Σ s2 over rows: the gradients are 1, 3 and 6 in each component.
    first = torch.ones(5, 4, requires_grad=True)
    second = 2 * first
    third = 3 * second
    expected = [1.0 * 2, 3.0 * 2, 6.0 * 2]  # times √4 components
    assert gradient_norms(third.sum(), [[first], [second], [third]]) == pytest.approx(expected)


def test_gradient_norms_join_parts_of_a_state() -> None:
    a, b = torch.ones(1, 1, requires_grad=True), torch.ones(1, 1, requires_grad=True)
    assert gradient_norms((3 * a + 4 * b).sum(), [[a, b]]) == pytest.approx([5.0])
    assert gradient_norms((3 * a).sum(), [[a, b], [b]]) == [0.0, 3.0]


def test_gradient_decay_matches_finite_differences(tiny_model: ModelBundle) -> None:
    tokens = torch.tensor([[BOS, 9, 14, 30, 5]])
    network = tiny_model.network.double()
    zeros = torch.zeros(4, 2, 2, 16, dtype=torch.float64, requires_grad=True)

    def loss(offset: Tensor) -> Tensor:
        """The loss with `offset` (steps, layers, hidden and cell, units) added to the states."""
        state = network.zero_state(1)
        for position, token in enumerate(tokens[0, :-1]):
            x = network.embedding[token][None]
            for number, layer in enumerate(network.layers):
                hidden, cell = state[number]
                step = lstm_step(x, hidden, cell, cell_weights(layer))
                cell = step.cell + offset[position, number, 1]
                x = step.output * torch.tanh(cell) + offset[position, number, 0]
                state[number] = (x, cell)
        features = network.projection(x)
        return cross_entropy(network.logits(features), tokens[:, -1])

    (gradient,) = torch.autograd.grad(loss(zeros), zeros)
    shift = torch.zeros_like(gradient)
    shift[1, 0, 1, 7] = 1e-5
    by_difference = float(loss(shift) - loss(-shift)) / 2e-5
    assert by_difference == pytest.approx(float(gradient[1, 0, 1, 7]), rel=1e-4)

    found = gradient_decay("tiny", network, tokens)
    norms = gradient.square().sum(dim=(1, 2, 3)).sqrt().flip(0)  # last first
    assert found.norms == pytest.approx((norms / norms[0]).tolist())


def test_compare_gradients_adds_fresh_cells(
    tiny_model: ModelBundle, tiny_config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    other = bundle_with_cell("rnn", tiny_config, tiny_model)
    bundles = [replace(tiny_model, path=Path("mine.safetensors")), other]
    before = torch.random.get_rng_state()
    comparison = compare_gradients(bundles, "床前明月光，疑是地上霜。", Options())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (comparison.texts, comparison.generated) == (("床前明月光，疑是地上霜。",), False)
    assert [(decay.model, decay.cell) for decay in comparison.decays] == [
        ("mine", "lstm"),
        ("model", "rnn"),
        (None, "lstm"),
        (None, "gru"),
        (None, "rnn"),
    ]
    assert all((len(decay.norms), decay.norms[0]) == (12, 1.0) for decay in comparison.decays)
    assert not caplog.records


def test_compare_gradients_warns_of_unknown_characters(
    tiny_model: ModelBundle, caplog: pytest.LogCaptureFixture
) -> None:
    compare_gradients([tiny_model], "床前明月光☃", Options())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("model: not in the model's vocabulary")


@pytest.mark.parametrize(
    ("num_steps", "lags"),
    [
        (1, [0]),
        (6, [1, 2, 5]),
        (13, [1, 2, 5, 10, 12]),
        (101, [1, 2, 5, 10, 20, 50, 100]),
    ],
)
def test_lags_include_the_last_common_one(num_steps: int, lags: list[int]) -> None:
    norms = ((1.0,) * num_steps, (0.5,) * 200)
    decays = tuple(GradientDecay("a", "lstm", one) for one in norms)
    assert GradientComparison(("床前",), False, decays).lags == lags


def test_compare_gradients_refuses_short_text(
    tiny_model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="床前明月 is too short"):
        compare_gradients([tiny_model], "床前明月", Options())
    monkeypatch.setattr(gradients, "sample_texts", lambda *_: ["", ""])
    with pytest.raises(UsageError, match="the generated text is too short"):
        compare_gradients([tiny_model], None, Options())


def test_gradient_decay_of_zero_gradient(
    tiny_model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "gradient_norms", lambda *_: [0.0, 0.0])
    found = gradient_decay("certain", tiny_model.network, torch.tensor([[BOS, 9, 14]]))
    assert found.norms == (0.0, 0.0)


def test_sample_texts_have_one_length(tiny_model: ModelBundle) -> None:
    texts = sample_texts(tiny_model, Options(seed=2))
    assert len(texts) == 16
    assert len({len(text) for text in texts}) == 1
    assert texts == sample_texts(tiny_model, Options(seed=2))
    assert texts != sample_texts(tiny_model, Options(seed=2, temperature=0))
