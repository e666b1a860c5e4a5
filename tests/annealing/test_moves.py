"""Moves at one level leave its density invariant, steps of the reverse process do not; with planted mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compose_lang.runtime.annealing import moves
from compose_lang.runtime.annealing.moves import Point, step
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.planning.moves import MOVES, Move

B = load_backend("numpy")
MEANS, SD = np.array([-1.0, 1.5]), 0.5
PARTICLES, STEPS = 20_000, 6


def force(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energy and gradient of a mixture of two Gaussians in each of two coordinates."""
    away = (u[:, :, None] - MEANS) / SD
    share = np.exp(-0.5 * away**2)
    total = share.sum(2)
    return -np.log(total).sum(1), (share * away / SD).sum(2) / total


def exact(rng: np.random.Generator) -> np.ndarray:
    return MEANS[rng.integers(0, 2, (PARTICLES, 2))] + SD * rng.standard_normal((PARTICLES, 2))


def moved(move: Move, size: float, pull: Any = None, at: Callable[[np.ndarray], Any] = force) -> np.ndarray:
    rng = np.random.default_rng(1)
    point = Point(*(lambda u: (u, *at(u)))(exact(rng)))
    for _ in range(STEPS):
        momentum, accept = rng.standard_normal((PARTICLES, 2)), rng.random(PARTICLES)
        point, _ = step(move, at, point, np.asarray(size), momentum, accept, pull, B)
    return point.u


def distance(u: np.ndarray) -> float:
    """The largest z-score of the first two moments and of a mode's share against their exact values."""
    measures = [u, u**2, (u < 0.25) * 1.0]
    truths = [MEANS.mean(), (MEANS**2).mean() + SD**2, None]
    rng = np.random.default_rng(2)
    reference = MEANS[rng.integers(0, 2, 10**7)] + SD * rng.standard_normal(10**7)
    truths[2] = float((reference < 0.25).mean())
    return max(
        abs(float(m.mean() - t)) / (m.mean(1).std() / np.sqrt(PARTICLES))
        for m, t in zip(measures, truths, strict=True)
    )


@pytest.mark.parametrize("name", ["mala", "hmc"])
def test_corrected_moves_leave_the_density_as_it_is(name: str):
    assert distance(moved(MOVES[name], 0.6)) < 4.5


@pytest.mark.parametrize("name", ["ula", "uhmc"])
def test_uncorrected_moves_do_not_at_long_steps(name: str):
    assert distance(moved(MOVES[name], 0.6)) > 7
    assert distance(moved(MOVES[name], 0.02)) < 4.5


@pytest.mark.parametrize("name", ["mala", "hmc"])
def test_scores_are_moved_by_their_work(name: str):
    """Without energies, the work along the line takes their place."""

    def silent(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 0.0 * u[:, 0], force(u)[1]

    assert distance(moved(MOVES[name], 0.6, pull=lambda u: force(u)[1], at=silent)) < 4.5
    assert distance(moved(MOVES[name], 0.6, pull=lambda u: 0.0 * u, at=silent)) > 7


def test_the_work_of_a_force_is_the_difference_of_its_energies():
    rng = np.random.default_rng(3)
    start = exact(rng)[:500]
    end = start + 0.3 * rng.standard_normal(start.shape)
    found = moves.work(lambda u: force(u)[1], start, end, B)
    np.testing.assert_allclose(found, force(end)[0] - force(start)[0], atol=5e-3)


def test_an_acceptance_without_the_momentum_is_caught():
    """The mistake of published code: the reverse density is left out."""
    planted = replace(MOVES["mala"])
    rng = np.random.default_rng(1)
    point = Point(*(lambda u: (u, *force(u)))(exact(rng)))
    for _ in range(STEPS):
        momentum, accept = rng.standard_normal((PARTICLES, 2)), rng.random(PARTICLES)
        new, _ = step(
            replace(planted, corrected=False), force, point, np.asarray(0.6), momentum, accept, None, B
        )
        taken = (np.log(accept) < point.energy - new.energy)[:, None]
        u = np.where(taken, new.u, point.u)
        point = Point(u, *force(u))
    assert distance(point.u) > 7


def test_a_reverse_step_at_fixed_noise_is_a_langevin_step_with_less_noise():
    """The paper's appendix: x - v ∇E + sqrt(v) ξ is ULA's step once its noise is multiplied by the root of 2.

    Repeated at fixed noise as it is, it goes to a Gaussian of half the variance; ULA to the right one.
    """
    v, size = 0.02, np.sqrt(2 * 0.02)
    rng = np.random.default_rng(4)
    u = exact(rng)
    normal = rng.standard_normal(u.shape)
    point = Point(u, *force(u))
    ula, _ = step(MOVES["ula"], force, point, np.asarray(size), normal, np.zeros(PARTICLES), None, B)
    reverse = u - v * force(u)[1] + np.sqrt(v) * (np.sqrt(2.0) * normal)
    np.testing.assert_allclose(ula.u, reverse, atol=1e-12)

    variances = {}
    for name, factor in (("reverse", 1.0), ("langevin", np.sqrt(2.0))):
        x = rng.standard_normal(PARTICLES)
        for _ in range(300):
            x = x - v * x + factor * np.sqrt(v) * rng.standard_normal(PARTICLES)
        variances[name] = x.var()
    error = 5 * np.sqrt(2 / PARTICLES)
    assert abs(variances["reverse"] - 1 / (2 - v)) < 0.5 * error
    assert abs(variances["langevin"] - 2 / (2 - v)) < error
