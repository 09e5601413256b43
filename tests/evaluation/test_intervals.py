"""Intervals, with values computed by hand."""

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from poetgen.evaluation.intervals import (
    Estimate,
    area_under_curve,
    bootstrap_mean,
    jackknife,
    percentile_mean,
    t_quantile,
    wilson_share,
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Means of two resampled values: 0, ½, 1 with probability ¼, ½, ¼.
        ([0.0, 1.0], Estimate(0.5, 0.0, 1.0)),
        # Four values with one 1: mean 0 in (¾)⁴ = 32% of resamples; 1 in 0.4%, ¾ or more in 5.1%.
        ([0.0, 0.0, 1.0, 0.0], Estimate(0.25, 0.0, 0.75)),
        ([0.3, 0.3, 0.3], Estimate(0.3, 0.3, 0.3)),
    ],
)
def test_bootstrap_mean_of_few_values(values: list[float], expected: Estimate) -> None:
    found = bootstrap_mean(values, seed=1)
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def test_bootstrap_mean_approaches_the_normal_interval() -> None:
    found = bootstrap_mean([1.0] * 180 + [0.0] * 20, seed=3)
    # √(0.9 · 0.1 / 200) · 1.96 = 0.0416
    assert found.value == pytest.approx(0.9)
    assert (found.low, found.high) == pytest.approx((0.8584, 0.9416), abs=0.006)


def test_bootstrap_mean_is_reproducible() -> None:
    rng = random.Random(2)
    values = [rng.random() for _ in range(50)]
    assert bootstrap_mean(values, seed=5) == bootstrap_mean(values, seed=5)
    assert bootstrap_mean(values, seed=5) != bootstrap_mean(values, seed=6)


@pytest.mark.parametrize("num", [1, 3, 200])
def test_bootstrap_mean_of_all_zeros_or_ones(num: int) -> None:
    # The largest rate with a 2.5% probability of no success in num trials: (1 − p)^num = 0.025.
    reach = 1 - math.exp(math.log(0.025) / num)
    never, always = (bootstrap_mean([value] * num, seed=1) for value in (0.0, 1.0))
    assert (never.value, never.low, never.high) == pytest.approx((0, 0, reach))
    assert (always.value, always.low, always.high) == pytest.approx((1, 1 - reach, 1))


def mean(items: Sequence[float]) -> float:
    return sum(items) / len(items)


def test_jackknife_of_a_mean_has_its_standard_error() -> None:
    found = jackknife([0.0, 1.0] * 10, mean)
    # s² = 20 · 0.25 / 19; error = √(s²/20) = 0.114708; t with 19 degrees of freedom = 2.0930.
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - 0.24009, 0.5 + 0.24009), abs=1e-4)


def test_jackknife_blocks_hold_every_gth_item() -> None:
    left_out = []

    def statistic(items: Sequence[int]) -> float:
        left_out.append(set(range(6)) - set(items))
        return 0.5

    assert jackknife(range(6), statistic, num_blocks=3) == Estimate(0.5, 0.5, 0.5)
    assert left_out == [set(), {0, 3}, {1, 4}, {2, 5}]


def test_jackknife_interval_is_within_0_and_1() -> None:
    found = jackknife([0.0] * 19 + [1.0], mean)
    assert (found.value, found.low) == (0.05, 0.0)
    assert jackknife([1.0] * 19 + [0.0], mean).high == 1.0


@pytest.mark.parametrize(
    ("freedom", "expected"), [(7, 2.3646), (9, 2.2622), (19, 2.0930), (60, 2.0003)]
)
def test_t_quantile_matches_published_tables(freedom: int, expected: float) -> None:
    assert t_quantile(freedom) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0.1, 0.2), False), ((0.1, 0.3), True), ((0.35, 0.38), True), ((0.6, 0.7), False)],
)
def test_overlaps_includes_a_shared_endpoint(other: tuple[float, float], expected: bool) -> None:
    one = Estimate(0.4, 0.3, 0.5)
    another = Estimate(sum(other) / 2, *other)
    assert one.overlaps(another) is another.overlaps(one) is expected


