"""Intervals, with values computed by hand."""

import math
import random
from collections.abc import Sequence

import pytest

from poetgen.evaluation.intervals import Estimate, bootstrap_mean, jackknife, t_quantile


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
