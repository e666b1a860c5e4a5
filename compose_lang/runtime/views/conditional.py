"""The blocks of a finite variable by what new values of a few of its sites cost: sites, orderings, pairs, small sets.

In: a density and what `compiler/analyses/conditionals` has found of it. Out: what kernels that draw site by site, two
sites or a set at a time see (`kernels/common/kernel.py`). Energies are those of the factors that read what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.analyses.conditionals import (
    Around,
    ConditionalGroup,
    Conditionals,
    of_pairs,
    of_sets,
    of_sites,
)
from compose_lang.compiler.analyses.gibbs_form import Form
from compose_lang.compiler.constraints.moves import ConservedSums
from compose_lang.compiler.constraints.site_sets import Subsets
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels import load_kernel
from compose_lang.runtime.kernels.common.kernel import DiscreteBlock, PairBlock, SubsetBlock, Weigh
from compose_lang.runtime.kernels.pairwise.forms import tables_of
from compose_lang.runtime.kernels.pairwise.held import PairwiseBlock, on_backend
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.views.view import View, ViewKind, integers


@dataclass(frozen=True, eq=False)
class Conditional:
    """The free sites of one variable, in the position as (chains, sites, …). tables: `local.tables` on the backend.

    Numbers of sites are those of a class, (n,), or each chain's own, (chains, n), padded with their count.
    """

    density: Density
    local: Conditionals
    tables: dict[str, Any]
    level: Level

    @property
    def name(self) -> str:
        return self.local.variable.name

    @property
    def sites(self) -> int:
        return self.local.variable.free_sites

    def read(self, position: Position, sites: Array) -> Array:
        """The values (chains, n, …) of sites, some value for padding."""
        xp, held = self.density.backend.xp, position[self.name]
        place = xp.where(sites < self.sites, sites, 0)
        return held[:, place] if sites.ndim == 1 else xp.take_along_axis(held, place, axis=1)

    def write(self, position: Position, sites: Array, values: Array) -> Position:
        """The position with these values (chains, n, …)."""
        held, backend = position[self.name], self.density.backend
        xp = backend.xp
        own = xp.arange(held.shape[0], dtype=sites.dtype)[:, None]
        index = (slice(None), sites) if sites.ndim == 1 else (own, sites)
        # one site more takes what is written for padding
        room = xp.concat([held, held[:, :1]], axis=1)
        written = backend.set_at(room, index, xp.astype(values, held.dtype))
        return {**position, self.name: written[:, : held.shape[1]]}

    def bindings(self, position: Position) -> dict[int, Array]:
        """What expressions read, but for what is drawn."""
        values, _ = self.density.constrain(position, self.level)
        return self.density.bindings(values, self.level)

    def cost(
        self,
        around: Around,
        instances: Array,
        sites: Sequence[Array],
        values: Sequence[Array],
        bindings: dict[int, Array],
    ) -> Array:
        """One group's energies, summed over the instances around each member: (chains or 1, members, candidates or 1).

        instances: (chains or 1, members, touch), -1 for none. Of each site that is drawn of a member, its number
        among the free ones (chains or 1, members) and its candidates (chains, members, candidates, …).
        """
        backend, xp = self.density.backend, self.density.backend.xp
        real = instances >= 0
        slots = {id(around.instance): xp.where(real, instances, xp.zeros_like(instances))}
        for place, value, site, candidate in zip(around.sites, around.values, sites, values, strict=True):
            slots[id(place)] = self.tables["full"][site]
            slots[id(value)] = candidate != 0 if value.dtype == "bool" else candidate
        (energy,) = interpret(backend, [around.energy], {**bindings, **slots})
        for position, axis in enumerate((around.member, around.touch, around.choice)):
            if axis not in around.energy.axes:
                energy = xp.expand_dims(energy, axis=1 + position)
        return xp.sum(xp.where(real[..., None], energy, xp.zeros_like(energy)), axis=2)


def row(table: Array, cls: Any) -> Array:
    """The row of a class; torch would read a number out of a scalar array, which it cannot where it traces."""
    return table[cls] if isinstance(cls, int) else table[cls.reshape((1,))][0]


def either(xp: Any, first: Array, second: Array) -> Array:
    """The instances (…, degree) around one place and around another, each counted once."""
    again = xp.any(second[..., :, None] == first[..., None, :], axis=-1)
    return xp.concat([first, xp.where(again, -1, second)], axis=-1)


# --- in classes that share no factor --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class InClasses(Conditional):
    """What is drawn of a variable class by class: members (classes, width, …)."""

    @property
    def classes(self) -> int:
        return int(self.local.members.shape[0])

    @property
    def width(self) -> int:
        return int(self.local.members.shape[1])


@dataclass(frozen=True, eq=False)
class Classes(InClasses):
    """The members of a variable class by class."""

    def sites_of(self, cls: Any) -> Array:
        return row(self.tables["members"], cls)

    def current(self, position: Position, cls: Any) -> Array:
        return self.read(position, self.sites_of(cls))

    def assign(self, position: Position, cls: Any, values: Array) -> Position:
        return self.write(position, self.sites_of(cls), values)


@dataclass(frozen=True, eq=False)
class Sites(Classes):
    """A `DiscreteBlock`: the free sites of one variable, in classes that share no factor."""

    @property
    def values(self) -> Sequence[int] | None:
        domain = self.local.variable.support
        return domain.values if domain.is_finite else None

    @property
    def lower(self) -> float:
        return self.local.variable.support.lower

    @property
    def upper(self) -> float:
        return self.local.variable.support.upper

    def energies(self, position: Position, cls: Any, candidates: Array) -> Array:
        # Not compiled by itself for torch: over the tables' indices torch.compile took minutes, where a sweep of
        # 16,000 sites takes 15 ms as it is.
        bindings, sites = self.bindings(position), self.sites_of(cls)[None]
        total = self.density.backend.xp.zeros(candidates.shape, dtype=self.density.backend.real)
        for group, tables in zip(self.local.groups, self.tables["groups"], strict=True):
            instances = row(tables["instances"], cls)[None]
            total = total + self.cost(group.around, instances, [sites], [candidates], bindings)
        return self.density.weighed(total, self.level)


@dataclass(frozen=True, eq=False)
class OrderingView(Classes):
    """A `PermutationBlock`: the free orderings of one variable, in the position as (chains, sites, length)."""

    @property
    def length(self) -> int:
        return self.local.variable.type.domain.size

    def weigh(self, position: Position, cls: Any) -> Weigh:
        bindings, sites = self.bindings(position), self.sites_of(cls)[None]

        def energies(candidates: Array, places: Array | None = None) -> Array:
            total = self.density.backend.xp.zeros(candidates.shape[:3], dtype=self.density.backend.real)
            for group, tables in zip(self.local.groups, self.tables["groups"], strict=True):
                around, instances = self.touched(group, tables, cls, places)
                total = total + self.cost(around, instances, [sites], [candidates], bindings)
            return self.density.weighed(total, self.level)

        return energies

    def touched(
        self, group: ConditionalGroup, tables: dict[str, Array], cls: Any, places: Array | None
    ) -> tuple[Around, Array]:
        """A group around the members, and which of its instances: (chains or 1, width, touch), -1 for none."""
        if places is None or group.pair is None:
            return group.around, row(tables["instances"], cls)[None]
        xp = self.density.backend.xp
        members = xp.arange(self.width, dtype=places.dtype)[None, :]
        of_place = row(tables["place"], cls)
        first, second = of_place[members, places[..., 0]], of_place[members, places[..., 1]]
        return group.pair, either(xp, first, second)


# --- each chain its own sites ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Own(Conditional):
    """Sites of each chain's own."""

    @property
    def values(self) -> range:
        return self.local.variable.support.values


