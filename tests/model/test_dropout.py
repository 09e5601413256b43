"""Dropout outside the recurrence: what is dropped, for how long, and the scaling of the rest."""

from typing import Any

import pytest
import torch

from poetgen.config import Cell, ModelConfig
from poetgen.model.dropout import (
    dropout,
    embedding_dropout,
    variational_dropout,
    weight_dropout,
)
from poetgen.model.network import PoemRNN

RATE = 0.25


def small_network(**settings: Any) -> PoemRNN:
    torch.manual_seed(0)
    no_dropout = {"input_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0}
    return PoemRNN(
        30, ModelConfig(**{"embedding_size": 8, "hidden_size": 8, **no_dropout, **settings})
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5, 0.9])
def test_dropout_scales_what_it_keeps(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    x = torch.ones(101, 7, 333, dtype=dtype, requires_grad=True)  # not a multiple of four values
    out = dropout(x, rate)
    assert out.dtype == dtype
    is_dropped = out == 0
    assert is_dropped.double().mean().item() == pytest.approx(rate, abs=0.004)
    kept = out.detach()[~is_dropped].float()
    assert torch.allclose(
        kept, torch.full_like(kept, 1 / (1 - rate)), rtol=1e-4 if dtype == torch.float32 else 4e-3
    )
    torch.autograd.backward(out.sum())
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())


def test_dropout_masks_are_independent() -> None:
    torch.manual_seed(1)
    first, second = (dropout(torch.ones(300_000), RATE) == 0 for _ in range(2))
    both = (first & second).double().mean().item()
    assert both == pytest.approx(RATE**2, abs=0.004)
    for lag in (1, 2, 3, 4, 64):  # neighbors come from one random word
        both = (first[lag:] & first[:-lag]).double().mean().item()
        assert both == pytest.approx(RATE**2, abs=0.004)


def test_dropout_follows_the_seed() -> None:
    x = torch.randn(50, 3)
    torch.manual_seed(7)
    out = dropout(x, RATE)
    assert not torch.equal(dropout(x, RATE), out)
    torch.manual_seed(7)
    assert torch.equal(dropout(x, RATE), out)


def test_dropout_near_one_stays_finite() -> None:
    assert bool(dropout(torch.ones(1000), 0.9999999).isfinite().all())


def test_variational_dropout_is_equal_over_positions() -> None:
    torch.manual_seed(1)
    out_BTF = variational_dropout(torch.ones(64, 7, 50), RATE)
    assert torch.equal(out_BTF, out_BTF[:, :1].expand_as(out_BTF))
    kept = out_BTF[out_BTF != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - RATE)))
    assert not torch.equal(out_BTF[0], out_BTF[1])
    assert (out_BTF == 0).float().mean().item() == pytest.approx(RATE, abs=0.03)


def test_embedding_dropout_drops_whole_rows() -> None:
    torch.manual_seed(1)
    out_VE = embedding_dropout(torch.ones(2000, 3), RATE)
    assert torch.equal(out_VE, out_VE[:, :1].expand_as(out_VE))
    assert (out_VE == 0).float().mean().item() == pytest.approx(RATE, abs=0.03)
    assert out_VE.max().item() == pytest.approx(1 / (1 - RATE))


def test_weight_dropout_drops_single_weights() -> None:
    torch.manual_seed(1)
    out = weight_dropout(torch.ones(100, 100), RATE)
    assert (out == 0).float().mean().item() == pytest.approx(RATE, abs=0.03)
    assert not torch.equal(out, out[:, :1].expand_as(out))


@pytest.mark.parametrize(
    "rates",
    [
        {"input_dropout": 0.5},
        {"layer_dropout": 0.5},
        {"output_dropout": 0.5},
        {"input_dropout": 0.5, "variational_dropout": True},
        {"embedding_dropout": 0.5},
        {"weight_dropout": 0.5},
    ],
)
def test_each_dropout_acts_in_training_mode_only(rates: dict[str, float | bool]) -> None:
    tokens_BT = torch.randint(4, 30, (3, 6))
    network, plain = small_network(**rates), small_network()
    assert torch.equal(network.eval()(tokens_BT)[0], plain.eval()(tokens_BT)[0])
    network.train()
    assert not torch.equal(network(tokens_BT)[0], network(tokens_BT)[0])


@pytest.mark.parametrize("settings", [{"variational_dropout": True}, {}])
def test_dropout_rate_zero_has_no_effect(settings: dict[str, bool]) -> None:
    tokens_BT = torch.randint(4, 30, (3, 6))
    network = small_network(**settings).train()
    assert torch.equal(network(tokens_BT)[0], small_network().eval()(tokens_BT)[0])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_dropped_weights_get_no_gradient(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[torch.Tensor] = []

    def half(weight: torch.Tensor, _rate: float) -> torch.Tensor:
        mask = torch.zeros_like(weight)
        mask[:, ::2] = 2.0
        masks.append(mask)
        return weight * mask

    monkeypatch.setattr("poetgen.model.network.weight_dropout", half)
    network = small_network(cell=cell, weight_dropout=0.5).train()
    before = [p.clone() for p in network.parameters()]
    torch.autograd.backward(network(torch.randint(4, 30, (3, 6)))[0].pow(2).mean())
    assert len(masks) == 2
    for layer in network.layers:
        gradient = layer.weight_hh_l0.grad
        assert isinstance(gradient, torch.Tensor)
        assert gradient[:, 1::2].abs().max() == 0
        assert gradient[:, ::2].abs().min() > 0
    # The weights are unchanged: only the forward pass saw the dropped ones.
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def test_embedding_dropout_spares_the_tied_output() -> None:
    network = small_network(embedding_dropout=0.9).train()
    features = torch.randn(4, 8)
    assert torch.equal(network.logits(features), network.logits(features))
