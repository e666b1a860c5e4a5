"""A path from what can be drawn exactly to a program: one graph whose energy is taken somewhere on the way.

With A the factors that the reference draws, B all others and C the hard constraints, the energy at (β, λ) is

    Σ_A E + β Σ_B E + λ Σ_C cost,    cost = 3 · violation + 0.1 [violated],

from (0, 0), the reference, to (1, ∞), the program (Del Moral, Doucet and Jasra, JRSSB 68, 2006). β and λ are leaves
of the expressions, so that every kernel which is given a level walks the path.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup
from compose_lang.compiler.ir.build import constant, node
from compose_lang.runtime.arrays.protocol import Array, Position, Tree
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.density.level import PRICE, PROGRESS, Level, cost_of
from compose_lang.runtime.populations import fitted


class Place(NamedTuple):
    """Where on a path: β from 0 to 1, and λ from 0 to infinity."""

    progress: float
    price: float

    def increments(self, to: Place, brought: NDArray[Any], cost: NDArray[Any]) -> NDArray[np.float64]:
        """By how much log weights grow on the way to another place, by what comes in and what walls cost."""
        share = to.progress - self.progress
        change = -share * brought if share > 0.0 else np.zeros_like(brought)
        if math.isinf(to.price):
            return np.where(cost > 0.0, -np.inf, change)
        return np.asarray(change - (to.price - self.price) * cost)

    def softer(self, most: float) -> Place:
        """The same place, but for walls that cost at most so much."""
        return self._replace(price=min(self.price, most))


START, END = Place(0.0, 0.0), Place(1.0, math.inf)


@dataclass(frozen=True, eq=False)
class Path:
    """A graph on the way. brought, walls: its groups that come in by β, and by λ."""

    graph: FactorGraph
    brought: tuple[FactorGroup, ...]
    walls: tuple[FactorGroup, ...]

    @staticmethod
    def to(graph: FactorGraph, absorbed: Collection[FactorGroup]) -> Path:
        """The path to a graph's density from the product of the groups that are absorbed."""
        kept = {id(g) for g in absorbed}
        groups: list[FactorGroup] = []
        brought: list[FactorGroup] = []
        walls: list[FactorGroup] = []
        for g in graph.groups:
            if id(g) in kept:
                groups.append(g)
                continue
            priced = on_the_way(g)
            (walls if is_wall(g) else brought).append(priced)
            groups.append(priced)
        return Path(replace(graph, groups=tuple(groups)), tuple(brought), tuple(walls))

    def parts(self, density: Density, position: Position, u: Array, fit: Tree) -> tuple[Array, Array]:
        """What comes in by β and by λ (n,) at positions: Σ_B E, less the reference's where it is fitted, and Σ_C cost.

        u: the continuous coordinates (n, D). fit: the arrays of a fitted reference, whose density is of coordinates.
        """
        b = density.backend
        one = b.asarray([1.0], b.real)
        full = Level(price=one, progress=one)
        names = density.variables if fit else ()
        brought = density.energy_of(position, self.brought, names, full)
        if fit:
            brought = brought - fitted.energy_and_gradient(u, fit, b)[0]
        return brought, density.energy_of(position, self.walls, (), full)


def is_wall(g: FactorGroup) -> bool:
    """Whether a group is a hard constraint that says by how much it is violated."""
    return g.kind == "require" and g.violation is not None


def on_the_way(g: FactorGroup) -> FactorGroup:
    """A group as it comes in along the path."""
    if is_wall(g):
        # an infinite price times no violation is no number
        cost = cost_of(g)
        priced = node("where", node("gt", cost, constant(0.0)), node("mul", PRICE, cost), constant(0.0))
        return replace(g, energy=priced)
    shared = node("mul", PROGRESS, g.energy)
    return replace(g, energy=node("where", node("gt", PROGRESS, constant(0.0)), shared, constant(0.0)))
