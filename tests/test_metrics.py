"""Metrics of `benchmarks/`: closed forms, and what tells right draws from wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import metrics

RNG = np.random.default_rng(0)
X = RNG.standard_normal((800, 2))


def test_mode_shares_count_what_is_near():
    x = np.array([[0.0, 0.0], [0.1, 0.0], [2.0, 2.0], [9.0, 9.0]])
    np.testing.assert_array_equal(
        metrics.mode_shares(x, [[0, 0], [2, 2.2], [5, 5]], 0.5), [0.5, 0.25, 0, 0.25]
    )


def test_total_variation_of_lists():
    assert metrics.total_variation([0.5, 0.5, 0], [0.5, 0, 0.5]) == pytest.approx(0.5)
    assert (
        metrics.total_variation([1, 0], [0, 1]) == 1 and metrics.total_variation([0.3, 0.7], [0.3, 0.7]) == 0
    )


def test_cells_cover_the_plane():
    x = np.array([[-9.0, 0.5], [0.5, 0.5], [9.0, 9.0], [0.5, 0.6]])
    found = metrics.cell_shares(x, [0.0, 1.0]).reshape(3, 3)  # the first coordinate counts fastest
    want = np.zeros((3, 3))
    want[1, 0], want[1, 1], want[2, 2] = 0.25, 0.5, 0.25
    np.testing.assert_array_equal(found, want)


def test_wasserstein_of_a_shift_is_its_length_and_order_does_not_matter():
    moved = RNG.permutation(X) + np.array([3.0, 4.0])
    assert metrics.wasserstein2(X, moved) == pytest.approx(5.0)
    assert metrics.wasserstein2(X, RNG.permutation(X)) == 0
    with pytest.raises(ValueError, match="one size"):
        metrics.wasserstein2(X, X[:10])


def test_mmd_of_two_normals_is_that_of_their_formula():
    """E k(x, x') of standard normals and a kernel of width h is h / sqrt(h² + 2), less a share where one is shifted."""
    h, shift = 0.7, 1.5
    x, y = RNG.standard_normal((3000, 1)), RNG.standard_normal((3000, 1)) + shift
    near = h / np.sqrt(h**2 + 2)
    want = 2 * near * (1 - np.exp(-0.5 * shift**2 / (h**2 + 2)))
    assert metrics.squared_mmd(x, y, h) == pytest.approx(want, rel=0.06)
    halves = [metrics.squared_mmd(a[:200], a[200:400], h) for a in RNG.standard_normal((60, 400, 1))]
    assert abs(np.mean(halves)) < 4 * np.std(halves) / 60**0.5  # unbiased


def test_a_classifier_tells_apart_what_differs():
    assert metrics.classifier_accuracy(X, RNG.standard_normal((800, 2))) == pytest.approx(0.5, abs=0.06)
    assert metrics.classifier_accuracy(X, X + 50) == 1.0
    copied = metrics.classifier_accuracy(X, X + 1e-9)
    assert copied < 0.05  # draws that copy the data are nearer to it than the data to itself
