"""An `ObjectBlock`: the objects of one continuous variable, in values and in classes that share no factor.

In: a density, and what `compiler/analyses/conditionals` has found of a variable's objects. Out: what moves them one at
a time sees: energies of the factors that touch an object, with respect to Lebesgue measure of its values. A sweep holds
values, and goes back to coordinates once at its end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.conditionals import of_objects
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable, groups_of, moved_with
from compose_lang.compiler.graph.objects import bounds_as_factors, objects_of
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.arrays.transforms import is_infinite, wrapped
from compose_lang.runtime.density.density import FULL, Density, Values
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.views.conditional import InClasses, row
from compose_lang.runtime.views.view import View, integers


@dataclass(frozen=True, eq=False)
class ObjectView(InClasses):
    """An `ObjectBlock`: the objects of one variable.

    tables: also the free sites of each object whose sites are all free, `whole` (objects, k), for swaps; and the number
    of each member's sites among all, `numbers` (classes, width, k), that of sites for padding. bounds: of all variables
    whose bounds read others, as factors.
    """

    bounds: tuple[FactorGroup, ...] = ()

    @property
    def variable(self) -> Variable:
        return self.local.variable

    @property
    def objects(self) -> int:
        return int((self.local.members[..., 0] < self.sites).sum())

    @property
    def size(self) -> int:
        return int(self.local.members.shape[2])

    def real_members(self, cls: Any) -> Array:
        """Which numbers of a class's members are no padding, (width, k)."""
        return row(self.tables["members"], cls) < self.sites

    # --- values ---

    def hold(self, position: Position) -> Values:
        """The values of all variables, which sweeps go by."""
        return self.density.constrain(position, self.level)[0]

    def release(self, position: Position, held: Values) -> Position:
        """The position at values in which the variable may have moved."""
        return released(self.density, position, held, [self.name], self.level)

    @cached_property
    def is_one_class(self) -> bool:
        """Whether one class has all sites of the variable in order: gathers and scatters take long to compile."""
        members, v = self.local.members, self.variable
        return members.shape[0] == 1 and np.array_equal(members.reshape(-1), np.arange(v.type.sites))

    def current(self, held: Values, cls: Any) -> Array:
        if self.is_one_class:
            return held[self.name].reshape((-1, self.width, self.size))
        return self.flat(held)[:, self.places(cls)]

    def assign(self, held: Values, cls: Any, values: Array) -> Values:
        if self.is_one_class:
            return {**held, self.name: values.reshape(held[self.name].shape)}
        flat, numbers = self.flat(held), row(self.tables["numbers"], cls)
        room = self.density.backend.xp.concat([flat, flat[:, :1]], axis=1)
        written = self.density.backend.set_at(room, (slice(None), numbers), values)
        return {**held, self.name: written[:, : flat.shape[1]].reshape(held[self.name].shape)}

    def flat(self, held: Values) -> Array:
        """The variable's values, (chains, sites of the type)."""
        return held[self.name].reshape((held[self.name].shape[0], self.variable.type.sites))

    def places(self, cls: Any) -> Array:
        """Where the numbers of a class's members are among all, some place for padding: (width, k)."""
        numbers = row(self.tables["numbers"], cls)
        return self.density.backend.xp.where(numbers < self.variable.type.sites, numbers, 0)

    # --- where it may lie ---

    @cached_property
    def is_boxed(self) -> bool:
        """Whether its numbers have two finite bounds each, so that one may be drawn uniformly between them."""
        v = self.variable
        pairs = ((v.lower, v.support.lower), (v.upper, v.support.upper))
        return v.type.domain.kind == "angle" or all(b is not None or math.isfinite(n) for b, n in pairs)

    def limits(self, held: Values) -> tuple[Any, Any]:
        """The bounds of the free sites: numbers, or (chains or 1, sites) where they depend on other variables."""
        if self.variable.type.domain.kind == "angle":
            return -math.pi, math.pi
        low, high = self.density.bounds(self.variable, held, self.level)
        return low, high

    def limits_of(self, limits: tuple[Any, Any], cls: Any) -> tuple[Any, Any]:
        """Bounds as `limits` gives them of a class's members: numbers, or (chains or 1, width, k)."""
        sites = row(self.tables["members"], cls)
        place = self.density.backend.xp.where(sites < self.sites, sites, 0)
        low, high = (b if isinstance(b, int | float) else b[:, place] for b in limits)
        return low, high

    def inside(self, values: Array) -> Array:
        """Which numbers lie strictly between the bounds that are numbers; the other bounds are factors."""
        low, high = self.variable.support.lower, self.variable.support.upper
        found = self.density.backend.xp.isfinite(values)
        if self.variable.type.domain.kind == "angle":
            return found
        if self.variable.lower is None and not is_infinite(low):
            found = found & (values > low)
        if self.variable.upper is None and not is_infinite(high):
            found = found & (values < high)
        return found

    def wrap(self, values: Array) -> Array:
        """Values that may have left their circle, back on it."""
        if self.variable.type.domain.kind != "angle":
            return values
        return wrapped(values, self.density.backend)

    # --- energies ---

    def energies(self, held: Values, cls: Any, candidates: Array) -> Array:
        xp, real = self.density.backend.xp, self.density.backend.real
        bindings = self.density.bindings(held, self.level)
        members = row(self.tables["members"], cls)
        sites = [members[None, :, place] for place in range(self.size)]
        values = [candidates[..., place] for place in range(self.size)]
        total, outside = (xp.zeros(candidates.shape[:-1], dtype=real) for _ in range(2))
        for group, tables in zip(self.local.groups, self.tables["groups"], strict=True):
            instances = row(tables["instances"], cls)[None]
            cost = self.cost(group.around, instances, sites, values, bindings)
            total, outside = (total, outside + cost) if group.is_bound else (total + cost, outside)
        fits = xp.all(self.inside(candidates) | (members >= self.sites)[None, :, None, :], axis=-1)
        return xp.where(fits, self.density.weighed(total, self.level) + outside, xp.inf)

    @cached_property
    def touching(self) -> tuple[list[FactorGroup], list[FactorGroup]]:
        """The groups that read the variable, and the bounds that do."""
        names = frozenset({self.name})
        bounds = [g for g in self.bounds if self.name in g.variables]
        return groups_of(self.density.graph, names), bounds

    def energy(self, held: Values) -> Array:
        """The energy (chains,) of all factors that read the variable, infinite where a bound is broken."""
        return bounded_energy(self.density, held, *self.touching, self.level)

    # --- swaps ---

    @property
    def alike(self) -> int:
        """How many objects there are that may exchange their values."""
        return int(self.tables["whole"].shape[0])

    def exchanged(self, held: Values, first: Array, second: Array) -> Values:
        """Values where each chain exchanges the values of two of its objects that are alike, (chains,) each."""
        backend, flat, whole = self.density.backend, self.flat(held), self.tables["whole"]
        one, other = whole[first], whole[second]
        own = backend.xp.arange(flat.shape[0], dtype=one.dtype)[:, None]
        values = flat[own, one], flat[own, other]
        flat_after = backend.set_at(flat, (own, one), values[1])
        flat_after = backend.set_at(flat_after, (own, other), values[0])
        return {**held, self.name: flat_after.reshape(held[self.name].shape)}


