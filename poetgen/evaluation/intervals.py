"""95% confidence intervals of metrics.

A share of poems has a Wilson interval: the bootstrap of a rare share is too narrow (at p = 0.02 and 200
poems it covers p in 91% of the samples, that of Wilson in 93%).  Any other mean over poems is
bootstrapped.  A metric of the whole sample that counts repetitions (distinct-n, self-BLEU,
Jensen–Shannon) would be biased by that, because resampling repeats poems: there a jackknife deletes
blocks of poems instead.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Floats: TypeAlias = NDArray[np.float64]

NUM_RESAMPLES = 2000
NUM_BLOCKS = 20
NUM_DIGITS = 5
"""Decimals of a reported value."""
_TAIL = 0.025  # on each side of 95%
_Z = 1.959964  # the normal quantile there


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% interval."""

    value: float
    low: float
    high: float

    def overlaps(self, other: "Estimate") -> bool:
        """Whether the intervals have a point in common."""
        return self.low <= other.high and other.low <= self.high

    def rounded(self) -> "Estimate":
        """Return the estimate to `NUM_DIGITS`, as reported."""
        return Estimate(*(round(part, NUM_DIGITS) for part in (self.value, self.low, self.high)))


def wilson_share(num_successes: int, num: int) -> Estimate:
    """Return the share of `num_successes` in `num` trials, with the score interval of Wilson (1927).

    Brown, Cai & DasGupta 2001 recommend it for small samples and rare events.

    >>> wilson_share(0, 200).rounded()
    Estimate(value=0.0, low=0.0, high=0.01885)
    """
    share, z2 = num_successes / num, _Z**2
    center = (share + z2 / (2 * num)) / (1 + z2 / num)
    reach = _Z * math.sqrt(share * (1 - share) / num + z2 / (4 * num**2)) / (1 + z2 / num)
    # Without a success (or a failure) an end is exactly the share; rounding can move it past.
    return Estimate(
        share, max(0.0, min(share, center - reach)), min(1.0, max(share, center + reach))
    )


def bootstrap_mean(values: Sequence[float], *, seed: int) -> Estimate:
    """Return the mean of `values`, each in [0, 1], with the percentile interval of its bootstrap.

    Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.  A sample that is all 0
    or all 1 has no spread to resample: its interval is the exact one of Clopper & Pearson (1934) for
    0 or n successes in n trials, of width 1 − 0.025^(1/n).
    """
    sample = np.asarray(values, dtype=np.float64)
    num = len(sample)
    if not sample.any():
        return _zero_estimate(num)
    if (sample == 1).all():
        return Estimate(1.0, _TAIL ** (1 / num), 1.0)
    return percentile_mean(sample, seed=seed)


def percentile_mean(values: Sequence[float] | Floats, *, seed: int) -> Estimate:
    """Return the mean of `values`, which may lie anywhere, with its percentile interval."""
    sample = np.asarray(values, dtype=np.float64)
    mean, num = float(sample.mean()), len(sample)
    chosen = np.random.default_rng(seed).integers(num, size=(NUM_RESAMPLES, num))
    low, high = np.quantile(sample[chosen].mean(axis=1), [_TAIL, 1 - _TAIL])
    # Equal values: rounding can move the mean of a resample past the mean of the sample.
    return Estimate(mean, min(mean, float(low)), max(mean, float(high)))


def jackknife(
    items: Sequence[T], statistic: Callable[[Sequence[T]], float], *, num_blocks: int = NUM_BLOCKS
) -> Estimate:
    """Return `statistic` of two or more `items`, with the interval of the delete-a-block jackknife.

    With θⱼ the statistic without block j of g blocks and θ̄ their mean, the standard error is
    √((g − 1)/g · Σ (θⱼ − θ̄)²) (Efron & Tibshirani 1993, chapter 11) and the interval is
    value ± t · error, t with g − 1 degrees of freedom.  Block j holds every g-th item, so sorted items
    spread evenly.  A statistic that is 0 with and without each block gets the upper end of
    `bootstrap_mean`.
    """
    num_blocks = min(num_blocks, len(items))
    value = statistic(items)
    without = [
        statistic([item for i, item in enumerate(items) if i % num_blocks != block])
        for block in range(num_blocks)
    ]
    if not any((value, *without)):
        return _zero_estimate(len(items))
    mean = math.fsum(without) / num_blocks
    spread = math.fsum((one - mean) ** 2 for one in without)
    error = math.sqrt((num_blocks - 1) / num_blocks * spread)
    reach = t_quantile(num_blocks - 1) * error
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def area_under_curve(pairs: Sequence[tuple[float, float]]) -> Estimate:
    """Return the probability that a first value exceeds a second one, ties counted half.

    It is the area under the ROC curve of a classifier by this value.  The variance is that of DeLong et
    al. 1988; the two values of a pair may depend on each other, so it is computed from the sums of both
    components of a pair.  Needs two pairs or more.

    >>> area_under_curve([(2.0, 1.0), (4.0, 3.0)]).value
    0.75
    """
    firsts, seconds = np.asarray(pairs, dtype=np.float64).T
    above, below = _shares_below(firsts, seconds), 1 - _shares_below(seconds, firsts)
    area, num = float(above.mean()), len(pairs)
    error = math.sqrt(float((above + below).var(ddof=1)) / num)
    reach = _Z * error
    return Estimate(area, max(0.0, area - reach), min(1.0, area + reach))


def _shares_below(values: Floats, others: Floats) -> Floats:
    """Return, for each of `values`, the share of `others` below it, those equal to it counted half."""
    ordered = np.sort(others)
    counts = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right")
    return np.asarray(counts / (2 * len(others)), dtype=np.float64)


def _zero_estimate(num: int) -> Estimate:
    """Return the estimate for 0 successes in `num` trials (Clopper & Pearson 1934)."""
    return Estimate(0.0, 0.0, 1 - _TAIL ** (1 / num))


def t_quantile(freedom: int) -> float:
    """Return the 97.5% quantile of Student's t, expanded about the normal quantile.

    Abramowitz & Stegun 26.7.5.  Accurate to 0.001 for seven or more degrees of freedom; too small
    below.
    """
    z, n = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )
