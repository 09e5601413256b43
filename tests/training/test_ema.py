"""The moving average of the weights, compared with values by hand."""

import pytest
import torch

from poetgen.config import ModelConfig
from poetgen.model.network import PoemRNN
from poetgen.training.ema import WeightEMA


@pytest.fixture
def network() -> PoemRNN:
    torch.manual_seed(0)
    return PoemRNN(12, ModelConfig(embedding_size=4, hidden_size=4, num_layers=1))


def fill(network: PoemRNN, value: float) -> None:
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(value)


def values(network: PoemRNN) -> set[float]:
    return {round(x, 4) for weight in network.parameters() for x in weight.flatten().tolist()}


def test_ema_follows_its_equation(network: PoemRNN) -> None:
    fill(network, 0.0)
    ema = WeightEMA(network, 0.2)
    fill(network, 1.0)
    ema.update(network, 1)  # decay min(.2, 2/11) = .1818: 0 × .1818 + 1 × .8182
    with ema.applied_to(network):
        assert values(network) == {0.8182}
    fill(network, 2.0)
    ema.update(network, 2)  # decay min(.2, 3/12) = .2: .8182 × .2 + 2 × .8
    with ema.applied_to(network):
        assert values(network) == {1.7636}


def test_applied_to_restores_the_own_weights(network: PoemRNN) -> None:
    ema = WeightEMA(network, 0.9)
    fill(network, 3.0)
    ema.update(network, 50)
    parameters = list(network.parameters())
    with ema.applied_to(network):
        assert values(network) != {3.0}
    assert values(network) == {3.0}
    assert all(a is b for a, b in zip(parameters, network.parameters(), strict=True))


def test_ema_with_decay_zero_is_off(network: PoemRNN) -> None:
    ema = WeightEMA(network, 0.0)
    assert ema.weights == {}
    fill(network, 5.0)
    ema.update(network, 1)
    with ema.applied_to(network):
        assert values(network) == {5.0}
