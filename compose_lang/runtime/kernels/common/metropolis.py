"""The Metropolis–Hastings decision, taken by each chain on its own (Hastings 1970)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.kernel import DiscreteBlock, PermutationBlock


def acceptance(energy: Array, proposed: Array, backend: Backend, correction: Array | float = 0.0) -> Array:
    """The probability (chains,) of accepting a proposal.

    `correction` is log q(x | x') - log q(x' | x). A proposal whose energy, or correction, is not finite is
    never accepted; from a point whose energy is infinite every other is.
    """
    xp = backend.xp
    log_ratio = xp.where(xp.isfinite(energy), energy - proposed + correction, 0.0)
    allowed = xp.isfinite(proposed) & xp.isfinite(log_ratio)
    return xp.where(allowed, xp.exp(xp.clip(log_ratio, None, 0.0)), 0.0)


def choose(accept: Array, new: Array, old: Array, backend: Backend) -> Array:
    """The new rows where a chain accepts, the old ones where it does not; accept is (chains,)."""
    shape = (accept.shape[0],) + (1,) * (new.ndim - 1)
    return backend.xp.where(accept.reshape(shape), new, old)


MOST_UNROLLED = 4
"""With so few classes a loop in Python leaves their numbers known to the compiler, and its gathers slices."""

Update = Callable[[Any, Position], tuple[Array, Array]]
"""From class and position to the new values of its sites (chains, width) and something to count of each."""


def sweep(
    block: DiscreteBlock | PermutationBlock, position: Position, update: Update, backend: Backend
) -> tuple[Position, Array]:
    """Update every class in turn; also returns the mean over sites of what `update` counts: (chains,)."""
    xp = backend.xp

    def visit(cls: Any, carry: tuple[Position, Array]) -> tuple[Position, Array]:
        position, total = carry
        values, counted = update(cls, position)
        real_site = block.sites_of(cls) < block.sites
        total = total + xp.sum(xp.where(real_site, xp.astype(counted, backend.real), 0.0), axis=-1)
        return block.assign(position, cls, values), total

    total = xp.zeros((position[block.name].shape[0],), dtype=backend.real)
    position, total = each_class(block.classes, visit, (position, total), backend)
    return position, total / block.sites


def each_class(
    classes: int,
    visit: Callable[[Any, Tree], Tree],
    carry: Tree,
    backend: Backend,
    unrolled: int = MOST_UNROLLED,
) -> Tree:
    """`for cls in range(classes): carry = visit(cls, carry)`; a body compiles once where there are many."""
    if classes > unrolled:
        return backend.loop(0, classes, visit, carry)
    for cls in range(classes):
        carry = visit(cls, carry)
    return carry
