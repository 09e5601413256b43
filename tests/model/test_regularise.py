"""Dropout that leaves the recurrence alone: what is dropped, for how long, and that sums are kept."""

import pytest
import torch

from poetgen.model.lstm import PoemLSTM
from poetgen.model.regularise import embedding_dropout, locked_dropout, weight_dropout

RATE = 0.25


def network(**rates: float | bool) -> PoemLSTM:
    torch.manual_seed(0)
    return PoemLSTM(30, embedding_size=8, hidden_size=8, num_layers=2, **rates)  # type: ignore[arg-type]


def test_locked_dropout_drops_a_feature_at_every_place_of_a_row() -> None:
    torch.manual_seed(1)
    out_BTF = locked_dropout(torch.ones(64, 7, 50), RATE)
    assert torch.equal(out_BTF, out_BTF[:, :1].expand_as(out_BTF))
    kept = out_BTF[out_BTF != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - RATE)))
    assert not torch.equal(out_BTF[0], out_BTF[1])
    assert (out_BTF == 0).float().mean().item() == pytest.approx(RATE, abs=0.03)


def test_embedding_dropout_drops_whole_characters() -> None:
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
        {"input_dropout": 0.5, "locked": True},
        {"embedding_dropout": 0.5},
        {"weight_dropout": 0.5},
    ],
)
def test_each_kind_acts_in_training_alone(rates: dict[str, float | bool]) -> None:
    tokens_BT = torch.randint(4, 30, (3, 6))
    model, plain = network(**rates), network()
    assert torch.equal(model.eval()(tokens_BT)[0], plain.eval()(tokens_BT)[0])
    model.train()
    assert not torch.equal(model(tokens_BT)[0], model(tokens_BT)[0])


@pytest.mark.parametrize("rate", ["locked", "layer_dropout"])
def test_a_zero_turns_it_off(rate: str) -> None:
    tokens_BT = torch.randint(4, 30, (3, 6))
    model = network(**{rate: rate == "locked"}).train()
    assert torch.equal(model(tokens_BT)[0], network().eval()(tokens_BT)[0])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_dropped_recurrent_weights_get_no_gradient_and_the_others_do(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[torch.Tensor] = []

    def half(weight: torch.Tensor, _rate: float) -> torch.Tensor:
        mask = torch.zeros_like(weight)
        mask[:, ::2] = 2.0
        masks.append(mask)
        return weight * mask

    monkeypatch.setattr("poetgen.model.lstm.weight_dropout", half)
    torch.manual_seed(0)
    model = PoemLSTM(30, cell=cell, embedding_size=8, hidden_size=8, weight_dropout=0.5).train()
    before = [p.clone() for p in model.parameters()]
    torch.autograd.backward(model(torch.randint(4, 30, (3, 6)))[0].pow(2).mean())
    assert len(masks) == 2
    for layer in model.layers:
        gradient = layer.weight_hh_l0.grad
        assert isinstance(gradient, torch.Tensor)
        assert gradient[:, 1::2].abs().max() == 0
        assert gradient[:, ::2].abs().min() > 0
    # The weights themselves are as they were: only this pass saw the dropped ones.
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_embedding_dropout_leaves_the_tied_output_whole() -> None:
    model = network(embedding_dropout=0.9).train()
    features = torch.randn(4, 8)
    assert torch.equal(model.logits(features), model.logits(features))
