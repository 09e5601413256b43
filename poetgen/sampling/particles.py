"""Sequential Monte Carlo: which of a poem's particles go on, and which one is the poem.

A particle is a continuation of a poem, written under a mask.  Its weight is the product of what the
model gave, at each step, to the ids that the mask left; the next id is drawn from those in proportion,
which is the proposal whose weights vary least (Doucet, Godsill & Andrieu 2000).  These weights are known
before the id is drawn, so particles are resampled first and draw afterwards, each for itself.  Then the
particles stand for the model's distribution given the constraint, and the better the more they are (Del
Moral 2004; Doucet & Johansen 2009).

Pure functions of log-weights; −∞ is a particle that met a dead end.
"""

import math
from collections.abc import Sequence
from itertools import accumulate


def shares(log_weights: Sequence[float]) -> list[float]:
    """The weights scaled to sum to 1; none may be had of particles that are all dead."""
    most = max(log_weights)
    assert most > -math.inf, "all particles are dead"
    weights = [math.exp(w - most) for w in log_weights]
    whole = math.fsum(weights)
    return [w / whole for w in weights]


def effective_size(log_weights: Sequence[float]) -> float:
    """How many equal particles are worth as much: 1 / Σ shares² (Kong, Liu & Wong 1994)."""
    return 1 / math.fsum(share**2 for share in shares(log_weights))


def resample(log_weights: Sequence[float], uniform: float) -> list[int]:
    """For each particle to be, in order, the one that it goes on from: systematic resampling.

    One number from [0, 1) serves all: K points at equal distances are laid over the shares, so a
    particle of share s has K·s children, rounded up or down (Kitagawa 1996; Carpenter et al. 1999).
    """
    num = len(log_weights)
    return [_at((i + uniform) / num, log_weights) for i in range(num)]


def pick(log_weights: Sequence[float], uniform: float) -> int:
    """One particle, in proportion to its weight."""
    return _at(uniform, log_weights)


def _at(point: float, log_weights: Sequence[float]) -> int:
    """The particle at `point` of [0, 1) where the shares lie side by side."""
    alive = [i for i, weight in enumerate(log_weights) if weight > -math.inf]
    ends = accumulate(shares([log_weights[i] for i in alive]))
    # Rounding may leave the point behind the last end.
    return next((i for i, end in zip(alive, ends, strict=True) if point < end), alive[-1])
