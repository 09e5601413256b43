"""95% intervals: how far a figure of so many poems can be trusted.

Two kinds.  A mean over poems is resampled with replacement.  A figure of the whole sample that counts
repetitions (distinct-n, self-BLEU, Jensen–Shannon) would be biased by that, since resampling itself
repeats poems: there blocks of poems are left out instead.  Every figure here lies between 0 and 1.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")

NUM_RESAMPLES = 2000
NUM_BLOCKS = 20
_TAIL = 0.025  # on each side of 95%
_Z = 1.959964  # the normal's quantile there


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float

    def touches(self, other: "Estimate") -> bool:
        """Whether the intervals have a point in common."""
        return self.low <= other.high and other.low <= self.high


def bootstrap_mean(values: Sequence[float], *, seed: int) -> Estimate:
    """The mean of `values`, each from [0, 1], with the percentile interval of its bootstrap.

    Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.  A sample that is all 0
    or all 1 has nothing to resample: its interval is the exact one of a share that was seen never, or
    always, in n trials (Clopper & Pearson 1934), 1 − 0.025^(1/n) wide.
    """
    sample = np.asarray(values, dtype=np.float64)
    mean, num = float(sample.mean()), len(sample)
    if not sample.any():
        return _never(num)
    if (sample == 1).all():
        return Estimate(1.0, _TAIL ** (1 / num), 1.0)
    chosen = np.random.default_rng(seed).integers(num, size=(NUM_RESAMPLES, num))
    low, high = np.quantile(sample[chosen].mean(axis=1), [_TAIL, 1 - _TAIL])
    # All values alike but for rounding: the mean of a resample may miss the mean by as much.
    return Estimate(mean, min(mean, float(low)), max(mean, float(high)))


def jackknife(
    items: Sequence[T], statistic: Callable[[Sequence[T]], float], *, num_blocks: int = NUM_BLOCKS
) -> Estimate:
    """`statistic` of two or more `items`, with the interval of the delete-a-block jackknife.

    Of g blocks each is left out in turn; with θⱼ the figure without block j and θ̄ their mean, the
    standard error is √((g − 1)/g · Σ (θⱼ − θ̄)²) (Efron & Tibshirani 1993, chapter 11), and the
    interval value ± t · error, t of g − 1 degrees of freedom.  Every g-th item is of one block, so
    items in some order spread evenly over the blocks.  A figure of 0 that no block changes has the upper
    end of `bootstrap_mean`.
    """
    num_blocks = min(num_blocks, len(items))
    value = statistic(items)
    without = [
        statistic([item for i, item in enumerate(items) if i % num_blocks != block])
        for block in range(num_blocks)
    ]
    if not any((value, *without)):
        return _never(len(items))
    mean = math.fsum(without) / num_blocks
    spread = math.fsum((one - mean) ** 2 for one in without)
    error = math.sqrt((num_blocks - 1) / num_blocks * spread)
    reach = t_quantile(num_blocks - 1) * error
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def _never(num: int) -> Estimate:
    """Of what was seen never in `num` trials (Clopper & Pearson 1934)."""
    return Estimate(0.0, 0.0, 1 - _TAIL ** (1 / num))


def t_quantile(freedom: int) -> float:
    """The 97.5% quantile of Student's t: its expansion about the normal's (Abramowitz & Stegun 26.7.5).

    Right to 0.001 from seven degrees of freedom on; too small below.
    """
    z, n = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )
