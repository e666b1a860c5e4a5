"""The block of a variable with small sets of sites that are drawn jointly: what a set may become, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from compose_lang.compiler.analyses.local_subsets import LocalSubsets, SubsetGroup
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.runtime.arrays.protocol import Array, Position
from compose_lang.runtime.views.own_sites import OwnSites


@dataclass(frozen=True, eq=False)
class SiteSetView(OwnSites):
    """A `SubsetBlock`: sets of the free sites of one variable. Joint values are numbers Σ_p value_p K^p."""

    local: LocalSubsets

    @property
    def size(self) -> int:
        return self.local.subsets.size

    @property
    def number(self) -> int:
        return len(self.local.subsets.sets)

    def current(self, position: Position, chosen: Array) -> Array:
        xp, count = self.density.backend.xp, len(self.values)
        sites = self.tables["sets"][chosen]
        values = self.read(position, sites)
        digits = xp.where(sites < self.sites, (values - self.values.start) // self.values.step, 0)
        total = xp.zeros_like(digits[:, 0])
        for place in range(self.size):
            total = total + digits[:, place] * count**place
        return total

    def candidates(self, position: Position, chosen: Array) -> tuple[Array, Array]:
        xp, tables = self.density.backend.xp, self.tables
        orbit = tables["orbit"][tables["form"][chosen] + self.current(position, chosen)]
        each = xp.arange(self.local.subsets.candidates, dtype=orbit.dtype)
        fits = each < tables["count"][orbit][:, None]
        place = xp.where(fits, tables["first"][orbit][:, None] + each, 0)
        return tables["order"][place], fits

    def values_of(self, joint: Array) -> list[Array]:
        """The values of a set's sites, one after another, where it has these joint values."""
        count = len(self.values)
        return [
            self.values.start + self.values.step * (joint // count**place % count)
            for place in range(self.size)
        ]

    def energies(self, position: Position, chosen: Array, joint: Array) -> Array:
        xp = self.density.backend.xp
        values, _ = self.density.constrain(position, self.level)
        bindings = self.density.bindings(values, self.level)
        total = xp.zeros(joint.shape, dtype=self.density.backend.real)
        for group, table in zip(self.local.groups, self.tables["instances"], strict=True):
            total = total + self._group_energies(group, table[chosen], chosen, joint, bindings)
        return self.density.weighed(total, self.level)

    def _group_energies(
        self, group: SubsetGroup, instances: Array, chosen: Array, joint: Array, bindings: dict[int, Array]
    ) -> Array:
        """One group's energies (chains, C) of joint values."""
        xp = self.density.backend.xp
        real = instances >= 0
        slots = {id(group.instance): xp.where(real, instances, 0)}
        sites = self.tables["full"][self.tables["sets"][chosen]]
        for place, value in enumerate(self.values_of(joint)):
            slots[id(group.sites[place])] = sites[:, place]
            slots[id(group.values[place])] = value != 0 if group.values[place].dtype == "bool" else value
        (energy,) = interpret(self.density.backend, [group.energy], {**bindings, **slots})
        if group.choice not in group.energy.axes:
            energy = energy[..., None]
        if group.touch not in group.energy.axes:
            energy = energy[:, None]
        return xp.sum(xp.where(real[..., None], energy, 0.0), axis=1)

    def assign(self, position: Position, chosen: Array, joint: Array) -> Position:
        values = self.density.backend.xp.stack(self.values_of(joint), axis=-1)
        return self.write(position, self.tables["sets"][chosen], values)
