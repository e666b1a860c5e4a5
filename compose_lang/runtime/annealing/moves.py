"""MCMC at one level: ULA, MALA, U-HMC and HMC as one move over a population.

A trajectory of `leapfrog` steps from a fresh momentum p ~ N(0, 1): one step is a Langevin step with h = ε²/2 (MALA
where it is corrected, ULA where not), several are HMC. Steps are ε = a · min(σ, spread), in proportion to what the
density at level σ lets a particle move, with one factor `a` adapted to the population's mean acceptance.

Where energies are not known (learned scores), the difference along a trajectory is the work against the force,
∫ ∇E · dx by the trapezoidal rule over the leapfrog's own gradients (Du et al., ICML 2023, section 4.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from compose_lang.runtime.backend import Array, Backend, Tree
from compose_lang.runtime.metropolis import acceptance, choose

Force = Callable[[Array], tuple[Array, Array]]
"""u (n, D) -> energy (n,) and gradient (n, D)."""

TARGET = 0.65
"""The acceptance that steps are adapted to: 0.574 is best for MALA, 0.651 for HMC, in high dimensions."""
GAIN = 0.4  #: how fast the step follows the acceptance
LEAPFROG = 3


@dataclass(frozen=True)
class Move:
    """A kind of move: steps a trajectory, and whether it is accepted or rejected at its end."""

    leapfrog: int
    corrected: bool


MOVES = {
    "ula": Move(1, False),
    "mala": Move(1, True),
    "uhmc": Move(LEAPFROG, False),
    "hmc": Move(LEAPFROG, True),
}


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
    by_work: bool,
    b: Backend,
) -> tuple[Point, Array]:
    """One trajectory from each particle, and the probability (n,) with which it was accepted.

    size: ε, a number or (D,). momentum: standard normal (n, D). accept: uniform (n,). by_work: whether energy
    differences are integrated.
    """
    xp = b.xp

    def leapfrog(i: Any, carry: Tree) -> Tree:
        u, p, _, gradient, work = carry
        half = p - 0.5 * size * gradient
        moved = u + size * half
        energy, after = force(moved)
        work = work + xp.sum(0.5 * (gradient + after) * (moved - u), axis=1)
        return moved, half - 0.5 * size * after, energy, after, work

    begin = (at.u, momentum, at.energy, at.gradient, xp.zeros_like(at.energy))
    u, p, energy, gradient, work = b.loop(0, move.leapfrog, leapfrog, begin)
    kinetic = 0.5 * xp.sum(momentum * momentum, axis=1) - 0.5 * xp.sum(p * p, axis=1)
    known = at.energy + work if by_work else energy
    # a particle of infinite energy has weight 0, and moves wherever it can
    probability = acceptance(at.energy, xp.where(xp.isfinite(energy), known, energy), b, kinetic)
    is_sound = xp.isfinite(energy) & xp.all(xp.isfinite(gradient), axis=1)
    taken = accept < probability if move.corrected else is_sound
    point = Point(
        choose(taken, u, at.u, b),
        choose(taken, energy, at.energy, b),
        choose(taken, gradient, at.gradient, b),
    )
    return point, probability


def adapted(log_factor: Array, probability: Array, b: Backend) -> Array:
    """The log of the factor `a` after a move: up where more than TARGET were accepted, down where fewer."""
    return log_factor + GAIN * (b.xp.mean(probability) - TARGET)
