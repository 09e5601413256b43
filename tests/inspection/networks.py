"""Networks with other cells, and activations computed by hand."""

import torch
from torch import Tensor, nn

from poetgen.config import Config
from poetgen.data.vocab import BOS, UNK
from poetgen.model.file import ModelBundle
from poetgen.model.network import PoemRNN

LSTM_SERIES = ("forget", "input", "output", "candidate", "cell", "hidden")
TOKENS = [BOS, 9, 14, 30, 5, UNK, 22]


def bundle_with_cell(cell: str, config: Config, bundle: ModelBundle) -> ModelBundle:
    """An untrained model with another cell and the vocabulary of `bundle`."""
    shape = config.model.model_copy(update={"cell": cell})
    config = config.model_copy(update={"model": shape})
    torch.manual_seed(1)
    network = PoemRNN(len(bundle.vocab), config.model).eval().requires_grad_(False)
    return ModelBundle(network, bundle.vocab, config, "")


def perturb(network: PoemRNN) -> PoemRNN:
    """Add noise to the layers, in place: the gates of a fresh network hardly differ."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in network.layers:
            for weight in layer.parameters():
                weight.add_(torch.randn(weight.shape, generator=random), alpha=0.6)
    return network


def compute_by_hand(network: PoemRNN, tokens: list[int]) -> list[dict[str, Tensor]]:
    """Each layer's series from the weights of `torch.nn`, sliced gate by gate, in float64."""
    inputs = network.embedding[tokens].double()
    layers = []
    for layer in network.layers:
        assert isinstance(layer, nn.LSTM)
        assert isinstance(layer.weight_ih_l0, Tensor)
        assert isinstance(layer.weight_hh_l0, Tensor)
        assert isinstance(layer.bias_ih_l0, Tensor)
        assert isinstance(layer.bias_hh_l0, Tensor)
        w, u = layer.weight_ih_l0.double(), layer.weight_hh_l0.double()
        b = (layer.bias_ih_l0 + layer.bias_hh_l0).double()
        size = network.hidden_size
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
