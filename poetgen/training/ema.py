"""An exponential moving average (EMA) of the weights, used for validation and for the model file.

Averaging over recent steps removes the noise of the last updates (Polyak & Juditsky 1992).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from poetgen.model.network import PoemRNN


class WeightEMA:
    """The EMA of a network's weights; a `decay` of 0 turns it off.

    ema = WeightEMA(network, decay=0.999)
    ema.update(network, step)  # after every optimizer step
    with ema.applied_to(network):
        validate(network)
    """

    def __init__(self, network: PoemRNN, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {}
        if decay:
            self.weights = {name: w.detach().clone() for name, w in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: PoemRNN, step: int) -> None:
        """Average in the weights after step `step` (from 1).

        Early steps use a smaller decay, (1 + step) / (10 + step), to forget the random initial weights
        quickly.
        """
        if not self.decay:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, weight in network.named_parameters():
            self.weights[name].lerp_(weight, 1 - decay)

    @contextmanager
    def applied_to(self, network: PoemRNN) -> Iterator[None]:
        """Give `network` the averaged weights inside the block and restore its own, bit for bit, after."""
        own = {name: w.data for name, w in network.named_parameters()}
        for name, weight in network.named_parameters():
            weight.data = self.weights.get(name, weight.data)
        try:
            yield
        finally:
            for name, weight in network.named_parameters():
                weight.data = own[name]
