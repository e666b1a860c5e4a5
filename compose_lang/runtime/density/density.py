"""A program's density on a backend: its energy at a position, and what is recorded of it.

A position holds for each variable its free sites only, (chains, sites, *unconstrained): unconstrained coordinates
where continuous, values where discrete. Large constants (data, index tables) are kept apart in `constants`, so that
compiled functions take them as arguments and compile time does not grow with them.

In: a factor graph, a backend, and the weights of what the graph has learned. It reads no file and trains nothing.
After: views, which show it to kernels, and the samplers.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.learned_factor import LEVEL, LearnedFactor, learned_factors_in
from compose_lang.compiler.ir.interpret import interpret, large_constants
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.diagnostics import InternalError
from compose_lang.runtime.arrays import transforms
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.density.columns import Column, columns_of
from compose_lang.runtime.density.level import PRICE, PROGRESS, Level
from compose_lang.runtime.learned.energy import Learned, bound
from compose_lang.runtime.learned.foreign.binding import bind

Values = dict[str, Array]
"""Variable name -> (chains, *shape, *event): constrained values of all sites, observed ones among them."""

FULL = Level()


class Density:
    """The measure a program denotes, given its data and the weights of its learned factors.

    constants: a tree of arrays that compiled functions take as an argument; `with_constants` puts traced ones in.
    """

    def __init__(self, graph: FactorGraph, backend: Backend, weights: Learned | None = None) -> None:
        self.graph = graph
        self.backend = backend
        self.variables = {v.name: v for v in graph.variables}
        self.weights = weights or {}
        roots = [g.energy for g in graph.groups] + [d.node for d in graph.derived]
        roots += [g.violation for g in graph.groups if g.violation is not None]
        roots += [b for v in graph.variables for b in (v.lower, v.upper) if b is not None]
        roots += [n for o in graph.offsets.values() for n in (o.location, o.scale)]
        self.inlined: tuple[Node, ...] = ()
        self.parts: tuple[LearnedFactor, ...] = ()
        self.foreign: dict[int, Any] = {}
        self.recurs = False  #: torch.compile would unroll a recurrence, which takes longer than running it
        self.constants: dict[str, Any] = {"data": [], "weights": []}
        self.programs: dict[Any, Any] = {}  #: what is compiled of it once, by what asks
        self._take_in(roots)

    def _take_in(self, roots: Sequence[Node]) -> None:
        """Hold what expressions are evaluated by: their large constants, and their learned factors."""
        backend = self.backend
        held = {id(x) for x in (*self.inlined, *self.parts)}
        inlined = [n for n in large_constants(roots) if id(n) not in held]
        parts = [p for p in learned_factors_in(list(roots)) if id(p) not in held]
        for part in parts:
            if id(part) not in self.weights and not part.is_foreign:
                raise InternalError(f"a density of `{part.name}` needs its weights")
        self.inlined = (*self.inlined, *inlined)
        self.parts = (*self.parts, *parts)
        self.foreign = self.foreign | {id(p): bind(p, backend) for p in parts if p.is_foreign}
        self.recurs = self.recurs or any(n.op == "scan" for n in postorder(roots))
        with backend.scope():
            data = [self._constant(n) for n in inlined]
            weights = [
                {n: backend.asarray(w, backend.real) for n, w in self.weights.get(id(p), {}).items()}
                for p in parts
            ]
        self.constants = {
            "data": [*self.constants["data"], *data],
            "weights": [*self.constants["weights"], *weights],
        }

    def evaluating(self, roots: Sequence[Node]) -> Density:
        """The same density, ready to evaluate more expressions of its variables (see `bindings`)."""
        other = copy.copy(self)
        other.programs = {}
        other._take_in(roots)
        return other

    def require_sound(self) -> None:
        """Raise what foreign code raised while a compiled program ran, which got NaN instead."""
        for code in self.foreign.values():
            if code.failure is not None:
                raise code.failure

    def with_constants(self, constants: Mapping[str, Any]) -> Density:
        """The same density on other arrays for its constants (traced ones, inside a compiled function)."""
        other = copy.copy(self)
        other.constants = dict(constants)
        return other

    def _constant(self, n: Node) -> Array:
        assert n.value is not None
        dtype = {"real": self.backend.real, "int": self.backend.integer}.get(n.dtype)
        return self.backend.asarray(n.value[None], dtype)

    # --- values ---

    def bindings(self, values: Mapping[str, Array], level: Level = FULL) -> dict[int, Array]:
        """Arrays for the leaves of the program's expressions."""
        arrays = {id(n): array for n, array in zip(self.inlined, self.constants["data"], strict=True)}
        arrays.update((id(self.variables[name].node), array) for name, array in values.items())
        noise = self.backend.asarray([0.0], self.backend.real) if level.noise is None else level.noise
        arrays[id(LEVEL)] = noise
        if level.price is not None:
            arrays[id(PRICE)] = level.price
        if level.progress is not None:
            arrays[id(PROGRESS)] = level.progress
        for part, weights in zip(self.parts, self.constants["weights"], strict=True):
            arrays[id(part.slot)] = self.foreign.get(id(part)) or bound(part, weights)
        return arrays

    def constrain(self, position: Position, level: Level = FULL) -> tuple[Values, dict[str, Array]]:
        """Values of all variables, and for each continuous one the log-Jacobian of its transform, (chains,)."""
        values: Values = {}
        jacobians: dict[str, Array] = {}
        for v in self.graph.variables:
            if v.free_sites:
                free, jacobian = self._free_values(v, position[v.name], values, level)
                values[v.name] = self._whole(v, free)
                if jacobian is not None:
                    jacobians[v.name] = jacobian
        return values, jacobians

    def _free_values(
        self, v: Variable, u: Array, values: Values, level: Level = FULL
    ) -> tuple[Array, Array | None]:
        """Values (chains, sites, *event) at a variable's coordinates, given those of the variables before it."""
        if v.is_discrete:
            return u, None
        low, high = self.bounds(v, values, level)
        if v.name in self.graph.offsets:
            return transforms.shift(u, low, high, *self._offset(v, values, level), self.backend)
        return transforms.constrain(v.support, u, low, high, self.backend)

    def bounds(self, v: Variable, values: Values, level: Level = FULL) -> tuple[Any, Any]:
        """Lower and upper bound of the free sites: numbers, or (chains, sites) where they depend on variables."""
        low, high = (
            number if node is None else self.free_sites_of(v, self._per_site(v, node, values, level))
            for node, number in ((v.lower, v.support.lower), (v.upper, v.support.upper))
        )
        return low, high

    def _offset(self, v: Variable, values: Mapping[str, Array], level: Level = FULL) -> tuple[Array, Array]:
        """Location and scale (chains, sites) of a variable that is sampled by its offset."""
        offset = self.graph.offsets[v.name]
        location = self._per_site(v, offset.location, values, level)
        return location, self._per_site(v, offset.scale, values, level)

    def _per_site(self, v: Variable, node: Node, values: Mapping[str, Array], level: Level) -> Array:
        """An expression that broadcasts to a variable's shape, at each of its sites: (chains, sites)."""
        (x,) = interpret(self.backend, [node], self.bindings(values, level))
        lead = (x.shape[0], *(1,) * (len(v.type.shape) - len(node.shape)))
        whole = self.backend.xp.broadcast_to(x.reshape((*lead, *node.shape)), (x.shape[0], *v.type.shape))
        return whole.reshape((x.shape[0], v.type.sites))

    def free_sites_of(self, v: Variable, array: Array) -> Array:
        """The free sites of an array (chains, sites, …)."""
        if v.free.all():
            return array
        return array[:, np.flatnonzero(v.free.reshape(-1))]

    def _whole(self, v: Variable, free: Array) -> Array:
        """Free sites (chains, sites, *event) and observed ones as one array (chains, *shape, *event)."""
        xp = self.backend.xp
        if v.is_discrete:
            free = xp.astype(free, xp.bool) if v.type.domain.kind == "bool" else free
        return self.with_observed(v, free)

    def with_observed(self, v: Variable, free: Array) -> Array:
        """Free sites (chains, sites, *event) and observed ones, in the type of the free ones."""
        xp = self.backend.xp
        chains = free.shape[0]
        event = v.type.domain.event_shape
        if not v.free.all():
            flat = v.free.reshape(-1)
            held = self.backend.asarray(v.observed.reshape((-1, *event))[~flat], free.dtype)
            held = xp.broadcast_to(held[None], (chains, *held.shape))
            place = np.empty(len(flat), dtype=np.int64)
            place[flat] = np.arange(flat.sum())
            place[~flat] = flat.sum() + np.arange((~flat).sum())
            free = xp.concat([free, held], axis=1)[:, self.backend.asarray(place)]
        return free.reshape((chains, *v.type.shape, *event))

    def position_of(self, values: Mapping[str, Any]) -> Position:
        """The position at constrained values (chains, *shape, *event) of every variable that has free sites."""
        whole = {name: self.backend.asarray(value) for name, value in values.items()}
        return self.placed({}, whole)

    def placed(self, position: Position, values: Mapping[str, Array]) -> Position:
        """The position with some variables at constrained values, and the coordinates of the others as they are."""
        known: Values = {}
        found: Position = {}
        for v in self.graph.variables:
            if not v.free_sites:
                continue
            if v.name in values:
                known[v.name] = values[v.name]
                found[v.name] = self._coordinates(v, known)
            else:
                found[v.name] = position[v.name]
                known[v.name] = self._whole(v, self._free_values(v, found[v.name], known)[0])
        return found

    def _coordinates(self, v: Variable, values: Values) -> Array:
        """The coordinates of a variable where it and those before it have these values."""
        array = values[v.name].reshape((-1, v.type.sites, *v.type.domain.event_shape))
        free = self.free_sites_of(v, array)
        if v.is_discrete:
            return self.backend.xp.astype(free, self.backend.integer)
        low, high = self.bounds(v, values)
        if v.name in self.graph.offsets:
            return transforms.unshift(free, low, high, *self._offset(v, values), self.backend)
        return transforms.unconstrain(v.support, free, low, high, self.backend)

    # --- energies ---

    def group_energies(
        self, groups: Sequence[FactorGroup], values: Mapping[str, Array], level: Level = FULL
    ) -> list[Array]:
        """The energy (chains or 1,) of each group, summed over its instances, before shares are taken."""
        return self.energies_in(groups, self.bindings(values, level))

    def energies_in(self, groups: Sequence[FactorGroup], bindings: dict[int, Any]) -> list[Array]:
        """The energy (chains or 1,) of each group, where the leaves of expressions stand for these arrays."""
        results = interpret(self.backend, [g.energy for g in groups], bindings)
        totals = []
        for g, x in zip(groups, results, strict=True):
            repeats = g.instances
            for axis in g.energy.axes:
                repeats //= max(axis.size, 1)
            total = self.backend.xp.sum(x, axis=tuple(range(1, x.ndim))) if x.ndim > 1 else x
            totals.append(total if repeats == 1 else total * repeats)
        return totals

    def energy(self, position: Position, level: Level = FULL) -> Array:
        """Energy (chains,) of a position, log-Jacobians of the transforms included."""
        return self.energy_of(position, self.graph.groups, self.variables, level)

    def energy_of(
        self,
        position: Position,
        groups: Sequence[FactorGroup],
        names: Container[str],
        level: Level = FULL,
    ) -> Array:
        """The energy (chains,) from some groups, and the log-Jacobians of some variables."""
        values, jacobians = self.constrain(position, level)
        chains = next(iter(position.values())).shape[0] if position else 1
        total = self.backend.xp.zeros((chains,), dtype=self.backend.real)
        for energy in self.group_energies(groups, values, level):
            total = total + energy
        total = self.weighed(total, level)
        for name, jacobian in jacobians.items():  # in the program's order, which a set does not keep
            if name in names:
                total = total - jacobian
        return total

    def energy_without_jacobian(self, position: Position) -> Array:
        """The whole energy (chains,) in nats where a position is, without any Jacobian."""
        return self.energy_of(position, self.graph.groups, ())

    def weighed(self, energy: Array, level: Level, violation: Array | None = None) -> Array:
        """An energy (chains, …) at a level's share; what is infinite costs the level's price for its violation.

        Without a violation what is infinite stays so, but for a share of 0, which leaves nothing of it either.
        """
        if level.share is None:
            return energy
        xp = self.backend.xp
        share = level.share.reshape((-1, *(1,) * (energy.ndim - 1)))
        finite = xp.isfinite(energy)
        if violation is None or level.price is None:
            rest = xp.where(share > 0.0, energy, 0.0)
        else:
            # an infinite price times nothing is no number, and has no gradient
            bounded = xp.isfinite(level.price)
            rest = xp.where(bounded, xp.where(bounded, level.price, 0.0) * violation, xp.inf)
        return xp.where(finite, share * xp.where(finite, energy, 0.0), rest)

    def energy_of_values(self, values: Mapping[str, Any]) -> Array:
        """Energy (chains,) at constrained values, without any Jacobian: −log of the program's weight."""
        whole = {}
        for v in self.graph.variables:
            if v.free_sites:
                whole[v.name] = self.backend.asarray(values[v.name], self._dtype(v))
        total = self.backend.xp.zeros((1,), dtype=self.backend.real)
        for energy in self.group_energies(self.graph.groups, whole):
            total = total + energy
        return total

    def _dtype(self, v: Variable) -> Any:
        if not v.is_discrete:
            return self.backend.real
        return self.backend.xp.bool if v.type.domain.kind == "bool" else self.backend.integer

    # --- what is recorded ---

    def record(self, position: Position) -> dict[str, Array]:
        """Values (chains, *shape) of variables, then of recorded `let`s, by name."""
        values, _ = self.constrain(position)
        return self.record_values(values, next(iter(position.values())).shape[0])

    def record_values(self, values: Values, chains: int) -> dict[str, Array]:
        """Values (chains, *shape) of variables as they are recorded, then of `let`s, by name."""
        xp = self.backend.xp
        out: dict[str, Array] = {}
        for v in self.graph.variables:
            if v.free_sites:
                out[v.name] = values[v.name]
            else:
                held = self.backend.asarray(v.observed, self._dtype(v))
                out[v.name] = xp.broadcast_to(held[None], (chains, *v.type.full_shape))
        results = interpret(self.backend, [d.node for d in self.graph.derived], self.bindings(values))
        for d, x in zip(self.graph.derived, results, strict=True):
            out[d.name] = xp.broadcast_to(x, (chains, *d.node.shape))
        return out

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """What is recorded, in order."""
        return columns_of(self.graph)
