"""How a trajectory ends that is not taken: it has diverged, or it has come to a wall of hard constraints.

A wall is where the energy is infinite; in a block with hard constraints that is no fault of the step size, and the
draws are right, if fewer. Where there are no such constraints an infinite energy has overflowed: that is a divergence.
"""

from __future__ import annotations

from typing import Any

from compose_lang.runtime.arrays.protocol import Array
from compose_lang.runtime.kernels.common.adaptation import MOST_ENERGY_ERROR
from compose_lang.runtime.kernels.common.kernel import ContinuousBlock


def ended(block: ContinuousBlock, error: Array, energy: Array, xp: Any) -> dict[str, Array]:
    """The statistics `diverging`, and `at_wall` where a block has walls, of energy errors and energies (chains,)."""
    lost = ~(error <= MOST_ENERGY_ERROR)
    if not block.has_walls:
        return {"diverging": lost}
    at_wall = lost & (energy == xp.inf)
    return {"diverging": lost & ~at_wall, "at_wall": at_wall}
