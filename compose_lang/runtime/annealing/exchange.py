"""An exchange between two levels s > t: what is proposed to a pair, and the probability of taking it.

A pair x at s, y at t proposes y' from x by a step of the reverse process (`reverse_step`), and x' from y by noise
(accelerated parallel tempering: Zhang et al., 2025; by weights of paths, CREPE: He et al., 2025). With E the energy of
the flows, A the density of all other terms, d their drift and dv = s² - t²,

    y' = x - dv · ½ (∇E_s(x) + ∇E_t(y')) + d(x) + sqrt(dv) ξ,    x' = y + sqrt(dv) ξ'.

Let F(y | x) be the density of the step and W(x, y) = π_t(y) N(x; y, dv) / (π_s(x) F(y | x)). Then

    log α = log W(x, y') - log W(x', y)

balances π_s(x) π_t(y) times the density of the proposal, both ways. W follows from the scores at both ends of a path:
with P the mean of the two gradients and k = y - x + dv P, the kick that the flows do not explain, it is

    log W = ½ dv |P|² - ¼ dv (q_s(x) + q_t(y)) + (|k - d(x)|² - |k|²) / 2dv + log A_t(y) - log A_s(x),

q = Σ Fᵢ|sᵢ|² - Σ Fᵢⱼ⟨sᵢ, sⱼ⟩ as in `field`: along a path a noised log-density grows by ⟨s, y - x⟩ - ½ dv (∇·s + |s|²),
with means over the ends, and the divergences cancel against the volume by which the step shrinks. For flows it is off
by terms of third order in sqrt(dv); without flows it is exact. Energies of flows are never compared: those that are
learned are off by nats between modes, while scores are asked only where the replicas are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.annealing.population import drift_of, reverse_step, variance_between
from compose_lang.runtime.arrays.protocol import Array, Position
from compose_lang.runtime.kernels.common.metropolis import acceptance


class Worth(NamedTuple):
    """log W = rest + before - after of paths, each (n,)."""

    before: Array  #: energy of the other terms at the coarse end
    after: Array  #: and at the fine end
    rest: Array


def worth(field: Field, coarse: Position, fine: Position, level: Array, next_level: Array) -> Worth:
    """What paths from particles at a level to others at the next are worth, whichever way the two ends were come by."""
    xp = field.backend.xp
    x, y = field.block.ravel(coarse), field.block.ravel(fine)
    dv = variance_between(level, next_level)
    before, push = field.weighed_force(x, coarse, level)
    after, _ = field.weighed_force(y, fine, next_level)
    pull, growth = field.flow(x, coarse, level)
    pull_there, growth_there = field.flow(y, fine, next_level)
    kick = y - x + 0.5 * dv[:, None] * (pull + pull_there)
    missed = kick - drift_of(push, dv, field)
    bent = pull - pull_there
    rest = 0.25 * dv * (growth + growth_there) - 0.125 * dv * xp.sum(bent * bent, axis=1)
    return Worth(before, after, rest + xp.sum(missed * missed - kick * kick, axis=1) / (2.0 * dv))


def proposed(
    field: Field,
    coarse: Position,
    fine: Position,
    level: Array,
    next_level: Array,
    drawn: Mapping[str, Array],
) -> tuple[Position, Position, Array]:
    """What n pairs propose to the coarse and to the fine level (n,), and the probability (n,) of taking both.

    drawn: standard normals `step` and `noise`, each (n, D).
    """
    b, xp, n = field.backend, field.backend.xp, level.shape[0]
    down, _ = reverse_step(field, coarse, level, next_level, drawn["step"])
    width = xp.sqrt(variance_between(level, next_level))[:, None]
    up = field.block.unravel(fine, field.block.ravel(fine) + width * drawn["noise"])
    # both paths as one batch: the one that is proposed, and the one that would lead back
    coarse_ends = {name: xp.concat([x, up[name]]) for name, x in coarse.items()}
    fine_ends = {name: xp.concat([x, fine[name]]) for name, x in down.items()}
    twice, next_twice = xp.concat([level, level]), xp.concat([next_level, next_level])
    paths = worth(field, coarse_ends, fine_ends, twice, next_twice)
    before, after, rest = ((x[:n], x[n:]) for x in paths)
    return up, down, acceptance(before[0] + after[1], before[1] + after[0], b, rest[0] - rest[1])