@dataclass(frozen=True, eq=False)
class Pairs(InClasses, Own):
    """A `PairBlock`: the sets of one variable, in classes that share no site and no factor."""

    is_even: bool  #: whether a pair keeps its sum just if it keeps that of its values

    @property
    def length(self) -> int:
        return int(self.local.members.shape[2])

    def members_of(self, cls: Any) -> Array:
        return row(self.tables["members"], cls)

    def energies(self, position: Position, first: Array, second: Array, one: Array, other: Array) -> Array:
        xp, bindings = self.density.backend.xp, self.bindings(position)
        total = xp.zeros(one.shape, dtype=self.density.backend.real)
        for group, tables in zip(self.local.groups, self.tables["groups"], strict=True):
            instances = tables["instances"][first]
            if not group.is_whole:
                instances = either(xp, instances, tables["instances"][second])
            total = total + self.cost(group.around, instances, [first, second], [one, other], bindings)
        return self.density.weighed(total, self.level)

    current = Conditional.read
    assign = Conditional.write


@dataclass(frozen=True, eq=False)
class SiteSetView(Own):
    """A `SubsetBlock`: sets of the free sites of one variable. Joint values are numbers Σ_p value_p K^p.

    tables: also where in `orbit` a set's joint values begin (`form`), and of each orbit the place of its `first` joint
    value in `order`, and their `count`.
    """

    @property
    def size(self) -> int:
        return int(self.local.members.shape[1])

    @property
    def number(self) -> int:
        return int(self.local.members.shape[0])

    def current(self, position: Position, chosen: Array) -> Array:
        xp, count = self.density.backend.xp, len(self.values)
        sites = self.tables["members"][chosen]
        values = self.read(position, sites)
        digits = xp.where(sites < self.sites, (values - self.values.start) // self.values.step, 0)
        total = xp.zeros_like(digits[:, 0])
        for place in range(self.size):
            total = total + digits[:, place] * count**place
        return total

    def candidates(self, position: Position, chosen: Array) -> tuple[Array, Array]:
        xp, tables = self.density.backend.xp, self.tables
        orbit = tables["orbit"][tables["form"][chosen] + self.current(position, chosen)]
        each = xp.arange(self.local.candidates, dtype=orbit.dtype)
        fits = each < tables["count"][orbit][:, None]
        place = xp.where(fits, tables["first"][orbit][:, None] + each, 0)
        return tables["order"][place], fits

    def values_of(self, joint: Array) -> list[Array]:
        """The values of a set's sites, one after another, where it has these joint values."""
        start, step, count = self.values.start, self.values.step, len(self.values)
        return [start + step * (joint // count**place % count) for place in range(self.size)]

    def energies(self, position: Position, chosen: Array, joint: Array) -> Array:
        bindings = self.bindings(position)
        members = self.tables["members"][chosen]
        sites = [members[:, place, None] for place in range(self.size)]
        values = [value[:, None] for value in self.values_of(joint)]
        total = self.density.backend.xp.zeros(joint.shape, dtype=self.density.backend.real)
        for group, tables in zip(self.local.groups, self.tables["groups"], strict=True):
            instances = tables["instances"][chosen][:, None]
            total = total + self.cost(group.around, instances, sites, values, bindings)[:, 0]
        return self.density.weighed(total, self.level)

    def assign(self, position: Position, chosen: Array, joint: Array) -> Position:
        values = self.density.backend.xp.stack(self.values_of(joint), axis=-1)
        return self.write(position, self.tables["members"][chosen], values)


# --- places in place of values --------------------------------------------------------------------------


class ValueIndices:
    """The free sites of one finite variable, by the places (chains, sites) of their values among all, from 0."""

    density: Density

    @property
    def variable(self) -> Variable:
        raise NotImplementedError

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def sites(self) -> int:
        return self.variable.free_sites

    @property
    def values(self) -> range:
        return self.variable.type.domain.values

    def places(self, position: Position) -> Array:
        return (position[self.name] - self.values.start) // self.values.step

    def assign(self, position: Position, places: Array) -> Position:
        held = position[self.name]
        values = self.values.start + self.values.step * places
        return {**position, self.name: self.density.backend.xp.astype(values, held.dtype)}


def sites(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """A variable site by site: in the form the planner chose, or by the energies of as many values as are weighed."""
    form = block.structure
    if isinstance(form, Form):
        tables = on_backend(tables_of(form), backend)
        return View([], tables, lambda d, t, level, _: PairwiseBlock(v.name, v.type.domain.values, form, t))
    seen = OrderingView if v.type.domain.kind == "permutation" else Sites
    local = of_sites(graph, v, load_kernel(block.kernel).candidates or len(v.support.values))
    held = integers(local.tables, backend)
    return View(local.energies, held, lambda d, t, level, _: seen(d, local, t, level))


def pairs(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Pairs of sites whose sum must stay."""
    found = block.structure
    assert isinstance(found, ConservedSums)
    values = len(v.support.values)
    local = of_pairs(graph, v, found.sets, values if found.is_even else values**2)
    held = integers(local.tables, backend)
    return View(local.energies, held, lambda d, t, level, _: Pairs(d, local, t, level, found.is_even))


def small_sets(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Small sets of sites that are drawn jointly."""
    found = block.structure
    assert isinstance(found, Subsets)
    local = of_sets(graph, v, found.sets, found.candidates, found.kept)
    orbits = {name: getattr(found.orbits, name) for name in ("orbit", "first", "count", "order")}
    held = integers({**local.tables, **orbits, "form": found.form}, backend)
    return View(local.energies, held, lambda d, t, level, _: SiteSetView(d, local, t, level))


VIEWS = (
    ViewKind("sites", DiscreteBlock, sites),
    ViewKind("sums", PairBlock, pairs),
    ViewKind("subsets", SubsetBlock, small_sets),
)
