"""Sequential Monte Carlo: several hypotheses of one poem, of which one is drawn at the end.

A particle is a hypothesis with a weight: the product of the probability mass that the constraints left
at each step.  The next token is drawn in proportion to what is left, which is the proposal whose
weights vary least (Doucet, Godsill & Andrieu 2000).  These weights are known before the token is drawn,
so particles are resampled first.  The more particles, the closer the result is to the model's
distribution given the constraints (Del Moral 2004; Doucet & Johansen 2009).

`ParticleFilter` is a search as `decode` uses it; the functions below it are pure.  A particle that met a
dead end has the weight 0.  Weights are products of probabilities, so no logarithm is taken, whose last bits
would differ between machines.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from poetgen.sampling.hypothesis import Hypothesis, PoemTask, SampledToken

_SMALL = 2.0**-500
"""Weights below it are divided by it, a power of two, which changes no bit of their digits."""


class ParticleFilter:
    """The particles of one poem.  Its tokens are known when one of them has been drawn."""

    def __init__(self, task: PoemTask) -> None:
        self.task = task
        self.hypotheses: list[Hypothesis] = []
        self._histories: list[tuple[SampledToken, ...]] = []

    def start(self) -> None:
        """Start all particles from the beginning."""
        num = self.task.options.num_particles
        self.task.num_attempts += 1
        self.hypotheses = [replace(self.task.beginning, weight=1.0) for _ in range(num)]
        self._histories = [() for _ in range(num)]

    def select(self) -> Sequence[int]:
        """Resample where the effective size has fallen below half; return each particle's parent."""
        weights = self._weights()
        num = len(weights)
        if not any(weights):
            return range(num)
        if max(weights) < _SMALL:
            for one in self.hypotheses:
                one.weight = (one.weight or 0.0) / _SMALL
            weights = self._weights()
        if effective_size(weights) >= num / 2:
            return range(num)
        parents = systematic_resample(weights, self.task.random.random())
        self.hypotheses = [replace(self.hypotheses[i], weight=1.0) for i in parents]
        self._histories = [self._histories[i] for i in parents]
        return parents

    def record(self, steps: Sequence[SampledToken | None]) -> Sequence[SampledToken]:
        """Keep each particle's step; once all have ended, return those of one, drawn by weight."""
        for i, step in enumerate(steps):
            if step is not None:
                self._histories[i] += (step,)
        weights = self._weights()
        if not any(weights) or any(one.is_active for one in self.hypotheses):
            return ()
        return self._histories[pick(weights, self.task.random.random())]

    def _weights(self) -> list[float]:
        return [0.0 if one.is_dead else one.weight or 0.0 for one in self.hypotheses]


def effective_size(weights: Sequence[float]) -> float:
    """Return the effective sample size, (Σ weights)² / Σ weights² (Kong, Liu & Wong 1994).

    >>> effective_size([0.5, 0.5, 0.0]), effective_size([1.0, 0.0, 0.0])
    (2.0, 1.0)
    """
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    return 1 / math.fsum(share * share for share in shares)


def systematic_resample(weights: Sequence[float], uniform: float) -> list[int]:
    """Return the parent of each new particle, in order, by systematic resampling.

    A single `uniform` from [0, 1) serves all: K equidistant points are laid over the shares, so a
    particle of share s has K·s children, rounded up or down (Kitagawa 1996; Carpenter et al. 1999).
    """
    num = len(weights)
    return [_at((i + uniform) / num, weights) for i in range(num)]


def pick(weights: Sequence[float], uniform: float) -> int:
    """Return one particle, drawn in proportion to its weight."""
    return _at(uniform, weights)


def _at(point: float, weights: Sequence[float]) -> int:
    """Return the particle at `point` of [0, 1), where the shares lie end to end."""
    alive = [i for i, weight in enumerate(weights) if weight > 0]
    goal = point * math.fsum(weights)
    ends = accumulate(weights[i] for i in alive)
    # Rounding may leave the point beyond the last end.
    return next((i for i, end in zip(alive, ends, strict=True) if goal < end), alive[-1])
