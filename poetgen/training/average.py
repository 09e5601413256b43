"""An exponential moving average of the weights, for validation and for the model file.

Source: Polyak & Juditsky 1992 for the idea; as a moving average over the last steps it takes the noise
of the last learning rates out of the weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from poetgen.model.lstm import PoemLSTM


class WeightAverage:
    """The average of a model's weights over its steps; with `decay` 0 it is off and costs nothing."""

    def __init__(self, model: PoemLSTM, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {}
        if decay:
            self.weights = {name: w.detach().clone() for name, w in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: PoemLSTM, step: int) -> None:
        """Take in the weights after step number `step` (from 1).

        Early on the decay is smaller, (1 + step) / (10 + step), so that the random weights of the
        beginning are soon forgotten.
        """
        if not self.decay:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, weight in model.named_parameters():
            self.weights[name].lerp_(weight, 1 - decay)

    @contextmanager
    def applied_to(self, model: PoemLSTM) -> Iterator[None]:
        """Inside, the model has the averaged weights; afterwards its own again, bit for bit."""
        own = {name: w.data for name, w in model.named_parameters()}
        for name, weight in model.named_parameters():
            weight.data = self.weights.get(name, weight.data)
        try:
            yield
        finally:
            for name, weight in model.named_parameters():
                weight.data = own[name]