def bounded_energy(
    density: Density,
    held: Values,
    factors: Sequence[FactorGroup],
    bounds: Sequence[FactorGroup],
    level: Level,
) -> Array:
    """The energy (chains,) of some factors at a level, and of bounds, which no share makes softer."""
    bindings = density.bindings(held, level)
    chains = next(iter(held.values())).shape[0]
    none = density.backend.xp.zeros((chains,), dtype=density.backend.real)
    total, outside = (sum(density.energies_in(groups, bindings), none) for groups in (factors, bounds))
    return density.weighed(total, level) + outside


def released(
    density: Density, position: Position, held: Values, names: Iterable[str], level: Level = FULL
) -> Position:
    """The position at values in which some variables may have moved.

    Coordinates of values that have not are left as they are: there and back again they would change by rounding, and
    what touches a wall would end up behind it.
    """
    before, _ = density.constrain(position, level)
    moved = [
        n for n in moved_with(density.graph, names) if n in position and not density.variables[n].is_discrete
    ]
    found = density.placed(position, {n: held[n] for n in moved})
    for name in names:
        v = density.variables[name]
        if v.lower is None and v.upper is None and name not in density.graph.offsets:
            is_same = density.backend.xp.reshape(held[name] == before[name], (-1, v.type.sites))
            found[name] = density.backend.xp.where(
                density.free_sites_of(v, is_same), position[name], found[name]
            )
    return found


def object_view(
    graph: FactorGraph,
    v: Variable,
    objects: np.ndarray,
    backend: Backend,
    candidates: int,
    bounds: Sequence[FactorGroup],
) -> View:
    """The objects of a variable, of which some candidates are weighed at a time. bounds: of variables, as factors."""
    local = of_objects(graph, v, objects, candidates, bounds)
    full = np.append(np.flatnonzero(v.free.reshape(-1)), v.type.sites)
    whole = full[objects[(objects < v.free_sites).all(axis=1)]]
    held = integers({**local.tables, "numbers": full[local.members], "whole": whole}, backend)
    roots = [*local.energies, *(g.energy for g in bounds)]
    return View(roots, held, lambda d, t, level, _: ObjectView(d, local, t, level, tuple(bounds)))


def object_views(
    graph: FactorGraph,
    variables: Iterable[Variable],
    backend: Backend,
    candidates: int,
    parts: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, View]:
    """The views of those variables that have objects, by name; what would need too large tables is left out.

    parts: of those of which only some free sites move.
    """
    bounds = bounds_as_factors(graph)
    found: dict[str, View] = {}
    for v in variables:
        objects = objects_of(graph, v, (parts or {}).get(v.name))
        if objects is None:
            continue
        try:
            found[v.name] = object_view(graph, v, objects, backend, candidates, bounds)
        except ComposeError:
            continue
    return found
