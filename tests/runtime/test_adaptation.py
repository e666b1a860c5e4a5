"""Warm-up's parts: Stan's windows, dual averaging to its target, and the mass that windows leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.kernels.common import adaptation

NUMPY = load_backend("numpy")
U = np.random.default_rng(0).normal(size=(1000, 2, 3)) * [0.1, 1.0, 10.0]


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    with NUMPY.scope():
        yield


def adapted(steps: int, warmup: int, gradients: bool, slope: float = 1.0) -> adaptation.Adaptation:
    """The state after some steps of independent draws U, with gradients u / slope², at target acceptance."""
    schedule = adaptation.windows(warmup)
    state = adaptation.begin(0.5, U[0], schedule, NUMPY, gradients=gradients)
    accept = np.full(2, 0.8)
    for t in range(steps):
        gradient: Any = U[t] / slope**2 if gradients else None
        state = adaptation.adapt(state, U[t], gradient, accept, 0.8, t, schedule, NUMPY)
    return state


@pytest.mark.parametrize(
    ("warmup", "start", "ends"),
    [
        (1000, 75, (100, 150, 250, 450, 950)),
        (500, 75, (100, 150, 250, 450)),
        (150, 75, (100,)),
        (100, 15, (90,)),
        (19, 19, ()),
        (0, 0, ()),
    ],
)
def test_windows_are_stans(warmup: int, start: int, ends: tuple[int, ...]) -> None:
    assert adaptation.windows(warmup) == adaptation.Windows(warmup, start, ends)


def test_dual_averaging_finds_the_step_of_its_target() -> None:
    """Where acceptance is exp(-step), a target of 0.8 is met by -log 0.8; each chain finds it alone."""
    schedule = adaptation.windows(1000)
    state = adaptation.begin(30.0, U[0], schedule, NUMPY, gradients=False)
    for t in range(1000):
        accept = np.exp(-adaptation.step_size(state, t, schedule, NUMPY))
        state = adaptation.adapt(state, U[t], None, accept, 0.8, t, schedule, NUMPY)
    final = adaptation.step_size(state, 1000, schedule, NUMPY)
    np.testing.assert_allclose(final, -np.log(0.8), rtol=0.05)


def covariance(state: adaptation.Adaptation) -> Any:
    """L Lᵀ (chains, D, D) of the metric."""
    shape: Any = state.metric.shape
    factor = state.metric.scale[:, :, None] * shape
    return factor @ np.swapaxes(factor, 1, 2)


def test_the_last_window_of_draws_and_gradients_is_half_of_each() -> None:
    """With ∇E = u / 9 gradients say 9, whatever the spread."""
    halves = [adapted(1000, 1000, gradients=g, slope=3.0) for g in (True, False)]
    both, draws = (np.diagonal(covariance(state), axis1=1, axis2=2) for state in halves)
    np.testing.assert_allclose(both, 0.5 * (draws + 9.0), rtol=0.03)


def test_the_last_window_leaves_the_covariance_of_its_draws() -> None:
    """Correlations are drawn to 0 by five draws, as variances are to a thousandth in the scale."""
    state = adapted(1000, 1000, gradients=False)
    window = U[450:950]
    scale = np.sqrt((500 * window.var(axis=0, ddof=1) + 5 * 1e-3) / 505)
    np.testing.assert_allclose(state.metric.scale, scale, rtol=1e-12)
    for chain, found in enumerate(covariance(state)):
        expected = 499 / 505 * np.cov(window[:, chain].T)
        expected[np.diag_indices(3)] *= 505 / 500
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_earlier_windows_find_a_gaussian_from_draws_and_gradients() -> None:
    """Whatever the spread of the draws: with ∇E = P u the metric is P⁻¹, but for the five draws."""
    precision = np.array([[4.0, 1.5, 0.0], [1.5, 1.0, 0.2], [0.0, 0.2, 0.5]])
    schedule = adaptation.windows(4000)
    state = adaptation.begin(0.5, U[0], schedule, NUMPY, gradients=True)
    for t in range(3000):
        u = np.random.default_rng(t).normal(size=(2, 3)) * [0.5, 1.0, 2.0]
        state = adaptation.adapt(state, u, u @ precision, np.full(2, 0.8), 0.8, t, schedule, NUMPY)
    for found in covariance(state):
        np.testing.assert_allclose(found @ precision, np.eye(3), atol=0.2)


def test_nothing_changes_after_warmup() -> None:
    before, after = adapted(300, 300, gradients=True), adapted(700, 300, gradients=True)
    np.testing.assert_array_equal(covariance(after), covariance(before))
    np.testing.assert_array_equal(after.step.log_mean, before.step.log_mean)


def test_chains_that_never_moved_keep_their_mass() -> None:
    schedule = adaptation.windows(1000)
    state = adaptation.begin(0.5, U[0], schedule, NUMPY, gradients=True)
    for t in range(200):
        state = adaptation.adapt(state, U[0], U[0], np.zeros(2), 0.8, t, schedule, NUMPY)
    np.testing.assert_array_equal(state.metric.scale, 1.0)
