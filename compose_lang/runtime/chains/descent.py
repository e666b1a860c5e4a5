"""Feasible starts: descent on the violation of hard constraints from many random points at once.

Each step is Polyak's, over-relaxed: u - λ v ∇v / |∇v|² with v the summed violation and λ between 1 and 2, projected
into the box of what is bounded (Polyak 1969; it is a subgradient projection, which for a convex feasible set with an
inside ends after finitely many steps). Where the set is not convex a row may be stuck: then others of its chain are
not. Constraints of discrete sites alone stay as the solver or chance has them.

In: a density, keys, and the positions of what does not move. Out: for each key the first of its rows that holds, or
else the one that violates least. From there the energy of what is not hard is descended too, and every step that
leaves the feasible set is repaired: a chain that starts far above the bulk would take long along walls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGroup, Variable
from compose_lang.runtime.arrays.protocol import Array, Position, Tree
from compose_lang.runtime.arrays.threefry import threefry
from compose_lang.runtime.arrays.transforms import unconstrained_shape
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.chains.scattering import scattered
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.views.coordinates import Coordinates

RESTARTS = 16  #: rows of a chain that descend side by side
ROUNDS = 3  #: times that chains of which no row held begin anew
STEPS = 400  #: in a round
PATIENCE = 60  #: steps without a gain, after which a row is stuck
GAIN = 0.999  #: of the least violation, below which another is a gain
RELAXATION = 1.5
MOST_STEP = 0.5  #: of a coordinate, relative to 1 + |u|
EDGE = 1e-4  #: how near to the ends of its interval a bounded coordinate may come, of its width
SOFT_STEPS = 150  #: down the soft energy
RATE = 0.05  #: of the first of them, in every coordinate


def descend(
    density: Density,
    keys: Array,
    level: Level = FULL,
    fixed: Position | None = None,
    start: Position | None = None,
) -> Position:
    """For each key (chains, 2) a position where hard constraints over continuous variables hold, if one is found.

    Where none is, the position that violates them least of those that were tried. fixed: coordinates (chains, …) of
    variables that stay; start: a position whose discrete sites stay. Needs a backend with gradients.
    """
    backend = density.backend
    fixed = dict(fixed or {})
    fixed |= {v.name: start[v.name] for v in density.graph.variables if start and is_still(v)}
    descent = Descent(density, level, frozenset(fixed))
    if not descent.names or not descent.groups:
        return start or scattered(density, keys, 0, fixed)
    run = backend.compile(descent.run) if backend.compiles_whole else descent.run
    position: dict[str, np.ndarray] = {}
    least = np.full(keys.shape[0], np.inf)
    for number in range(ROUNDS):
        rows = scattered(density, row_keys(density, keys, number), 0, repeated(fixed, density))
        # what follows a compiled function is NumPy's: JAX would compile each operation by itself
        tried, violation, when = tree_map(
            backend.to_numpy, run(density.constants, rows, repeated(level, density))
        )
        chosen = first_rows(violation, when)
        better = violation[chosen] < least
        for name, array in tried.items():
            take = better.reshape((-1, *(1,) * (array.ndim - 1)))
            position[name] = np.where(take, array[chosen], position.get(name, array[chosen]))
        least = np.where(better, violation[chosen], least)
        if (least <= 0.0).all():
            break
    found = {name: backend.asarray(array, rows[name].dtype) for name, array in position.items()}
    if descent.has_soft and (least <= 0.0).any():
        lower = backend.compile(descent.lowered) if backend.compiles_whole else descent.lowered
        found = lower(density.constants, found, level)
    return found


def is_still(v: Variable) -> bool:
    return v.is_discrete and v.free_sites > 0


def row_keys(density: Density, keys: Array, number: int) -> Array:
    """Keys (chains * RESTARTS, 2) of the rows of each chain in a round."""
    backend = density.backend
    words = np.asarray(backend.to_numpy(keys)).astype(np.uint32)
    rows = np.arange(RESTARTS, dtype=np.uint32)[None, :]
    counter = rows, np.full_like(rows, 11 + number)
    pair = threefry((words[:, :1], words[:, 1:]), counter)
    return backend.asarray(np.stack(pair, axis=-1).reshape(-1, 2), backend.word)


def repeated(tree: Tree, density: Density) -> Tree:
    """What there is for each chain, for each of its rows; what is one for all stays so."""
    backend = density.backend
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {name: repeated(array, density) for name, array in tree.items()}
    if isinstance(tree, Level):
        return Level(*(repeated(array, density) for array in tree))
    if tree.shape[0] == 1 and tree.ndim == 1:
        return tree
    return tree[backend.asarray(np.repeat(np.arange(tree.shape[0]), RESTARTS), backend.integer)]


def first_rows(violation: np.ndarray, when: np.ndarray) -> np.ndarray:
    """The number of the row of each chain that held first, or violates least."""
    share = np.where(np.isfinite(violation), violation / (1.0 + np.abs(violation)), 1.0)
    score = np.where(violation <= 0.0, when, STEPS + 1 + share).reshape(-1, RESTARTS)
    return score.argmin(axis=1) + RESTARTS * np.arange(len(score))


@dataclass(frozen=True, eq=False)
class Descent:
    """Descent on the summed violation, in coordinates u (rows, D): what lies in an interval as its share of it."""

    density: Density
    level: Level
    fixed: frozenset[str]

    @cached_property
    def groups(self) -> list[FactorGroup]:
        """The hard constraints that move with continuous variables, with their violations as energies."""
        moving = {v.name for v in self.density.graph.variables if not v.is_discrete and v.free_sites}
        required = [g for g in self.density.graph.groups if g.kind == "require"]
        costs = [(g, g.violation) for g in required if g.violation is not None]
        return [replace(g, energy=away) for g, away in costs if away.variables & moving]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The variables that move."""
        variables = self.density.graph.variables
        return tuple(
            v.name for v in variables if v.free_sites and not v.is_discrete and v.name not in self.fixed
        )

    @cached_property
    def block(self) -> Coordinates:
        return Coordinates(self.density, self.names)

    @cached_property
    def is_share(self) -> np.ndarray:
        """Which coordinates (D,) are shares of an interval."""
        variables, graph = self.density.variables, self.density.graph
        parts = []
        for name in self.names:
            v = variables[name]
            numbers = np.isfinite([v.support.lower, v.support.upper]).all() and v.lower is v.upper is None
            boxed = bool(numbers and v.support.kind == "real" and name not in graph.offsets)
            size = v.free_sites * int(np.prod(unconstrained_shape(v.type.domain), dtype=np.int64))
            parts.append(np.full(size, boxed))
        return np.concatenate(parts)

    def position(self, u: Array, others: Position) -> Position:
        """The position at coordinates (rows, D)."""
        backend, xp = self.density.backend, self.density.backend.xp
        shares = backend.asarray(self.is_share)
        inside = xp.where(shares, u, 0.5)
        return self.block.unravel(others, xp.where(shares, xp.log(inside) - xp.log1p(-inside), u))

    def violation(self, density: Density, u: Array, others: Position, level: Level) -> Array:
        """The summed violation (rows,) at coordinates (rows, D)."""
        values, _ = density.constrain(self.position(u, others), level)
        total = density.backend.xp.zeros((u.shape[0],), dtype=density.backend.real)
        for each in density.group_energies(self.groups, values, level):
            total = total + each
        return total

    def repaired(self, u: Array, violation: Array, gradient: Array) -> Array:
        """Coordinates after one of Polyak's steps."""
        xp = self.density.backend.xp
        gradient = xp.where(xp.isfinite(gradient), gradient, 0.0)
        square = xp.sum(gradient * gradient, axis=1)
        length = RELAXATION * violation / xp.where(square > 0.0, square, 1.0)
        most = MOST_STEP * (1.0 + xp.abs(u))
        return self.inside(u - xp.clip(length[:, None] * gradient, -most, most))

    def inside(self, u: Array) -> Array:
        """Coordinates, projected into what is bounded."""
        xp = self.density.backend.xp
        return xp.where(self.density.backend.asarray(self.is_share), xp.clip(u, EDGE, 1.0 - EDGE), u)

    def run(self, constants: Tree, rows: Position, level: Level) -> tuple[Position, Array, Array]:
        """The best position of each row, its violation (rows,), and the step that came to it."""
        density, backend = self.density.with_constants(constants), self.density.backend
        xp = backend.xp
        slope = backend.value_and_grad(lambda u: self.violation(density, u, rows, level))

        def going(state: Tree) -> Array:
            step, _, _, least, when = state
            held = xp.any((least <= 0.0).reshape((-1, RESTARTS)), axis=1)
            return (step <= STEPS) & ~xp.all(held) & xp.any((least > 0.0) & (step - when <= PATIENCE))

        def body(state: Tree) -> Tree:
            step, u, best, least, when = state
            here, gradient = slope(u)
            # a row that is stuck stays so, however long others go on: what it comes to is its own
            better = ((here < GAIN * least) | ((here <= 0.0) & (least > 0.0))) & (step - when <= PATIENCE)
            best = xp.where(better[:, None], u, best)
            when = xp.where(better, step, when)
            least = xp.where(better, here, least)
            stays = (least <= 0.0) | ~xp.isfinite(here)
            return step + 1, xp.where(stays[:, None], u, self.repaired(u, here, gradient)), best, least, when

        # chance is uniform in (-2, 2), so a share is uniform in its interval
        u = self.block.ravel(rows)
        u = self.inside(xp.where(backend.asarray(self.is_share), 0.25 * (u + 2.0), u))
        least = xp.full((u.shape[0],), xp.inf, dtype=backend.real)
        first = backend.asarray(0, backend.integer)
        when = xp.zeros((u.shape[0],), dtype=backend.integer)
        _, _, best, least, when = backend.repeat(going, body, (first, u, u, least, when))
        return self.position(best, rows), least, when

    @property
    def has_soft(self) -> bool:
        return any(g.kind != "require" for g in self.density.graph.groups)

    def lowered(self, constants: Tree, position: Position, level: Level) -> Position:
        """The positions of least energy on a way down it, on which every step is repaired (Adam's, Kingma and Ba)."""
        density, backend = self.density.with_constants(constants), self.density.backend
        xp = backend.xp
        soft = [g for g in density.graph.groups if g.kind != "require"]
        names = density.variables

        def energy(u: Array) -> Array:
            return density.energy_of(self.position(u, position), soft, names, level)

        slope = backend.value_and_grad(energy)
        repair = backend.value_and_grad(lambda u: self.violation(density, u, position, level))

        def body(i: Any, state: Tree) -> Tree:
            u, best, least, mean, square = state
            here, gradient = slope(u)
            violation, outward = repair(u)
            better = (here < least) & (violation <= 0.0)
            best = xp.where(better[:, None], u, best)
            least = xp.where(better, here, least)
            gradient = xp.where(xp.isfinite(gradient), gradient, 0.0)
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.99 * square + 0.01 * gradient * gradient
            t = i + 1.0
            direction = mean / (1.0 - 0.9**t) / (xp.sqrt(square / (1.0 - 0.99**t)) + 1e-30)
            moved = self.inside(u - RATE * (1.0 - i / SOFT_STEPS) * direction)
            broken = violation > 0.0
            u = xp.where(broken[:, None], self.repaired(u, violation, outward), moved)
            return u, best, least, mean, square

        u = self.block.ravel(position)
        u = self.inside(xp.where(backend.asarray(self.is_share), backend.special.expit(u), u))
        least = xp.full((u.shape[0],), xp.inf, dtype=backend.real)
        zero = xp.zeros_like(u)
        best = backend.loop(0, SOFT_STEPS, body, (u, u, least, zero, zero))[1]
        return self.position(best, position)
