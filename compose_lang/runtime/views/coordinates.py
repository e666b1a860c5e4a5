"""A `ContinuousBlock`: the unconstrained coordinates of continuous variables as one flat vector a chain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, moved_with
from compose_lang.runtime.arrays.protocol import Array
from compose_lang.runtime.arrays.transforms import unconstrained_shape
from compose_lang.runtime.kernels.common.kernel import Position

if TYPE_CHECKING:
    from compose_lang.runtime.density.density import Density


def groups_of(graph: FactorGraph, names: frozenset[str]) -> list[FactorGroup]:
    """The groups that read some variables."""
    return [g for g in graph.groups if names & g.variables]


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A `ContinuousBlock`: the unconstrained coordinates of some variables as one flat vector a chain."""

    density: Density
    names: tuple[str, ...]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Axes of each variable's coordinates without the chain's."""
        variables = self.density.variables
        return {
            n: (variables[n].free_sites, *unconstrained_shape(variables[n].type.domain)) for n in self.names
        }

    @cached_property
    def size(self) -> int:
        return sum(math.prod(s) for s in self.shapes.values())

    @cached_property
    def alone(self) -> bool:
        """Whether energies stay what they are between its steps: nothing that they depend on moves, no price rises."""
        others = [b for b in self.density.plan.blocks if b.variables != self.names]
        return all(b.variables in self.summed for b in others) and self.density.steady

    @cached_property
    def summed(self) -> tuple[tuple[str, ...], ...]:
        """Finite variables that are summed out of its energy."""
        found = [b.summed for b in self.density.plan.blocks if b.variables == self.names]
        return found[0] if found else ()

    @cached_property
    def groups(self) -> list[FactorGroup]:
        """The groups whose energy the block's variables change; constant terms with them if the block is alone."""
        found = list(self.density.graph.groups) if self.alone else groups_of(self.density.graph, self.moved)
        gone = {name for names in self.summed for name in names}
        return [g for g in found if not g.variables & gone]

    @cached_property
    def moved(self) -> frozenset[str]:
        return moved_with(self.density.graph, self.names)

    def ravel(self, position: Position) -> Array:
        parts = [position[n].reshape((position[n].shape[0], -1)) for n in self.names]
        return parts[0] if len(parts) == 1 else self.density.backend.xp.concat(parts, axis=1)

    def unravel(self, position: Position, u: Array) -> Position:
        out = dict(position)
        start = 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            out[name] = u[:, start:stop].reshape((u.shape[0], *shape))
            start = stop
        return out

    def energy(self, u: Array, position: Position) -> Array:
        run = self.density.compiled(
            ("energy", self.names), lambda d, *at: Coordinates(d, self.names).energy_at(*at)
        )
        return run(u, position)

    def energy_at(self, u: Array, position: Position) -> Array:
        here = self.unravel(position, u)
        total = self.density.energy_of(here, self.groups, self.moved)
        if self.summed:
            values, _ = self.density.constrain(here)
            for names in self.summed:
                total = total + self.density.joint(names).free_energy(values)
        return total

    def energy_and_gradient(self, u: Array, position: Position) -> tuple[Array, Array]:
        def both(density: Density, u: Array, position: Position) -> tuple[Array, Array]:
            here = Coordinates(density, self.names)
            found: tuple[Array, Array] = density.backend.value_and_grad(
                lambda w: here.energy_at(w, position)
            )(u)
            return found

        found: tuple[Array, Array] = self.density.compiled(("gradient", self.names), both)(u, position)
        return found
