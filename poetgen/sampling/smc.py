"""Sequential Monte Carlo: several hypotheses of one poem, of which one is drawn at the end.

A particle is a hypothesis with a weight: the product of the probability mass that the constraints left
at each step.  The next token is drawn in proportion to what is left, which is the proposal whose
weights vary least (Doucet, Godsill & Andrieu 2000).  These weights are known before the token is drawn,
so particles are resampled first.  The more particles, the closer the result is to the model's
distribution given the constraints (Del Moral 2004; Doucet & Johansen 2009).

`ParticleFilter` is a search as `decode` uses it; the functions below it are pure.  A log-weight of −∞
is a particle that met a dead end.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from poetgen.sampling.hypothesis import Hypothesis, PoemTask, SampledToken


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
        self.hypotheses = [replace(self.task.beginning, log_weight=0.0) for _ in range(num)]
        self._histories = [() for _ in range(num)]

    def select(self) -> Sequence[int]:
        """Resample where the effective size has fallen below half; return each particle's parent."""
        log_weights = self._log_weights()
        num = len(log_weights)
        is_dead = max(log_weights) == -math.inf
        if is_dead or effective_size(log_weights) >= num / 2:
            return range(num)
        parents = systematic_resample(log_weights, self.task.random.random())
        self.hypotheses = [replace(self.hypotheses[i], log_weight=0.0) for i in parents]
        self._histories = [self._histories[i] for i in parents]
        return parents

    def record(self, steps: Sequence[SampledToken | None]) -> Sequence[SampledToken]:
        """Keep each particle's step; once all have ended, return those of one, drawn by weight."""
        for i, step in enumerate(steps):
            if step is not None:
                self._histories[i] += (step,)
        log_weights = self._log_weights()
        if max(log_weights) == -math.inf or any(one.is_active for one in self.hypotheses):
            return ()
        return self._histories[pick(log_weights, self.task.random.random())]

    def _log_weights(self) -> list[float]:
        return [-math.inf if one.is_dead else one.log_weight or 0.0 for one in self.hypotheses]


def normalized(log_weights: Sequence[float]) -> list[float]:
    """Return the weights scaled to sum to 1; at least one particle must be alive."""
    largest = max(log_weights)
    assert largest > -math.inf, "all particles are dead"
    weights = [math.exp(w - largest) for w in log_weights]
    total = math.fsum(weights)
    return [w / total for w in weights]


def effective_size(log_weights: Sequence[float]) -> float:
    """Return the effective sample size, 1 / Σ shares² (Kong, Liu & Wong 1994)."""
    return 1 / math.fsum(share**2 for share in normalized(log_weights))


def systematic_resample(log_weights: Sequence[float], uniform: float) -> list[int]:
    """Return the parent of each new particle, in order, by systematic resampling.

    A single `uniform` from [0, 1) serves all: K equidistant points are laid over the shares, so a
    particle of share s has K·s children, rounded up or down (Kitagawa 1996; Carpenter et al. 1999).
    """
    num = len(log_weights)
    return [_at((i + uniform) / num, log_weights) for i in range(num)]


def pick(log_weights: Sequence[float], uniform: float) -> int:
    """Return one particle, drawn in proportion to its weight."""
    return _at(uniform, log_weights)


def _at(point: float, log_weights: Sequence[float]) -> int:
    """Return the particle at `point` of [0, 1), where the shares lie end to end."""
    alive = [i for i, weight in enumerate(log_weights) if weight > -math.inf]
    ends = accumulate(normalized([log_weights[i] for i in alive]))
    # Rounding may leave the point beyond the last end.
    return next((i for i, end in zip(alive, ends, strict=True) if point < end), alive[-1])
