"""A `LineBlock`: real variables in their own values as one flat vector a chain, and how far one may go along a line.

In: a density, and the straight inequalities that its hard constraints state (`compiler/constraints/polyhedron`). Out:
what a kernel that moves all of a block along a line sees: the energy with respect to Lebesgue measure of values, and
the chord that bounds and straight walls cut out of the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from compose_lang.compiler.constraints.polyhedron import polyhedron
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable, groups_of
from compose_lang.compiler.graph.objects import bounds_as_factors
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.arrays.transforms import is_infinite
from compose_lang.runtime.density.density import Density, Values
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.views.objects import bounded_energy, released
from compose_lang.runtime.views.view import View

MOST_NUMBERS = 10**6
"""Coefficients of straight walls, zeros among them, that are worth multiplying at each step."""


@dataclass(frozen=True, eq=False)
class LineView:
    """A `LineBlock` of some real variables.

    tables: of straight walls, their coefficients `walls` (rows, sites) of the free sites of the variables `reals`, one
    after another, and their `limit` (rows,). bounds: of variables whose bounds read others, as factors.
    """

    density: Density
    names: tuple[str, ...]
    reals: tuple[str, ...]
    bounds: tuple[FactorGroup, ...]
    tables: Tree
    level: Level

    @cached_property
    def sizes(self) -> dict[str, int]:
        return {n: self.density.variables[n].free_sites for n in self.names}

    @property
    def size(self) -> int:
        return sum(self.sizes.values())

    def hold(self, position: Position) -> Values:
        """The values of all variables."""
        return self.density.constrain(position, self.level)[0]

    def release(self, position: Position, held: Values) -> Position:
        """The position at values in which the block may have moved."""
        return released(self.density, position, held, self.names, self.level)

    def ravel(self, held: Values) -> Array:
        return self.free_values(held, self.names)

    def free_values(self, held: Values, names: Sequence[str]) -> Array:
        """The values (chains, sites) of the free sites of some variables."""
        variables = [self.density.variables[n] for n in names]
        parts = [self.density.free_sites_of(v, held[v.name].reshape((-1, v.type.sites))) for v in variables]
        return self.density.backend.xp.concat(parts, axis=1)

    def unravel(self, held: Values, x: Array) -> Values:
        out, start = dict(held), 0
        for name, size in self.sizes.items():
            out[name] = self.density.with_observed(self.density.variables[name], x[:, start : start + size])
            start += size
        return out

    def energy(self, x: Array, held: Values) -> Array:
        """Energy (chains,) of the factors that read the block, infinite outside the bounds."""
        xp, names = self.density.backend.xp, frozenset(self.names)
        here = self.unravel(held, x)
        factors = groups_of(self.density.graph, names)
        bounds = [g for g in self.bounds if names & g.variables]
        low, high = self.box
        fits = xp.all((x > low) & (x < high), axis=1)
        return xp.where(fits, bounded_energy(self.density, here, factors, bounds, self.level), xp.inf)

    @cached_property
    def box(self) -> tuple[Array, Array]:
        """The bounds (sites,) that are numbers; the others are factors."""
        rows: list[list[float]] = [[], []]
        for name, size in self.sizes.items():
            v = self.density.variables[name]
            ends = ((v.lower, v.support.lower, -np.inf), (v.upper, v.support.upper, np.inf))
            for row, (node, number, none) in zip(rows, ends, strict=True):
                row += [number if node is None and not is_infinite(number) else none] * size
        backend = self.density.backend
        low, high = (backend.asarray(np.array(row), backend.real) for row in rows)
        return low, high

    def chord(self, x: Array, direction: Array, held: Values) -> tuple[Array, Array]:
        """The ends (chains,) of the t at which x + t direction lies within bounds and straight walls.

        Walls count at the whole energy only: where a share of it counts, what lies behind them is possible too.
        """
        xp, (low, high) = self.density.backend.xp, self.box
        reach = [(high - x, direction), (x - low, -direction)]
        walls, limit = self.tables["walls"], self.tables["limit"]
        if walls.shape[0] and self.level.share is None:
            nothing = {n: xp.zeros_like(held[n]) for n in self.reals}
            moved = self.free_values(self.unravel(nothing, direction), self.reals)
            there = self.free_values(self.unravel(held, x), self.reals)
            reach.append((limit - product(there, walls, xp), product(moved, walls, xp)))
        # room / speed is how far it is to a wall ahead, and minus how far to one behind
        ahead = [xp.where(v > 0.0, room / xp.where(v > 0.0, v, 1.0), xp.inf) for room, v in reach]
        behind = [xp.where(v < 0.0, room / xp.where(v < 0.0, v, 1.0), -xp.inf) for room, v in reach]
        first = xp.max(xp.concat(behind, axis=1), axis=1)
        last = xp.min(xp.concat(ahead, axis=1), axis=1)
        return xp.clip(first, None, 0.0), xp.clip(last, 0.0, None)


def product(x: Array, walls: Array, xp: Any) -> Array:
    """`walls @ x` (chains, rows): a sum, whose bits do not depend on how many chains there are."""
    return xp.sum(x[:, None, :] * walls, axis=-1)


def line_view(graph: FactorGraph, variables: Sequence[Variable], backend: Backend) -> View | None:
    """Some variables as one vector of values; None where not all are reals."""
    if any(v.type.domain.kind != "real" for v in variables):
        return None
    found, bounds = polyhedron(graph), bounds_as_factors(graph)
    names = tuple(v.name for v in variables)
    coefficients = [r.coefficients for r in found.rows]
    limits = [r.limit for r in found.rows]
    sites = len(found.lower)
    if not coefficients or sum(len(c) for c in coefficients) * sites > MOST_NUMBERS:
        coefficients, limits = [np.zeros((0, sites))], [np.zeros(0)]
    walls, limit = np.concatenate(coefficients), np.concatenate(limits)
    own = np.concatenate([np.full(v.free_sites, v.name in names) for v in found.variables])
    kept = (walls[:, own] != 0.0).any(axis=1)
    tables = {
        "walls": backend.asarray(walls[kept], backend.real),
        "limit": backend.asarray(limit[kept], backend.real),
    }
    reals = tuple(v.name for v in found.variables)
    return View(
        [g.energy for g in bounds], tables, lambda d, t, level, _: LineView(d, names, reals, bounds, t, level)
    )
