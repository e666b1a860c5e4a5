"""Hamiltonian moves of a population at a place on its path, in the population's own scale.

With Σ = L Lᵀ the covariance of the particles' coordinates, a trajectory of a few leapfrog steps runs in q = L⁻¹ u
from a fresh momentum (Buchholz, Chopin and Jacob, Bayesian Analysis 16, 2021, for HMC within SMC). Each particle has
its own step, the population's times a uniform number, so that no length resonates.

At walls that are hard the force is that of soft ones: any force leaves a trajectory reversible and its volume as it is;
what it is wrong by, the acceptance makes good, which is taken by the energy with hard walls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Tree
from compose_lang.runtime.kernels.common.metropolis import acceptance, choose

LEAPFROGS = 5
TARGET = 0.7  #: mean acceptance that the step is adapted to
GAIN = 0.3  #: how fast the step follows the acceptance
LEAST_SHARE = 0.5  #: of the population's step, that a particle takes


class Scale(NamedTuple):
    """L, lower triangular (D, D), or the standard deviations (D,) of many coordinates; the log of the step (1,)."""

    factor: Array
    log_step: Array

    def out(self, q: Array) -> Array:
        """L q for rows q (n, D)."""
        return q * self.factor[None] if self.factor.ndim == 1 else q @ self.factor.T

    def back(self, gradient: Array) -> Array:
        """Lᵀ g for rows g (n, D): the gradient by q."""
        return gradient * self.factor[None] if self.factor.ndim == 1 else gradient @ self.factor


class Energy(NamedTuple):
    """An energy of coordinates u (n, D): its value (n,), and that with its gradient (n, D)."""

    at: Callable[[Array], Array]
    slope: Callable[[Array], tuple[Array, Array]]


def noise_of(size: int) -> dict[str, NoiseSpec]:
    """What one move needs of each particle."""
    return {
        "momentum": NoiseSpec("normal", (size,)),
        "length": NoiseSpec("uniform", ()),
        "accept": NoiseSpec("uniform", ()),
    }


class Point(NamedTuple):
    u: Array  #: (n, D)
    energy: Array  #: (n,), what is sampled there


def move(
    energy: Energy, force: Energy, start: Point, scale: Scale, drawn: dict[str, Array], b: Backend
) -> tuple[Point, Scale, Array]:
    """One trajectory from each particle, the scale with its step adapted, and the mean acceptance (1,).

    energy: what is sampled. force: what gives the gradient, which may be another energy.
    """
    xp = b.xp
    share = LEAST_SHARE + (1.0 - LEAST_SHARE) * drawn["length"]
    h = (xp.exp(scale.log_step) * share)[:, None]

    def leapfrog(i: Any, carry: Tree) -> Tree:
        # kicks at both ends are half ones; after the last there is no drift: so the force stands in the loop alone
        u, p = carry
        inside = xp.astype((b.asarray(i) > 0) & (b.asarray(i) < LEAPFROGS), b.real)
        p = p - 0.5 * (1.0 + inside) * h * scale.back(force.slope(u)[1])
        drift = xp.astype(b.asarray(i) < LEAPFROGS, b.real)
        return u + scale.out(drift * h * p), p

    u, p = b.loop(0, LEAPFROGS + 1, leapfrog, (start.u, drawn["momentum"]))
    end = Point(u, energy.at(u))
    kinetic = 0.5 * xp.sum(drawn["momentum"] ** 2 - p**2, axis=1)
    probability = acceptance(start.energy, end.energy, b, kinetic)
    taken = drawn["accept"] < probability
    point = Point(*(choose(taken, new, old, b) for new, old in zip(end, start, strict=True)))
    mean = xp.mean(probability).reshape((1,))
    log_step = scale.log_step + GAIN * (mean - TARGET)
    return point, scale._replace(log_step=xp.clip(log_step, -12.0, 1.0)), mean
