"""The block of a variable with sets of sites whose sums must stay: what pairs drawn anew cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.analyses.local_pairs import LocalPairs, PairGroup
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.runtime.arrays.protocol import Array, Position
from compose_lang.runtime.views.classes import row
from compose_lang.runtime.views.own_sites import OwnSites


@dataclass(frozen=True, eq=False)
class Pairs(OwnSites):
    """A `PairBlock`: the sets of one variable, in classes that share no site and no factor."""

    local: LocalPairs

    @property
    def is_even(self) -> bool:
        return self.local.is_even

    @property
    def classes(self) -> int:
        return int(self.local.members.shape[0])

    @property
    def width(self) -> int:
        return int(self.local.members.shape[1])

    @property
    def length(self) -> int:
        return int(self.local.members.shape[2])

    def members_of(self, cls: Any) -> Array:
        return row(self.tables["members"], cls)

    def energies(self, position: Position, first: Array, second: Array, one: Array, other: Array) -> Array:
        xp = self.density.backend.xp
        values, _ = self.density.constrain(position, self.level)
        bindings = self.density.bindings(values, self.level)
        total = xp.zeros(one.shape, dtype=self.density.backend.real)
        for group, table in zip(self.local.groups, self.tables["groups"], strict=True):
            total = total + self._group_energies(group, table, first, second, one, other, bindings)
        return self.density.weighed(total, self.level)

    def _group_energies(
        self,
        group: PairGroup,
        table: Array,
        first: Array,
        second: Array,
        one: Array,
        other: Array,
        bindings: dict[int, Array],
    ) -> Array:
        """One group's energies (chains, width, C) of candidates, each of its instances counted once."""
        xp = self.density.backend.xp
        chains, width = one.shape[:2]
        instances = table[first]
        if not group.is_whole:
            more = table[second]
            again = xp.any(more[..., :, None] == instances[..., None, :], axis=-1)
            instances = xp.concat([instances, xp.where(again, -1, more)], axis=-1)
        degree = instances.shape[-1]
        instances = instances.reshape((chains, width * degree))
        real = instances >= 0

        def spread(array: Array) -> Array:
            """What is of each set at each instance around it: (chains, width · degree, …)."""
            wide = xp.broadcast_to(array[:, :, None], (chains, width, degree, *array.shape[2:]))
            return wide.reshape((chains, width * degree, *array.shape[2:]))

        one, other = spread(one), spread(other)
        if group.one.dtype == "bool":
            one, other = one != 0, other != 0
        slots = {
            id(group.instance): xp.where(real, instances, 0),
            id(group.first): spread(self.tables["full"][first]),
            id(group.second): spread(self.tables["full"][second]),
            id(group.one): one,
            id(group.other): other,
        }
        (energy,) = interpret(self.density.backend, [group.energy], {**bindings, **slots})
        if group.choice not in group.energy.axes:
            energy = energy[..., None]
        if group.touch not in group.energy.axes:
            energy = energy[:, None]
        energy = xp.where(real[..., None], energy, 0.0)
        return xp.sum(energy.reshape((chains, width, degree, energy.shape[-1])), axis=2)

    def current(self, position: Position, sites: Array) -> Array:
        return self.read(position, sites)

    def assign(self, position: Position, sites: Array, values: Array) -> Position:
        return self.write(position, sites, values)
