"""A `ContinuousBlock`: the unconstrained coordinates of continuous variables as one flat vector a chain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from compose_lang.compiler.graph.factor_graph import FactorGroup, groups_of, moved_with
from compose_lang.compiler.rewrites.tighten_bounds import is_bound
from compose_lang.runtime.arrays.protocol import Array, Position
from compose_lang.runtime.arrays.transforms import unconstrained_shape
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.elimination.summed_out import Joint


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A `ContinuousBlock`: the unconstrained coordinates of some variables as one flat vector a chain.

    summed: finite variables that are summed out of its energy. alone: whether nothing that its energies depend on
    moves between its steps. compiled: a method of its own by name, as the backend runs it. parts: the free sites of
    those variables of which it has only some.
    """

    density: Density
    names: tuple[str, ...]
    level: Level = FULL
    summed: tuple[Joint, ...] = ()
    alone: bool = False
    compiled: Callable[[str], Callable[..., Any]] | None = None
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Axes of each variable's coordinates without the chain's."""
        variables = self.density.variables
        return {
            n: (
                len(self.parts.get(n, range(variables[n].free_sites))),
                *unconstrained_shape(variables[n].type.domain),
            )
            for n in self.names
        }

    @cached_property
    def size(self) -> int:
        return sum(math.prod(s) for s in self.shapes.values())

    @cached_property
    def groups(self) -> list[FactorGroup]:
        """The groups whose energy the block's variables change; constant terms with them if the block is alone."""
        graph = self.density.graph
        groups = list(graph.groups) if self.alone else groups_of(graph, self.moved)
        gone = {name for joint in self.summed for name in joint.summed.exact.names}
        return [g for g in groups if not g.variables & gone]

    @cached_property
    def has_walls(self) -> bool:
        """Whether hard constraints, more than bounds, make its energy infinite somewhere."""
        graph = self.density.graph
        return any(g.kind == "require" and not is_bound(graph, g) for g in self.groups)

    @cached_property
    def moved(self) -> frozenset[str]:
        return moved_with(self.density.graph, self.names)

    def ravel(self, position: Position) -> Array:
        own = [
            position[n][:, self.density.backend.asarray(self.parts[n])] if n in self.parts else position[n]
            for n in self.names
        ]
        parts = [x.reshape((x.shape[0], -1)) for x in own]
        return parts[0] if len(parts) == 1 else self.density.backend.xp.concat(parts, axis=1)

    def unravel(self, position: Position, u: Array) -> Position:
        out = dict(position)
        start = 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            values = u[:, start:stop].reshape((u.shape[0], *shape))
            if name in self.parts:
                sites = self.density.backend.asarray(self.parts[name])
                values = self.density.backend.set_at(position[name], (slice(None), sites), values)
            out[name] = values
            start = stop
        return out

    def energy(self, u: Array, position: Position) -> Array:
        return self._run("energy_at", u, position)

    def energy_and_gradient(self, u: Array, position: Position) -> tuple[Array, Array]:
        energy, gradient = self._run("slope_at", u, position)
        return energy, gradient

    def _run(self, method: str, *arrays: Any) -> Any:
        run = getattr(self, method) if self.compiled is None else self.compiled(method)
        return run(*arrays)

    def energy_at(self, u: Array, position: Position) -> Array:
        """`energy`, as it is computed."""
        here = self.unravel(position, u)
        total = self.density.energy_of(here, self.groups, self.moved, self.level)
        if self.summed:
            values, _ = self.density.constrain(here, self.level)
            for joint in self.summed:
                total = total + joint.free_energy(values)
        return total

    def slope_at(self, u: Array, position: Position) -> tuple[Array, Array]:
        """`energy_and_gradient`, as it is computed."""
        slope = self.density.backend.value_and_grad(lambda w: self.energy_at(w, position))
        energy, gradient = slope(u)
        return energy, gradient
