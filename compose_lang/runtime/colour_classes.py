"""A sweep over the colour classes of a discrete block: what is in a class shares no factor and moves together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compose_lang.runtime.backend import Array, Backend
from compose_lang.runtime.kernel import DiscreteBlock, PermutationBlock, Position

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
    if block.classes <= MOST_UNROLLED:
        for cls in range(block.classes):
            position, total = visit(cls, (position, total))
    else:
        position, total = backend.loop(0, block.classes, visit, (position, total))
    return position, total / block.sites
