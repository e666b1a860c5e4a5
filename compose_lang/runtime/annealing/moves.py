"""MCMC at one level: ULA, MALA, U-HMC and HMC as one move over a population.

A trajectory of `leapfrog` steps from a fresh momentum p ~ N(0, 1): one step is a Langevin step with h = ε²/2 (MALA
where it is corrected, ULA where not), several are HMC. Steps are ε = a · min(σ, spread), in proportion to what the
density at level σ lets a particle move, with one factor `a` adapted to the population's mean acceptance.

Where energies are not known (learned scores), their difference between the ends of a trajectory is the work against
the force along the straight line between them, ∫ ∇E · dx (Du et al., ICML 2023, section 4.3), by Gauss and Legendre's
rule: a trapezoid is off by nats where a step is as long as the distance between modes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from compose_lang.runtime.arrays.protocol import Array, Backend, Tree
from compose_lang.runtime.kernels.common.metropolis import acceptance, choose
from compose_lang.runtime.planning.moves import Move

Force = Callable[[Array], tuple[Array, Array]]
"""u (n, D) -> energy (n,) and gradient (n, D)."""

Pull = Callable[[Array], Array]
"""u (n, D) -> gradient (n, D) of the terms whose energies are not known."""

PLACES, SHARES = (
    0.5 * (x + 1.0) if k == 0 else 0.5 * x for k, x in enumerate(np.polynomial.legendre.leggauss(6))
)
"""Where on a line, from 0 to 1, the force is taken, and the weight of each place: exact for polynomials up to x¹¹."""

TARGET = 0.65
"""The acceptance that steps are adapted to: 0.574 is best for MALA, 0.651 for HMC, in high dimensions."""
GAIN = 0.4  #: how fast the step follows the acceptance


class Point(NamedTuple):
    u: Array  #: (n, D)
    energy: Array  #: (n,)
    gradient: Array  #: (n, D)


def step(
    move: Move,
    force: Force,
    at: Point,
    size: Array,
    momentum: Array,
    accept: Array,
    pull: Pull | None,
    b: Backend,
) -> tuple[Point, Array]:
    """One trajectory from each particle, and the probability (n,) with which it was accepted.

    size: ε, a number or (D,). momentum: standard normal (n, D). accept: uniform (n,). pull: of the terms
    that are not in the force's energy, None where there are none.
    """
    xp = b.xp

    def leapfrog(i: Any, carry: Tree) -> Tree:
        u, p, _, gradient = carry
        half = p - 0.5 * size * gradient
        moved = u + size * half
        energy, after = force(moved)
        return moved, half - 0.5 * size * after, energy, after

    begin = (at.u, momentum, at.energy, at.gradient)
    u, p, energy, gradient = b.loop(0, move.leapfrog, leapfrog, begin)
    kinetic = 0.5 * xp.sum(momentum * momentum, axis=1) - 0.5 * xp.sum(p * p, axis=1)
    gained = energy if pull is None or not move.corrected else energy + work(pull, at.u, u, b)
    # a particle of infinite energy has weight 0, and moves wherever it can
    probability = acceptance(at.energy, gained, b, kinetic)
    is_sound = xp.isfinite(energy) & xp.all(xp.isfinite(gradient), axis=1)
    taken = accept < probability if move.corrected else is_sound
    point = Point(
        choose(taken, u, at.u, b),
        choose(taken, energy, at.energy, b),
        choose(taken, gradient, at.gradient, b),
    )
    return point, probability


def work(pull: Pull, start: Array, end: Array, b: Backend) -> Array:
    """The energy (n,) that a force adds between two points (n, D), by its work along the line between them."""
    places, shares = b.asarray(PLACES, b.real), b.asarray(SHARES, b.real)

    def at(i: Any, total: Array) -> Array:
        gradient = pull(start + places[i] * (end - start))
        return total + shares[i] * b.xp.sum(gradient * (end - start), axis=1)

    found: Array = b.loop(0, len(PLACES), at, 0.0 * start[:, 0])
    return found


def adapted(log_factor: Array, probability: Array, b: Backend) -> Array:
    """The log of the factor `a` after a move: up where more than TARGET were accepted, down where fewer."""
    return log_factor + GAIN * (b.xp.mean(probability) - TARGET)
