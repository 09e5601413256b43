"""Filters against distributions worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from poetgen.sampling.filters import (
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    log_mass,
    probabilities,
)

BELOW_ONE = math.nextafter(1, 0)


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def is_close(found: Tensor, *expected: list[float]) -> bool:
    return torch.allclose(found, rows(*expected), rtol=0, atol=1e-12)


# Logits whose exponentials are 1, 2 and 4.
LOGITS = [0.0, math.log(2), math.log(4)]


def test_temperature_1_is_the_softmax() -> None:
    assert is_close(probabilities(rows(LOGITS), column(1)), [1 / 7, 2 / 7, 4 / 7])


def test_temperature_2_takes_the_square_roots_of_the_odds() -> None:
    whole = 1 + math.sqrt(2) + 2
    assert is_close(
        probabilities(rows(LOGITS), column(2)), [1 / whole, math.sqrt(2) / whole, 2 / whole]
    )


def test_temperature_one_half_squares_the_odds() -> None:
    assert is_close(probabilities(rows(LOGITS), column(0.5)), [1 / 21, 4 / 21, 16 / 21])


def test_temperature_0_puts_all_on_the_likeliest() -> None:
    assert is_close(probabilities(rows([1.0, 3.0, 2.0]), column(0)), [0, 1, 0])


def test_temperature_0_with_a_tie_takes_one_of_the_likeliest() -> None:
    (probs,) = probabilities(rows([3.0, 1.0, 3.0]), column(0)).tolist()
    assert sorted(probs) == [0, 0, 1]
    assert probs[1] == 0


def test_each_row_has_a_temperature_of_its_own() -> None:
    found = probabilities(rows(LOGITS, LOGITS, LOGITS), column(0, 1, 0.5))
    assert is_close(found, [0, 0, 1], [1 / 7, 2 / 7, 4 / 7], [1 / 21, 4 / 21, 16 / 21])


def test_a_forbidden_id_has_no_mass_at_any_temperature() -> None:
    logits = [-math.inf, 0.0, 0.0]
    assert is_close(
        probabilities(rows(logits, logits), column(1, 100)), [0, 0.5, 0.5], [0, 0.5, 0.5]
    )


@pytest.mark.parametrize("temperature", [1e-3, 1e-300, 1e-308, 1e-320, 5e-324])
def test_a_temperature_next_to_0_is_nearly_greedy(temperature: float) -> None:
    found = probabilities(rows([-math.inf, 1.0, 40.0]), column(temperature))
    assert is_close(found, [0, 0, 1])


def test_probabilities_are_float64_whatever_the_logits_are() -> None:
    assert probabilities(torch.zeros(1, 3), column(1)).dtype == torch.float64


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (0, [0.1, 0.4, 0.2, 0.3]),
        (1, [0, 1, 0, 0]),
        (2, [0, 4 / 7, 0, 3 / 7]),
        (3, [0, 4 / 9, 2 / 9, 3 / 9]),
        (4, [0.1, 0.4, 0.2, 0.3]),
        (1000, [0.1, 0.4, 0.2, 0.3]),
    ],
)
def test_top_k_keeps_the_k_likeliest(k: int, expected: list[float]) -> None:
    assert is_close(keep_top_k(rows([0.1, 0.4, 0.2, 0.3]), torch.tensor([k])), expected)


def test_top_k_keeps_ties_with_the_last_one() -> None:
    assert is_close(keep_top_k(rows([0.2, 0.4, 0.2, 0.2]), torch.tensor([2])), [0.2, 0.4, 0.2, 0.2])
    assert is_close(
        keep_top_k(rows([0.3, 0.1, 0.3, 0.3]), torch.tensor([1])), [1 / 3, 0, 1 / 3, 1 / 3]
    )


def test_top_k_of_each_row_is_its_own() -> None:
    probs = [0.1, 0.4, 0.2, 0.3]
    found = keep_top_k(rows(probs, probs, probs), torch.tensor([2, 0, 1]))
    assert is_close(found, [0, 4 / 7, 0, 3 / 7], probs, [0, 1, 0, 0])


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1e-9, [0, 1, 0, 0]),
        (0.5, [0, 1, 0, 0]),
        (0.51, [0, 2 / 3, 1 / 3, 0]),
        (0.75, [0, 2 / 3, 1 / 3, 0]),
        (0.8, [0.15 / 0.9, 0.5 / 0.9, 0.25 / 0.9, 0]),
        (0.95, [0.15, 0.5, 0.25, 0.1]),
        (1, [0.15, 0.5, 0.25, 0.1]),
    ],
)
def test_top_p_keeps_the_fewest_that_reach_p(p: float, expected: list[float]) -> None:
    assert is_close(keep_top_p(rows([0.15, 0.5, 0.25, 0.1]), column(p)), expected)


def test_top_p_of_each_row_is_its_own() -> None:
    probs = [0.125, 0.5, 0.25, 0.125]
    found = keep_top_p(rows(probs, probs, probs), column(0.6, 1, 0.5))
    assert is_close(found, [0, 2 / 3, 1 / 3, 0], probs, [0, 1, 0, 0])


def test_top_p_1_beside_a_filtered_row_loses_no_tail_to_rounding() -> None:
    probs = [1 - 1e-17, 1e-17, 1e-18]
    found = keep_top_p(rows(probs, probs), column(1, 0.5))
    assert (found[0] > 0).all()
    assert is_close(found[1:], [1, 0, 0])


weights = st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(any)


@given(weights=weights, p=st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_top_p_keeps_enough_and_no_more(weights: list[int], p: float) -> None:
    probs = rows([w / sum(weights) for w in weights])
    kept = probs[0][keep_top_p(probs, column(p))[0] > 0]
    assert kept.sum() >= p - 1e-9
    assert kept[kept > kept.min()].sum() < p + 1e-9


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0, [0.25, 0.5, 0.2, 0.05]),
        (0.1, [0.25, 0.5, 0.2, 0.05]),
        (0.4, [0.25 / 0.95, 0.5 / 0.95, 0.2 / 0.95, 0]),
        (0.5, [1 / 3, 2 / 3, 0, 0]),
        (0.6, [0, 1, 0, 0]),
        (1, [0, 1, 0, 0]),
    ],
)
def test_min_p_is_a_share_of_the_likeliest(share: float, expected: list[float]) -> None:
    assert is_close(keep_min_p(rows([0.25, 0.5, 0.2, 0.05]), column(share)), expected)


def test_min_p_of_each_row_is_its_own() -> None:
    probs = [0.25, 0.5, 0.2, 0.05]
    found = keep_min_p(rows(probs, probs), column(0.5, 0))
    assert is_close(found, [1 / 3, 2 / 3, 0, 0], probs)


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
def test_draw_passes_to_the_next_id_exactly_at_the_boundary(uniform: float, expected: int) -> None:
    assert draw(rows([0.25, 0.25, 0.5]), column(uniform)).tolist() == [expected]


@pytest.mark.parametrize(
    ("uniform", "expected"), [(0, 1), (0.4999, 1), (0.5, 3), (0.75, 3), (BELOW_ONE, 3)]
)
def test_draw_never_takes_an_id_without_mass(uniform: float, expected: int) -> None:
    assert draw(rows([0, 0.5, 0, 0.5, 0, 0]), column(uniform)).tolist() == [expected]


def test_draw_of_each_row_uses_its_own_number() -> None:
    probs = [0.5, 0.5]
    assert draw(rows(probs, probs, probs), column(0.9, 0.1, 0.5)).tolist() == [1, 0, 1]


def test_draw_of_a_mass_that_rounding_left_short_of_1() -> None:
    tenths = [0.1] * 10 + [0.0]
    assert math.fsum(tenths) != sum(tenths)
    assert draw(rows(tenths), column(BELOW_ONE)).tolist() == [9]


@given(weights=weights, uniform=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_draw_finds_where_the_cumulative_mass_passes_the_number(
    weights: list[int], uniform: float
) -> None:
    (chosen,) = draw(rows([w / sum(weights) for w in weights]), column(uniform)).tolist()
    assert weights[chosen] > 0
    assert sum(weights[:chosen]) <= uniform * sum(weights) + 1e-9
    assert uniform * sum(weights) <= sum(weights[: chosen + 1]) + 1e-9


def test_the_log_of_the_mass() -> None:
    logits = rows(LOGITS, [0.0, -math.inf, math.log(9)], [-math.inf] * 3)
    found = log_mass(logits, column(1, 2, 1)).tolist()
    assert found == pytest.approx([math.log(7), math.log(4), -math.inf])


def test_a_mass_next_to_nothing_is_not_nothing() -> None:
    assert log_mass(rows([-5000.0, -math.inf]), column(0.01)).tolist() == [-500000]
