"""A program's density on a backend: its energy at a position, what is recorded of it, and the blocks kernels see.

A position holds for each variable its free sites only, (chains, sites, *unconstrained): unconstrained coordinates
where continuous, values where discrete. Large constants (data, index tables) are kept apart in `constants`, so that
compiled functions take them as arguments and compile time does not grow with them.

Before: `compiler/graph/factor_graph.py` and `runtime/planning/plan.py`. After: kernels and the driver.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable
from compose_lang.compiler.graph.learned_factor import LEVEL, learned_factors_in
from compose_lang.compiler.ir.interpret import interpret, large_constants
from compose_lang.compiler.ir.node import Node, postorder
from compose_lang.compiler.ir.types import BOOL, INT, REAL, Type
from compose_lang.runtime.arrays import transforms
from compose_lang.runtime.arrays.protocol import Array, Backend
from compose_lang.runtime.chains.starts import find_start
from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.elimination.summed_out import Joint
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.kernels.common.kernel import Position
from compose_lang.runtime.learned.energy import Learned, bound
from compose_lang.runtime.learned.foreign.binding import bind
from compose_lang.runtime.learning.obtain import by_part, obtain
from compose_lang.runtime.planning.plan import Plan
from compose_lang.runtime.views.coordinates import Coordinates
from compose_lang.runtime.views.views import views_of

Values = dict[str, Array]
"""Variable name -> (chains, *shape, *event): constrained values of all sites, observed ones among them."""


class Density:
    """The measure a program denotes, given its data.

    constants: a tree of arrays that compiled functions take as an argument; `with_constants` puts traced ones in.
    """

    def __init__(
        self, graph: FactorGraph, plan: Plan, backend: Backend, learned: Learned | None = None
    ) -> None:
        self.graph = graph
        self.plan = plan
        self.backend = backend
        self.variables = {v.name: v for v in graph.variables}
        with backend.scope():
            self.seen = views_of(graph, plan, backend)
        roots = [g.energy for g in graph.groups] + [d.node for d in graph.derived]
        roots += [g.violation for g in graph.groups if g.violation is not None]
        roots += [b for v in graph.variables for b in (v.lower, v.upper) if b is not None]
        roots += [n for o in graph.offsets.values() for n in (o.location, o.scale)]
        roots += [energy for seen in self.seen.values() for energy in seen.energies]
        self.inlined = large_constants(roots)
        self.parts = learned_factors_in(roots)
        known = learned or {}
        self.learned: Learned = {**by_part(obtain(p for p in self.parts if id(p) not in known)), **known}
        self.foreign = {id(p): bind(p, backend) for p in self.parts if p.is_foreign}
        self.level: Array | None = (
            None  #: of noise, (chains,) or (1,); None: 0, the density that the program denotes
        )
        self.steady = (
            True  #: whether the energy of a position never changes (it does while a search raises prices)
        )
        self.held: Position = {}  #: coordinates (chains, …) of variables that every start has: params being fitted
        self.programs: dict[Any, Callable[..., Any]] = {}  #: see `compiled`
        #: torch.compile would unroll a recurrence, which takes longer than running it
        self.recurs = any(n.op == "scan" for n in postorder(roots)) or any(
            seen.loops for seen in self.seen.values()
        )
        with backend.scope():
            self.constants: dict[str, Any] = {
                "data": [self._constant(n) for n in self.inlined],
                "seen": [seen.tables for seen in self.seen.values()],
                "weights": [
                    {n: backend.asarray(w, backend.real) for n, w in self.learned.get(id(p), {}).items()}
                    for p in self.parts
                ],
            }

    def compiled(self, name: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function(density, *arrays)`, compiled by itself where the backend does not compile whole sweeps."""
        if self.backend.whole_programs or self.recurs:
            return lambda *arrays: function(self, *arrays)
        if name not in self.programs:
            self.programs[name] = self.backend.compile(
                lambda constants, *arrays: function(self.with_constants(constants), *arrays)
            )
        return lambda *arrays: self.programs[name](self.constants, *arrays)

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

    def at_level(self, level: Array) -> Density:
        """The same program with its learned energies at a level of noise (chains,) or (1,)."""
        other = copy.copy(self)
        other.level = level
        return other

    def _constant(self, n: Node) -> Array:
        assert n.value is not None
        dtype = {"real": self.backend.real, "int": self.backend.integer}.get(n.dtype)
        return self.backend.asarray(n.value[None], dtype)

    # --- values ---

    def bindings(self, values: Mapping[str, Array]) -> dict[int, Array]:
        """Arrays for the leaves of the program's expressions."""
        found = {id(n): array for n, array in zip(self.inlined, self.constants["data"], strict=True)}
        found.update((id(self.variables[name].node), array) for name, array in values.items())
        level = self.level
        found[id(LEVEL)] = self.backend.asarray([0.0], self.backend.real) if level is None else level
        for part, weights in zip(self.parts, self.constants["weights"], strict=True):
            found[id(part.slot)] = self.foreign.get(id(part)) or bound(part, weights)
        return found

    def constrain(self, position: Position) -> tuple[Values, dict[str, Array]]:
        """Values of all variables, and for each continuous one the log-Jacobian of its transform, (chains,)."""
        values: Values = {}
        jacobians: dict[str, Array] = {}
        for v in self.graph.variables:
            if v.free_sites:
                free, jacobian = self._free_values(v, position[v.name], values)
                values[v.name] = self._whole(v, free)
                if jacobian is not None:
                    jacobians[v.name] = jacobian
        return values, jacobians

    def _free_values(self, v: Variable, u: Array, values: Values) -> tuple[Array, Array | None]:
        """Values (chains, sites, *event) at a variable's coordinates, given those of the variables before it."""
        if v.is_discrete:
            return u, None
        low, high = self._bounds(v, values)
        free, jacobian = transforms.constrain(v.support, u, low, high, self.backend)
        if v.name in self.graph.offsets:
            location, scale = self._offset(v, values)
            free = location + scale * free
            jacobian = self.backend.xp.sum(self.backend.xp.log(scale), axis=1)
        return free, jacobian

    def _bounds(self, v: Variable, values: Values) -> tuple[Any, Any]:
        """Lower and upper bound of the free sites: numbers, or (chains, sites) where they depend on variables."""
        found: list[Any] = []
        for node, number in ((v.lower, v.support.lower), (v.upper, v.support.upper)):
            if node is None:
                found.append(number)
                continue
            found.append(self._free_sites(v, self._per_site(v, node, values)))
        return found[0], found[1]

    def _offset(self, v: Variable, values: Mapping[str, Array]) -> tuple[Array, Array]:
        """Location and scale (chains, sites) of a variable that is sampled by its offset."""
        offset = self.graph.offsets[v.name]
        return self._per_site(v, offset.location, values), self._per_site(v, offset.scale, values)

    def _per_site(self, v: Variable, node: Node, values: Mapping[str, Array]) -> Array:
        """An expression that broadcasts to a variable's shape, at each of its sites: (chains, sites)."""
        (x,) = interpret(self.backend, [node], self.bindings(values))
        lead = (x.shape[0], *(1,) * (len(v.type.shape) - len(node.shape)))
        whole = self.backend.xp.broadcast_to(x.reshape((*lead, *node.shape)), (x.shape[0], *v.type.shape))
        return whole.reshape((x.shape[0], v.type.sites))

    def _free_sites(self, v: Variable, array: Array) -> Array:
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
        free = self._free_sites(v, array)
        if v.is_discrete:
            return self.backend.xp.astype(free, self.backend.integer)
        low, high = self._bounds(v, values)
        if v.name in self.graph.offsets:
            location, scale = self._offset(v, values)
            free = (free - location) / scale
        return transforms.unconstrain(v.support, free, low, high, self.backend)

    # --- energies ---

    def group_energies(self, groups: Sequence[FactorGroup], values: Mapping[str, Array]) -> list[Array]:
        """The energy (chains or 1,) of each group, summed over its instances."""
        return self.energies_in(groups, self.bindings(values))

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

    def energy(self, position: Position) -> Array:
        """Energy (chains,) of a position, log-Jacobians of the transforms included."""
        return self.energy_of(position, self.graph.groups, self.variables)

    def energy_of(self, position: Position, groups: Sequence[FactorGroup], names: Container[str]) -> Array:
        """The energy (chains,) from some groups, and the log-Jacobians of some variables."""
        values, jacobians = self.constrain(position)
        chains = next(iter(position.values())).shape[0] if position else 1
        total = self.backend.xp.zeros((chains,), dtype=self.backend.real)
        for energy in self.group_energies(groups, values):
            total = total + energy
        total = self.shared(total)
        for (
            name,
            jacobian,
        ) in jacobians.items():  # in the program's order: that of a set changes from run to run
            if name in names:
                total = total - jacobian
        return total

    def energy_without_jacobian(self, position: Position) -> Array:
        """The whole energy (chains,) in nats where a position is, no share of it and no Jacobian."""
        values, _ = self.constrain(position)
        chains = next(iter(position.values())).shape[0]
        total = self.backend.xp.zeros((chains,), dtype=self.backend.real)
        for energy in self.group_energies(self.graph.groups, values):
            total = total + energy
        return total

    def shared(self, energy: Array) -> Array:
        """The share of an energy (chains, …) that counts for each chain: all, unless replicas are tempered.

        A share of 0 leaves nothing of an infinite energy either.
        """
        share = self.constants.get("share")
        if share is None:
            return energy
        xp = self.backend.xp
        share = share.reshape((-1, *(1,) * (energy.ndim - 1)))
        finite = xp.isfinite(energy)
        return xp.where(finite, share * xp.where(finite, energy, 0.0), xp.where(share > 0.0, energy, 0.0))

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

    # --- what kernels and the driver see ---

    def block(self, names: tuple[str, ...], kernel: str = "") -> Any:
        """What a kernel sees of some variables; unnamed, one that goes site by site or draws them jointly."""
        ways = [load_kernel(kernel).view] if kernel else ["sites", "joint"]
        found = [sees for sees in ways if (names, sees) in self.seen]
        return self.shown(names, found[0]) if found else Coordinates(self, names)

    def joint(self, names: tuple[str, ...]) -> Joint:
        """Finite variables that are summed out, or drawn jointly."""
        found: Joint = self.shown(names, "joint")
        return found

    def shown(self, names: tuple[str, ...], sees: str) -> Any:
        """What was made for kernels that see this of some variables, on the density's constants."""
        place = list(self.seen).index((names, sees))
        return self.seen[names, sees].show(self, self.constants["seen"][place])

    def initial(self, keys: Array, backend: Backend) -> Position:
        """A start of finite energy for each chain; a ComposeError says why where none is found."""
        return find_start(self, keys)

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
        found = []
        for v in self.graph.variables:
            observed = ~v.free.reshape((*v.type.shape, *(1,) * len(v.type.domain.event_shape)))
            held = np.broadcast_to(observed, v.type.full_shape) if observed.any() else None
            found.append(Column(v.name, v.type, False, held))
        plain = {"real": REAL, "int": INT, "bool": BOOL}
        for d in self.graph.derived:
            found.append(Column(d.name, Type(plain[d.node.dtype], d.node.shape), True, None))
        return tuple(found)
