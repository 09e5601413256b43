"""Norms of gradients, against numbers worked out by hand and against nudged states."""

import pytest
import torch
from rich.console import Console
from torch import Tensor
from torch.nn.functional import cross_entropy

from poetgen.config import Config
from poetgen.data.vocab import BOS
from poetgen.errors import UsageError
from poetgen.inspection import gradients
from poetgen.inspection.gradients import (
    Reach,
    check_length,
    compare,
    lags,
    norms_back,
    own_texts,
    reach,
)
from poetgen.inspection.plot import reach_figure
from poetgen.inspection.render import gradient_table
from poetgen.model.cell import lstm_step
from poetgen.model.lstm import cell_weights
from poetgen.model.store import StoredModel, new_model
from poetgen.sampling.request import Settings


def test_norms_of_a_chain_by_hand() -> None:
    # s1 = 2·s0, s2 = 3·s1, loss = Σ s2 over rows: the gradients are 1, 3 and 6 in each component.
    first = torch.ones(5, 4, requires_grad=True)
    second = 2 * first
    third = 3 * second
    expected = [1.0 * 2, 3.0 * 2, 6.0 * 2]  # times √4 components
    assert norms_back(third.sum(), [[first], [second], [third]]) == pytest.approx(expected)


def test_several_parts_count_as_one_vector() -> None:
    a, b = torch.ones(1, 1, requires_grad=True), torch.ones(1, 1, requires_grad=True)
    assert norms_back((3 * a + 4 * b).sum(), [[a, b]]) == pytest.approx([5.0])
    assert norms_back((3 * a).sum(), [[a, b], [b]]) == [0.0, 3.0]


def test_the_reach_of_a_model_is_that_of_a_nudge_to_each_state(tiny_model: StoredModel) -> None:
    tokens = torch.tensor([[BOS, 9, 14, 30, 5]])
    model = tiny_model.model.double()
    nudges = torch.zeros(4, 2, 2, 16, dtype=torch.float64, requires_grad=True)

    def loss(nudge: Tensor) -> Tensor:
        """The loss with `nudge` (steps, layers, hidden and cell, units) added to the states."""
        state = model.zero_state(1)
        for place, token in enumerate(tokens[0, :-1]):
            x = model.embedding[token][None]
            for number, layer in enumerate(model.layers):
                hidden, cell = state[number]
                step = lstm_step(x, hidden, cell, cell_weights(layer))
                cell = step.cell + nudge[place, number, 1]
                x = step.output * torch.tanh(cell) + nudge[place, number, 0]
                state[number] = (x, cell)
        features = x if model.projection is None else model.projection(x)
        return cross_entropy(model.logits(features), tokens[:, -1])

    (gradient,) = torch.autograd.grad(loss(nudges), nudges)
    bump = torch.zeros_like(gradient)
    bump[1, 0, 1, 7] = 1e-5
    by_difference = float(loss(bump) - loss(-bump)) / 2e-5
    assert by_difference == pytest.approx(float(gradient[1, 0, 1, 7]), rel=1e-4)

    found = reach("tiny", model, tokens)
    norms = gradient.square().sum(dim=(1, 2, 3)).sqrt().flip(0)  # last first
    assert found.norms == pytest.approx((norms / norms[0]).tolist())


def test_fresh_cells_stand_beside_the_trained_ones(
    tiny_model: StoredModel, tiny_config: Config
) -> None:
    shape = tiny_config.model.model_copy(update={"cell": "rnn"})
    config = tiny_config.model_copy(update={"model": shape})
    other = StoredModel(new_model(config, tiny_model.vocab), tiny_model.vocab, config, "")
    texts = ["床前明月光，疑是地上霜。", "白日依山尽，黄河入海流。"]
    before = torch.random.get_rng_state()
    reaches = compare([("mine", tiny_model), ("plain", other)], texts)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [one.name for one in reaches] == [
        "mine (lstm, trained)",
        "plain (rnn, trained)",
        "lstm, fresh",
        "gru, fresh",
        "rnn, fresh",
    ]
    assert all((len(one.norms), one.norms[0]) == (12, 1.0) for one in reaches)


def test_the_last_lag_is_always_told() -> None:
    assert lags(1) == [0]
    assert lags(6) == [1, 2, 5]
    assert lags(13) == [1, 2, 5, 10, 12]
    assert lags(101) == [1, 2, 5, 10, 20, 50, 100]


@pytest.mark.parametrize(("width", "shown"), [(80, [1, 2, 5, 10, 20, 50, 99]), (40, [1, 20, 99])])
def test_a_row_per_curve_fits_the_terminal(width: int, shown: list[int]) -> None:
    reaches = [
        Reach(name, tuple(0.5**k for k in range(100)))
        for name in ("tang (lstm, trained)", "rnn, fresh")
    ]
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(gradient_table(reaches, width=width))
    head, *rows = [line.rstrip() for line in capture.get().splitlines()]
    assert [int(word) for word in head.split()[2:]] == shown
    assert all(len(row) <= width for row in rows)
    last = next(row for row in rows if row.startswith("rnn, fresh"))
    assert last.split()[2:] == [f"{0.5**k:.1e}" for k in shown]


def test_too_short_a_text_is_refused() -> None:
    check_length("床前明月光")
    for text in ("", "床前明月"):
        with pytest.raises(UsageError, match="too short"):
            check_length(text)


def test_a_gradient_of_nothing_is_nothing(
    tiny_model: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "norms_back", lambda *_: [0.0, 0.0])
    found = reach("sure of itself", tiny_model.model, torch.tensor([[BOS, 9, 14]]))
    assert found.norms == (0.0, 0.0)


def test_texts_of_its_own_have_one_length(tiny_model: StoredModel) -> None:
    texts = own_texts(tiny_model, 2, Settings())
    assert len(texts) == 16
    assert len({len(text) for text in texts}) == 1
    assert texts == own_texts(tiny_model, 2, Settings())
    assert texts != own_texts(tiny_model, 2, Settings(0.0))


def test_the_figure_has_a_line_per_curve(tiny_model: StoredModel) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (the extra `plot`) is not installed")
    figure = reach_figure(compare([("mine", tiny_model)], ["床前明月光"]))
    assert len(figure.axes[0].lines) == 4
