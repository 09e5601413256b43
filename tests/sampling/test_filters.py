"""Filters against distributions computed by hand."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poetgen.engine.softmax import Float64, column_sums
from poetgen.sampling.filters import (
    Distribution,
    Filter,
    Mask,
    distributions,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    shares,
)
from poetgen.sampling.options import Options

BELOW_ONE = math.nextafter(1, 0)
NUM_POINTS = 1000


def rows(*values: Sequence[float]) -> Float64:
    return np.array(values, np.float64)


def is_close(found: Float64, *expected: Sequence[float]) -> bool:
    return np.allclose(found, rows(*expected), rtol=1e-9, atol=0)


def frequencies(
    logits: Sequence[float], allowed: Sequence[bool] = (), **options: Any
) -> list[float]:
    """Return how often each id is drawn with equidistant numbers: its probability ± 1 / NUM_POINTS."""
    own = Filter.of(Options(**{"temperature": 1, **options}))
    mask_V = np.array(list(allowed) or [True] * len(logits))
    points = [(i + 0.5) / NUM_POINTS for i in range(NUM_POINTS)]
    drawn = sample_rows(
        rows(*[logits] * NUM_POINTS), [mask_V] * NUM_POINTS, [own] * NUM_POINTS, points
    )
    return [float(share) for share in np.bincount(drawn, minlength=len(logits)) / NUM_POINTS]


def sample_rows(
    logits_BV: Float64,
    allowed: Sequence[Mask],
    filters: Sequence[Filter],
    uniforms: Sequence[float],
) -> list[int]:
    found = distributions(logits_BV, allowed, filters)
    return [one.draw(u) for one, u in zip(found, uniforms, strict=True) if one is not None]


def draw(weights_BN: Float64, uniforms: Sequence[float]) -> list[int]:
    ends_BC = column_sums(weights_BN).cumsum(axis=1)
    ids_N = np.arange(weights_BN.shape[1])
    each = zip(weights_BN, ends_BC, uniforms, strict=True)
    return [Distribution(ids_N, w_N, ends_C, 0, 0).draw(u) for w_N, ends_C, u in each]


def about(*expected: float) -> Any:
    return pytest.approx(expected, abs=1.01 / NUM_POINTS)


# Logits whose exponentials are 1, 2 and 4.
LOGITS = [0.0, math.log(2), math.log(4)]


# --- Temperature -----------------------------------------------------------------------------------


def allowed_shares(
    logits_BV: Float64,
    allowed: Sequence[Mask],
    among: Sequence[Mask],
    temperatures: Sequence[float],
) -> list[float]:
    filters = [Filter(one) for one in temperatures]
    parts, wholes = (distributions(logits_BV, masks, filters) for masks in (allowed, among))
    return shares(parts, wholes, temperatures)


def shares_left(
    logits: Sequence[float], allowed: Sequence[bool], among: Sequence[bool], temperature: float
) -> float:
    (share,) = allowed_shares(rows(logits), [np.array(allowed)], [np.array(among)], [temperature])
    return share


ALL = [True] * 3


def test_allowed_shares_are_probabilities() -> None:
    assert shares_left(LOGITS, ALL, ALL, 1) == 1
    assert shares_left(LOGITS, [True, False, True], ALL, 1) == pytest.approx(5 / 7, abs=1e-3)
    assert shares_left(LOGITS, [True, False, True], ALL, 0.5) == pytest.approx(17 / 21, abs=1e-3)
    assert shares_left(LOGITS, [True, False, False], [True, True, False], 2) == pytest.approx(
        1 / (1 + math.sqrt(2)), abs=1e-3
    )
    assert shares_left(LOGITS, [False] * 3, ALL, 1) == 0


def test_allowed_shares_of_what_is_hardly_probable() -> None:
    share = shares_left([0.0, 500.0, 1000.0], [True, False, False], ALL, 2)
    assert share == pytest.approx(math.exp(-500), rel=1e-6)
    assert 0 < shares_left([0.0, 5000.0, 0.0], [True, False, False], ALL, 1e-320) < 1e-300


def test_allowed_shares_of_each_row() -> None:
    masks = [np.array(one) for one in ([True, False, False], ALL, [False, False, True])]
    among = [np.array(ALL)] * 3
    found = allowed_shares(rows(*[LOGITS] * 3), masks, among, [1, 1, 0.5])
    assert found == pytest.approx([1 / 7, 1, 16 / 21], abs=1e-3)
    assert found == [
        shares_left(LOGITS, mask_V.tolist(), ALL, temperature)
        for mask_V, temperature in zip(masks, [1, 1, 0.5], strict=True)
    ]


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (1, [1 / 7, 2 / 7, 4 / 7]),
        (0.5, [1 / 21, 4 / 21, 16 / 21]),
        (Fraction(1, 2), [1 / 21, 4 / 21, 16 / 21]),
        (np.float32(0.5), [1 / 21, 4 / 21, 16 / 21]),
        (0, [0, 0, 1]),
        (1e-320, [0, 0, 1]),
    ],
)
def test_sample_rows_at_a_temperature(temperature: float, expected: list[float]) -> None:
    assert frequencies(LOGITS, temperature=temperature) == about(*expected)


def test_sample_rows_draws_only_what_is_allowed() -> None:
    assert frequencies(LOGITS, [True, True, False]) == about(1 / 3, 2 / 3, 0)
    assert frequencies([0.0, 900.0, 0.0], [True, False, True]) == about(0.5, 0, 0.5)
    assert frequencies([0.0, -900.0, 0.0], [False, True, False]) == [0, 1, 0]
    assert frequencies([1.0, 3.0, 2.0], [True, False, True], temperature=0) == [0, 0, 1]


def test_sample_rows_at_temperature_0_takes_the_first_of_the_largest() -> None:
    assert frequencies([1.0, 3.0, 3.0, 3.0], temperature=0) == [0, 1, 0, 0]
    assert frequencies([1.0, 3.0, 3.0, 3.0], [True, False, True, True], temperature=0) == [
        0,
        0,
        1,
        0,
    ]
    # Nearly equal is not equal.
    assert frequencies([1.0, math.nextafter(1, 2)], temperature=0) == [0, 1]


# --- Filters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (0, [1, 4, 2, 3]),
        (1, [0, 4, 0, 0]),
        (2, [0, 4, 0, 3]),
        (3, [0, 4, 2, 3]),
        (4, [1, 4, 2, 3]),
        (10**400, [1, 4, 2, 3]),
    ],
)
def test_keep_top_k_keeps_the_k_likeliest(k: int, expected: list[float]) -> None:
    weights = rows([1, 4, 2, 3])
    keep_top_k(weights, k)
    assert weights.tolist() == [expected]


def test_keep_top_k_keeps_ties_with_the_last() -> None:
    weights = rows([2, 4, 2, 2, 1], [3, 1, 4, 3, 2])
    keep_top_k(weights, 2)
    assert weights.tolist() == [[2, 4, 2, 2, 0], [3, 0, 4, 3, 0]]


def test_keep_top_k_beyond_what_is_allowed() -> None:
    weights = rows([0, 4, 0, 3])
    keep_top_k(weights, 3)
    assert weights.tolist() == [[0, 4, 0, 3]]


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1e-9, [0, 10, 0, 0]),
        (0.5, [0, 10, 0, 0]),
        (0.51, [0, 10, 5, 0]),
        (0.75, [0, 10, 5, 0]),
        (0.8, [3, 10, 5, 0]),
        (0.95, [3, 10, 5, 2]),
        (1, [3, 10, 5, 2]),
    ],
)
def test_keep_top_p_keeps_the_fewest_that_reach_p(p: float, expected: list[float]) -> None:
    weights = rows([3, 10, 5, 2])  # of 20
    keep_top_p(weights, p)
    assert weights.tolist() == [expected]


def test_keep_top_p_keeps_ties_with_the_last() -> None:
    weights = rows([1, 2, 1, 1, 0.5], [2, 2, 2, 1, 1])
    keep_top_p(weights, 0.5)
    assert weights.tolist() == [[1, 2, 1, 1, 0], [2, 2, 2, 0, 0]]


def test_top_p_of_1_keeps_the_whole_tail() -> None:
    # 1 + 1e-17 is rounded to 1, so the sum of the likeliest alone reaches any p.
    weights = rows([1, 1e-17, 1e-18])
    keep_top_p(weights, 0.5)
    assert weights.tolist() == [[1, 0, 0]]
    tail = [*[math.log(1e-13)] * 3, 0.0]
    assert sample_rows(rows(tail), [np.array([True] * 4)], [Filter(1)], [2.5e-13]) == [2]


whole_weights = st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(any)


@given(weights=whole_weights, p=st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_keep_top_p_keeps_enough_and_no_more(weights: list[int], p: float) -> None:
    filtered = rows(weights)
    keep_top_p(filtered, p)
    kept = filtered[filtered > 0]
    goal = p * sum(weights)
    assert kept.sum() >= goal - 1e-9
    assert kept[kept > kept.min()].sum() < goal + 1e-9
    assert kept.min() > max(
        (w for w, left in zip(weights, filtered[0], strict=True) if not left), default=0
    )


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0, [5, 10, 4, 1]),
        (0.1, [5, 10, 4, 1]),
        (0.4, [5, 10, 4, 0]),
        (0.5, [5, 10, 0, 0]),
        (0.6, [0, 10, 0, 0]),
        (1, [0, 10, 0, 0]),
    ],
)
def test_keep_min_p_is_a_share_of_the_likeliest(share: float, expected: list[float]) -> None:
    weights = rows([5, 10, 4, 1])
    keep_min_p(weights, share)
    assert weights.tolist() == [expected]


def test_keep_min_p_of_each_row() -> None:
    weights = rows([5, 10, 4, 1], [7, 7, 0, 1])
    keep_min_p(weights, 0.5)
    assert weights.tolist() == [[5, 10, 0, 0], [7, 7, 0, 0]]


@pytest.mark.parametrize("name", ["top_p", "min_p"])
def test_filters_take_any_number(name: str) -> None:
    values: list[dict[str, Any]] = [{name: Fraction(1, 2)}, {name: 0.5}, {}]
    exact, real, free = (frequencies(LOGITS, **one) for one in values)
    assert exact == real != free


# --- The draw --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uniform", "expected"),
    [
        (0, 0),
        (math.nextafter(0.25, 0), 0),
        (0.25, 1),
        (math.nextafter(0.5, 0), 1),
        (0.5, 2),
        (BELOW_ONE, 2),
    ],
)
@pytest.mark.parametrize("scale", [1, 2.0**-40, 2.0**9])
def test_draw_at_the_boundary_of_two_ids(uniform: float, expected: int, scale: float) -> None:
    assert draw(rows([0.25, 0.25, 0.5]) * scale, [uniform]) == [expected]


@pytest.mark.parametrize(
    ("uniform", "expected"), [(0, 1), (0.4999, 1), (0.5, 3), (0.75, 3), (BELOW_ONE, 3)]
)
def test_draw_skips_ids_without_weight(uniform: float, expected: int) -> None:
    assert draw(rows([0, 0.5, 0, 0.5, 0, 0]), [uniform]) == [expected]


def test_draw_with_a_number_per_row() -> None:
    assert draw(rows(*[[0.5, 0.5]] * 3), [0.9, 0.1, 0.5]) == [1, 0, 1]


def test_draw_does_not_pass_a_rounded_sum() -> None:
    tenths = [0.1] * 10 + [0.0]
    assert math.fsum(tenths) != sum(tenths)
    assert draw(rows(tenths), [BELOW_ONE]) == [9]
    least = 5e-324
    assert draw(rows([0, least, 0]), [BELOW_ONE]) == [1]


def test_draw_adds_in_the_order_of_columns() -> None:
    # 130 weights are a table of 64 rows and 3 columns; the last row but 20 are of zeros.
    order = [*range(0, 130, 3), *range(1, 130, 3), *range(2, 130, 3)]
    weights = rows([1] * 130)
    assert [draw(weights, [(i + 0.5) / 130])[0] for i in range(130)] == order


def test_draw_adds_up_small_weights() -> None:
    # 1 + 2⁻⁵³ is rounded to 1, so what comes after 1 is never drawn; 2⁻⁵³ + 2⁻⁵³ before it counts.
    small = [2.0**-53] * 63
    assert draw(rows([1, *small]), [BELOW_ONE]) == [0]
    assert draw(rows([*small, 1]), [2.0**-49]) == [16]


@given(weights=whole_weights, uniform=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_draw_inverts_the_cumulative_weight(weights: list[int], uniform: float) -> None:
    (chosen,) = draw(rows(weights), [uniform])
    assert weights[chosen] > 0
    # At most 64 weights are one column, in their own order.
    assert sum(weights[:chosen]) <= uniform * sum(weights) + 1e-9
    assert uniform * sum(weights) <= sum(weights[: chosen + 1]) + 1e-9


# --- Rows ------------------------------------------------------------------------------------------


def test_sample_rows_by_the_options_of_each_row() -> None:
    logits = rows(*[LOGITS] * 5)  # 1, 2 and 4 of 7
    allowed = [np.ones(3, np.bool_)] * 5
    options = [
        Filter(1),
        Filter(0),
        Filter(1, top_k=2),
        Filter(1, top_p=0.5),
        Filter(1, min_p=0.4),
    ]
    assert sample_rows(logits, allowed, options, [0.1] * 5) == [0, 2, 1, 2, 1]
    assert sample_rows(logits, allowed, options, [0.3] * 5) == [1, 2, 1, 2, 1]
    assert sample_rows(logits, allowed, options, [0.9] * 5) == [2, 2, 2, 2, 2]


def test_sample_rows_applies_top_k_before_top_p() -> None:
    # 2 and 4 of 6 are left, so 4 has two thirds; of 7 it had less than 0.6.
    assert frequencies(LOGITS, top_k=2, top_p=0.6) == [0, 0, 1]
    assert frequencies(LOGITS, top_p=0.6) == about(0, 1 / 3, 2 / 3)


def test_sample_rows_filters_what_is_allowed() -> None:
    assert frequencies(LOGITS, [True, True, False], top_k=1) == [0, 1, 0]
    assert frequencies(LOGITS, [True, True, False], top_p=0.6) == [0, 1, 0]
    assert frequencies(LOGITS, [True, True, False], min_p=0.49) == about(1 / 3, 2 / 3, 0)


def test_sample_rows_gives_a_row_the_same_id_in_any_batch() -> None:
    num, num_ids = 33, 3000
    random = np.random.default_rng(3)
    logits = random.normal(0, 2, (num, num_ids))
    masks = [random.random(num_ids) < 0.5 for _ in range(4)]
    allowed = [masks[i % 4] for i in range(num)]
    variants: list[dict[str, Any]] = [
        {},
        {"top_k": 40},
        {"top_p": 0.9},
        {"min_p": 0.01},
        {"temperature": 0},
    ]
    options = [Filter.of(Options(**variants[i % 5])) for i in range(num)]
    uniforms = random.random(num).tolist()

    def drawn(size: int) -> list[int]:
        parts = (slice(start, start + size) for start in range(0, num, size))
        tokens = [sample_rows(logits[p], allowed[p], options[p], uniforms[p]) for p in parts]
        return [token for part in tokens for token in part]

    together = drawn(num)
    assert len(set(together)) > 25
    assert all(mask_V[token] for mask_V, token in zip(allowed, together, strict=True))
    assert drawn(1) == drawn(3) == drawn(7) == together


def test_sample_rows_leaves_logits_and_masks_as_they_are() -> None:
    logits, mask_V = rows(LOGITS), np.array([True, True, False])
    sample_rows(logits, [mask_V], [Filter(0.8, 1, 0.5, 0.5)], [0.5])
    assert logits.tolist() == [LOGITS]
    assert mask_V.tolist() == [True, True, False]


def test_sample_rows_without_rows() -> None:
    assert sample_rows(np.empty((0, 3)), [], [], []) == []