def test_jackknife_of_all_zeros_has_an_interval() -> None:
    assert jackknife([0.0] * 50, mean) == bootstrap_mean([0.0] * 50, seed=1)


@pytest.mark.parametrize(
    ("num_successes", "num", "low", "high"),
    [
        # Center (p + z²/2n)/(1 + z²/n), z² = 3.8415; without a success the upper end is z²/(n + z²).
        (0, 10, 0.0, 3.841459 / 13.841459),
        (10, 10, 10 / 13.841459, 1.0),
        (5, 10, 0.236593, 0.763407),
        # Center 0.0296036/1.0192073, reach 1.959964 · √(0.000098 + 0.0000240091)/1.0192073.
        (4, 200, 0.007804, 0.050287),
    ],
)
def test_wilson_share_by_hand(num_successes: int, num: int, low: float, high: float) -> None:
    found = wilson_share(num_successes, num)
    assert found.value == num_successes / num
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-6)


def test_wilson_share_covers_a_rare_share() -> None:
    """At p = 0.02 and 200 poems: k = 1 … 7 are covered, that is 93.4% of the samples."""
    share, num = 0.02, 200
    counts = np.random.default_rng(1).binomial(num, share, size=20_000)
    coverage = {"wilson": 0.0, "bootstrap": 0.0}
    for count, times in zip(*np.unique(counts, return_counts=True), strict=True):
        values = [1.0] * int(count) + [0.0] * (num - int(count))
        estimates = {
            "wilson": wilson_share(int(count), num),
            "bootstrap": bootstrap_mean(values, seed=1),
        }
        for name, estimate in estimates.items():
            coverage[name] += (estimate.low <= share <= estimate.high) * times / len(counts)
    assert coverage["wilson"] == pytest.approx(0.934, abs=0.006)
    assert coverage["bootstrap"] < coverage["wilson"] - 0.02, coverage


def test_percentile_mean_of_negative_values() -> None:
    found = percentile_mean([-1.0, -3.0], seed=1)
    assert (found.value, found.low, found.high) == (-2, -3, -1)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(2.0, 1.0), (4.0, 3.0)], 0.75),  # 2 > 1, 4 > 1, 4 > 3, but not 2 > 3
        ([(1.0, 1.0), (1.0, 1.0)], 0.5),
        ([(5.0, 0.0), (6.0, 1.0), (7.0, 2.0)], 1.0),
    ],
)
def test_area_under_curve_by_hand(pairs: list[tuple[float, float]], expected: float) -> None:
    assert area_under_curve(pairs).value == expected


def test_area_under_curve_has_an_interval() -> None:
    # Components: above = (½, 1), below = (1, ½), whose sums are equal: pairs without any spread.
    assert area_under_curve([(2.0, 1.0), (4.0, 3.0)]) == Estimate(0.75, 0.75, 0.75)
    found = area_under_curve([(0.0, 1.0), (3.0, 1.0), (3.0, 1.0), (3.0, 1.0)])
    # above = (0, 1, 1, 1), below = ¾ each: variance of the sums ¼, error √(¼/4) = ¼.
    assert (found.value, found.high) == (0.75, 1.0)
    assert found.low == pytest.approx(0.75 - 1.959964 / 4)


def test_area_under_curve_covers_the_probability() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        shared = rng.standard_normal(100)
        seconds = 0.5 * shared + rng.standard_normal(100)
        firsts = 0.5 * shared + rng.standard_normal(100) + 0.5
        found = area_under_curve(list(zip(firsts, seconds, strict=True)))
        # P(first > second) of independent pairs: Φ(0.5 / √2.5) = 0.6241.
        covered += found.low <= 0.6241 <= found.high
    assert 0.92 <= covered / 400 <= 0.98
