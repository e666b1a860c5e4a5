"""Terms come in as the noise gets as fine as they are; walls are as soft as the noise, and hard at the end."""

from __future__ import annotations

import numpy as np

from compose_lang.runtime.annealing.softening import STRIDE, Softening, measured
from compose_lang.runtime.backends import load_backend

B = load_backend("numpy")
LEVELS = np.geomspace(20.0, 0.01, 50)


def test_curvature_and_slope_are_those_of_a_gaussian_and_of_a_line():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 2))
    signs = rng.choice([-1.0, 1.0], x.shape)
    there = x + STRIDE * signs

    def gaussian(u: np.ndarray) -> np.ndarray:
        return np.stack([(u[:, 0] - 0.3) / 0.2**2, 0.0 * u[:, 1]], axis=1)

    def line(u: np.ndarray) -> np.ndarray:
        return np.stack([0.0 * u[:, 0], 0.0 * u[:, 1] + 4.0], axis=1)

    gradients = [(gaussian(x), gaussian(there)), (line(x), line(there))]
    curvatures, slopes = measured(gradients, signs, 1.0)
    np.testing.assert_allclose(curvatures, [25.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(slopes, [0.0, 4.0], atol=1e-9)


def test_a_gaussian_term_comes_in_as_its_density_with_noise():
    h = 1 / 0.2**2
    s = Softening(20.0, 0.01, (h,), (0.0,))
    share = np.array([float(s.share(0, np.array([level]))[0]) for level in LEVELS])
    np.testing.assert_allclose(share, (h / (1 + LEVELS**2 * h)) / (h / (1 + 0.01**2 * h)))
    assert share[-1] == 1.0 and (np.diff(share) > 0).all()


def test_prices_end_in_a_wall():
    s = Softening(20.0, 0.01, (1.0,), (0.0,))
    prices = np.array([s.level(0, np.array([level]), B).price[0] for level in LEVELS])
    assert (np.diff(prices[:-1]) > 0).all() and np.isinf(prices[-1])
    assert prices[0] < 0.1 and np.isfinite(prices[:-1]).all()


def test_loose_coordinates_are_let_go():
    s = Softening(20.0, 0.01, loose=np.array([1.0, 0.0]))
    u = np.array([[20.0, 5.0]])
    assert s.hold(u, np.array([20.0]), B)[0] == 0.5
    assert s.hold(u, np.array([0.01]), B)[0] == 0.0
