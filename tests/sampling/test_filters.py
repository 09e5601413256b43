"""Filters against distributions computed by hand."""

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
    renormalize,
    sample_rows,
)
from poetgen.sampling.options import Options

BELOW_ONE = math.nextafter(1, 0)


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def is_close(found: Tensor, *expected: list[float]) -> bool:
    return torch.allclose(found, rows(*expected), rtol=0, atol=1e-12)


# Logits whose exponentials are 1, 2 and 4.
LOGITS = [0.0, math.log(2), math.log(4)]


def test_probabilities_at_temperature_1_are_the_softmax() -> None:
    assert is_close(probabilities(rows(LOGITS), column(1)), [1 / 7, 2 / 7, 4 / 7])


def test_probabilities_at_temperature_2_take_roots() -> None:
    whole = 1 + math.sqrt(2) + 2
    assert is_close(
        probabilities(rows(LOGITS), column(2)), [1 / whole, math.sqrt(2) / whole, 2 / whole]
    )


def test_probabilities_at_temperature_one_half_square() -> None:
    assert is_close(probabilities(rows(LOGITS), column(0.5)), [1 / 21, 4 / 21, 16 / 21])


def test_probabilities_at_temperature_0_are_greedy() -> None:
    assert is_close(probabilities(rows([1.0, 3.0, 2.0]), column(0)), [0, 1, 0])


def test_probabilities_at_temperature_0_break_ties() -> None:
    (probs,) = probabilities(rows([3.0, 1.0, 3.0]), column(0)).tolist()
    assert sorted(probs) == [0, 0, 1]
    assert probs[1] == 0


def test_probabilities_with_a_temperature_per_row() -> None:
    found = probabilities(rows(LOGITS, LOGITS, LOGITS), column(0, 1, 0.5))
    assert is_close(found, [0, 0, 1], [1 / 7, 2 / 7, 4 / 7], [1 / 21, 4 / 21, 16 / 21])


def test_probabilities_of_a_masked_id_are_0() -> None:
    logits = [-math.inf, 0.0, 0.0]
    assert is_close(
        probabilities(rows(logits, logits), column(1, 100)), [0, 0.5, 0.5], [0, 0.5, 0.5]
    )


@pytest.mark.parametrize("temperature", [1e-3, 1e-300, 1e-308, 1e-320, 5e-324])
def test_probabilities_at_a_temperature_next_to_0(temperature: float) -> None:
    found = probabilities(rows([-math.inf, 1.0, 40.0]), column(temperature))
    assert is_close(found, [0, 0, 1])


def test_probabilities_are_float64() -> None:
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
def test_keep_top_k_keeps_the_k_likeliest(k: int, expected: list[float]) -> None:
    assert is_close(keep_top_k(rows([0.1, 0.4, 0.2, 0.3]), torch.tensor([k])), expected)


def test_keep_top_k_keeps_ties_with_the_last() -> None:
    assert is_close(keep_top_k(rows([0.2, 0.4, 0.2, 0.2]), torch.tensor([2])), [0.2, 0.4, 0.2, 0.2])
    assert is_close(
        keep_top_k(rows([0.3, 0.1, 0.3, 0.3]), torch.tensor([1])), [1 / 3, 0, 1 / 3, 1 / 3]
    )


def test_keep_top_k_with_a_k_per_row() -> None:
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
def test_keep_top_p_keeps_the_fewest_that_reach_p(p: float, expected: list[float]) -> None:
    assert is_close(keep_top_p(rows([0.15, 0.5, 0.25, 0.1]), column(p)), expected)


def test_keep_top_p_with_a_p_per_row() -> None:
    probs = [0.125, 0.5, 0.25, 0.125]
    found = keep_top_p(rows(probs, probs, probs), column(0.6, 1, 0.5))
    assert is_close(found, [0, 2 / 3, 1 / 3, 0], probs, [0, 1, 0, 0])


