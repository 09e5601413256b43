"""Counts of pairs, mutual information, vectors and classes, with values computed by hand."""

import numpy as np
import pytest

from poetgen.data.poem import Poem
from poetgen.evaluation.cooccurrence import (
    Characters,
    cluster,
    count_pairs,
    pairs_of,
    ppmi,
    truncated_svd,
)


def test_characters_are_ranked_by_count() -> None:
    characters = Characters([Poem("山云山，月云山。"), Poem("鹤。")], min_count=2)
    assert characters.ids == {"山": 0, "云": 1}
    assert characters.shares_V.tolist() == pytest.approx([3 / 5, 2 / 5])
    assert characters.encode("鹤云山") == [1, 0]


def test_characters_of_equal_count_have_a_fixed_order() -> None:
    assert Characters([Poem("云山。")], 1).ids == Characters([Poem("山云。")], 1).ids


def test_count_pairs_sums_all_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [pairs_of([0, 0, 1], [1, 1, 0]), pairs_of([0], [1]), pairs_of([], [])]
    expected = [[0, 3], [1, 0]]
    assert count_pairs(pairs, 2).tolist() == expected
    monkeypatch.setattr("poetgen.evaluation.cooccurrence._MAX_PENDING", 1)
    assert count_pairs(pairs, 2).tolist() == expected


def test_ppmi_by_hand() -> None:
    counts = np.array([[0, 3], [1, 0]], dtype=np.float32)
    # Rows (3 + 1, 1 + 1); contexts (2^0.75, 4^0.75) = (1.6818, 2.8284), shares 0.37288 and 0.62712.
    expected = [[0, np.log(3 / (4 * 0.627115))], [np.log(1 / (2 * 0.372885)), 0]]
    assert ppmi(counts) == pytest.approx(np.array(expected), abs=1e-5)


def test_truncated_svd_is_that_of_numpy() -> None:
    rng = np.random.default_rng(1)
    matrix = (rng.random((40, 6)) @ rng.random((6, 40))).astype(np.float32)
    left, values, right = truncated_svd(matrix, 6)
    assert values == pytest.approx(np.linalg.svd(matrix, compute_uv=False)[:6], rel=1e-4)
    assert (left * values) @ right.T == pytest.approx(matrix, abs=1e-3)
    again = truncated_svd(matrix, 6)
    assert all(np.array_equal(*both) for both in zip((left, values, right), again, strict=True))


def test_truncated_svd_of_a_small_matrix() -> None:
    left, values, right = truncated_svd(np.eye(3, dtype=np.float32), 48)
    assert (left.shape, values.shape, right.shape) == ((3, 3), (3,), (3, 3))


def test_cluster_separates_directions() -> None:
    angles = np.array([0.0, 1.5, 0.1, 1.6, 0.05])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    weights = np.array([5, 4, 3, 2, 1], dtype=np.float32)
    assert cluster(vectors, weights, 2).tolist() == [0, 1, 0, 1, 0]
