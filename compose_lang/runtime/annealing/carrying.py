"""One step of the reverse process: how particles get from a level to a finer one, and what that does to their weights.

From level s to t (dv = s² - t²) a particle moves to x' = x - dv ∇E(x) + sqrt(dv) ξ, by Heun's rule. Its weight grows by
the Feynman–Kac increment of the flows (see `field`), and for all other terms A by

    A_t(x') / A_s(x) · N(x'; x - dv ∇E_flows(x), dv) / N(x'; x - dv ∇E(x), dv),

which is exact for any drift of theirs (Wu et al., NeurIPS 2023, "Practical and asymptotically exact conditional
sampling in diffusion models").
"""

from __future__ import annotations

from compose_lang.runtime.annealing.field import Field
from compose_lang.runtime.backend import Array
from compose_lang.runtime.kernel import Position


def variance_between(level: Array, next_level: Array) -> Array:
    """dv = s² - t², never below 0: a difference of squares may be, where one of them is rounded and the other fused."""
    return (level - next_level) * (level + next_level)


def drift_of(push: Array, dv: Array, field: Field) -> Array:
    """The drift (n, D) of other terms, which is any we like: steep ones are held to the noise's own step."""
    xp = field.backend.xp
    width = xp.sqrt(dv)[:, None]
    return -xp.clip(dv[:, None] * xp.where(xp.isfinite(push), push, xp.zeros_like(push)), -width, width)


def carried(
    field: Field, position: Position, level: Array, next_level: Array, normal: Array
) -> tuple[Position, Array]:
    """A step of the reverse process between two levels, (1,) or (n,), and the change (n,) of the log weights."""
    xp = field.backend.xp
    u = field.block.ravel(position)
    dv = variance_between(level, next_level)
    energy, push = field.weighed_force(u, position, level)
    kick = xp.sqrt(dv)[:, None] * normal + drift_of(push, dv, field)
    pull, growth = field.flow(u, position, level)
    pull_there, growth_there = field.flow(u - dv[:, None] * pull + kick, position, next_level)
    new = u - 0.5 * dv[:, None] * (pull + pull_there) + kick
    change = 0.25 * dv * (growth + growth_there)
    position = field.block.unravel(position, new)
    new_energy, _ = field.weighed_force(new, position, next_level)
    # where dv is 0 (the first level) nothing moves
    safe = xp.where(dv > 0.0, dv, 1.0)[:, None]
    ratio = xp.sum(0.5 * normal * normal - kick**2 / (2.0 * safe), axis=1)
    return position, xp.where(dv > 0.0, change + energy - new_energy + ratio, 0.0 * change)
