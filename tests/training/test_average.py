"""The moving average of the weights, by hand."""

import pytest
import torch

from poetgen.model.lstm import PoemLSTM
from poetgen.training.average import WeightAverage


@pytest.fixture
def model() -> PoemLSTM:
    torch.manual_seed(0)
    return PoemLSTM(12, embedding_size=4, hidden_size=4, num_layers=1)


def fill(model: PoemLSTM, value: float) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(value)


def values(model: PoemLSTM) -> set[float]:
    return {round(x, 4) for weight in model.parameters() for x in weight.flatten().tolist()}


def test_the_average_follows_its_equation(model: PoemLSTM) -> None:
    fill(model, 0.0)
    average = WeightAverage(model, 0.2)
    fill(model, 1.0)
    average.update(model, 1)  # decay min(.2, 2/11) = .1818: 0 × .1818 + 1 × .8182
    with average.applied_to(model):
        assert values(model) == {0.8182}
    fill(model, 2.0)
    average.update(model, 2)  # decay min(.2, 3/12) = .2: .8182 × .2 + 2 × .8
    with average.applied_to(model):
        assert values(model) == {1.7636}


def test_the_model_has_its_own_weights_again_afterwards(model: PoemLSTM) -> None:
    average = WeightAverage(model, 0.9)
    fill(model, 3.0)
    average.update(model, 50)
    parameters = list(model.parameters())
    with average.applied_to(model):
        assert values(model) != {3.0}
    assert values(model) == {3.0}
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))


def test_a_zero_turns_it_off(model: PoemLSTM) -> None:
    average = WeightAverage(model, 0.0)
    assert average.weights == {}
    fill(model, 5.0)
    average.update(model, 1)
    with average.applied_to(model):
        assert values(model) == {5.0}
