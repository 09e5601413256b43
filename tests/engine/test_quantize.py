"""int8 rows with a scale each."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from poetgen.engine.quantize import quantize_activations, quantize_weights


@settings(max_examples=200, deadline=None)
@given(arrays(np.float32, (3, 5), elements=st.floats(-(2.0**20), 2.0**20, width=32)))
def test_activations_are_within_half_a_step(x_BK: np.ndarray) -> None:
    rows = quantize_activations(x_BK)
    assert rows.values.dtype == np.int8
    assert np.abs(rows.values.astype(int)).max() <= 127
    error_BK = np.abs(rows.values * rows.scale[:, None] - x_BK)
    assert (error_BK <= rows.scale[:, None] * 0.50001 + 1e-28).all()


def test_largest_activation_is_127() -> None:
    random = np.random.default_rng(0)
    x_BK = random.normal(size=(5000, 7)) * 10.0 ** random.integers(-9, 9, (5000, 1))
    x_BK = x_BK.astype(np.float32)
    assert (np.abs(quantize_activations(x_BK).values).max(axis=1) == 127).all()


def test_row_of_zeros_stays_zero() -> None:
    rows = quantize_activations(np.zeros((2, 4), np.float32))
    assert not rows.values.any()
    assert rows.scale.tolist() == [0.0, 0.0]


def test_row_does_not_depend_on_the_others() -> None:
    x_BK = np.random.default_rng(0).normal(size=(9, 30)).astype(np.float32)
    rows = quantize_activations(x_BK)
    for index in range(9):
        alone = quantize_activations(x_BK[index : index + 1])
        assert alone.values.tolist() == rows.values[index : index + 1].tolist()
        assert alone.scale[0] == rows.scale[index]
    chosen = rows.select(np.array([8, 0]))
    assert chosen.values.tolist() == rows.values[[8, 0]].tolist()
    assert chosen.scale.tolist() == rows.scale[[8, 0]].tolist()


def test_weights_are_rounded_as_in_torch() -> None:
    weight = torch.randn(50, 33, generator=torch.Generator().manual_seed(1))
    weight[3] = 0
    scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
    values, scales = quantize_weights(weight.numpy())
    assert values.tolist() == (weight / scale).round().to(torch.int8).tolist()
    assert scales.tolist() == scale.tolist()