def test_keep_top_p_of_1_keeps_the_whole_tail() -> None:
    probs = [1 - 1e-17, 1e-17, 1e-18]
    found = keep_top_p(rows(probs, probs), column(1, 0.5))
    assert (found[0] > 0).all()
    assert is_close(found[1:], [1, 0, 0])


weights = st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(any)


@given(weights=weights, p=st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_keep_top_p_keeps_enough_and_no_more(weights: list[int], p: float) -> None:
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
def test_keep_min_p_is_a_share_of_the_likeliest(share: float, expected: list[float]) -> None:
    assert is_close(keep_min_p(rows([0.25, 0.5, 0.2, 0.05]), column(share)), expected)


def test_keep_min_p_with_a_share_per_row() -> None:
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
def test_draw_at_the_boundary_of_two_ids(uniform: float, expected: int) -> None:
    assert draw(rows([0.25, 0.25, 0.5]), column(uniform)).tolist() == [expected]


@pytest.mark.parametrize(
    ("uniform", "expected"), [(0, 1), (0.4999, 1), (0.5, 3), (0.75, 3), (BELOW_ONE, 3)]
)
def test_draw_skips_ids_without_mass(uniform: float, expected: int) -> None:
    assert draw(rows([0, 0.5, 0, 0.5, 0, 0]), column(uniform)).tolist() == [expected]


def test_draw_with_a_number_per_row() -> None:
    probs = [0.5, 0.5]
    assert draw(rows(probs, probs, probs), column(0.9, 0.1, 0.5)).tolist() == [1, 0, 1]


def test_draw_from_a_total_below_1() -> None:
    tenths = [0.1] * 10 + [0.0]
    assert math.fsum(tenths) != sum(tenths)
    assert draw(rows(tenths), column(BELOW_ONE)).tolist() == [9]


@given(weights=weights, uniform=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_draw_inverts_the_cumulative_mass(weights: list[int], uniform: float) -> None:
    (chosen,) = draw(rows([w / sum(weights) for w in weights]), column(uniform)).tolist()
    assert weights[chosen] > 0
    assert sum(weights[:chosen]) <= uniform * sum(weights) + 1e-9
    assert uniform * sum(weights) <= sum(weights[: chosen + 1]) + 1e-9


def test_log_mass_by_hand() -> None:
    logits = rows(LOGITS, [0.0, -math.inf, math.log(9)], [-math.inf] * 3)
    found = log_mass(logits, column(1, 2, 1)).tolist()
    assert found == pytest.approx([math.log(7), math.log(4), -math.inf])


def test_log_mass_does_not_underflow() -> None:
    assert log_mass(rows([-5000.0, -math.inf]), column(0.01)).tolist() == [-500000]


def test_renormalize_scales_each_row_to_1() -> None:
    assert is_close(renormalize(rows([1, 3, 0], [2, 2, 4])), [0.25, 0.75, 0], [0.25, 0.25, 0.5])


def test_sample_rows_by_the_options_of_each_row() -> None:
    logits = rows(*[LOGITS] * 5)  # 1, 2 and 4 of 7
    options = [
        Options(temperature=1),
        Options(temperature=0),
        Options(temperature=1, top_k=2),
        Options(temperature=1, top_p=0.5),
        Options(temperature=1, min_p=0.4),
    ]
    assert sample_rows(logits, options, [0.1] * 5) == [0, 2, 1, 2, 1]
    assert sample_rows(logits, options, [0.3] * 5) == [1, 2, 1, 2, 1]
    assert sample_rows(logits, options, [0.9] * 5) == [2, 2, 2, 2, 2]


def test_sample_rows_applies_top_k_before_top_p() -> None:
    # 2 and 4 of 6 are left, so 4 has two thirds; of 7 it had less than 0.6.
    (token,) = sample_rows(rows(LOGITS), [Options(temperature=1, top_k=2, top_p=0.6)], [0.0])
    assert token == 2


def test_sample_rows_without_rows() -> None:
    assert sample_rows(torch.empty(0, 3), [], []) == []
