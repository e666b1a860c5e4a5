"""A `DiscreteBlock`: the free sites of one variable, in classes that share no factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose_lang.compiler.interpret import interpret
from compose_lang.compiler.local import LocalEnergy, LocalGroup
from compose_lang.runtime.backend import Array
from compose_lang.runtime.kernel import Position

if TYPE_CHECKING:
    from compose_lang.runtime.density import Density


@dataclass(frozen=True, eq=False)
class Sites:
    """A `DiscreteBlock`: the free sites of one variable, in classes that share no factor."""

    density: Density
    local: LocalEnergy
    tables: dict[str, Any]

    @property
    def name(self) -> str:
        return self.local.variable.name

    @property
    def sites(self) -> int:
        return self.local.sites

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

    @property
    def classes(self) -> int:
        return int(self.local.classes.shape[0])

    @property
    def width(self) -> int:
        return int(self.local.classes.shape[1])

    def sites_of(self, cls: Any) -> Array:
        return row(self.tables["classes"], cls)

    def current(self, position: Position, cls: Any) -> Array:
        sites = self.sites_of(cls)
        return position[self.name][:, self.density.backend.xp.where(sites < self.sites, sites, 0)]

    def energies(self, position: Position, cls: Any, candidates: Array) -> Array:
        # Not compiled by itself for torch: over the tables' indices torch.compile took minutes, where a sweep of
        # 16,000 sites takes 15 ms as it is.
        xp = self.density.backend.xp
        values, _ = self.density.constrain(position)
        bindings = self.density.bindings(values)
        total = xp.zeros(candidates.shape, dtype=self.density.backend.real)
        for group, table in zip(self.local.groups, self.tables["instances"], strict=True):
            total = total + self._group_energies(group, table, cls, candidates, bindings)
        return self.density.shared(total)

    def _group_energies(
        self, group: LocalGroup, table: Array, cls: Any, candidates: Array, bindings: dict[int, Array]
    ) -> Array:
        """One group's energies (chains, width, K) of candidates."""
        xp = self.density.backend.xp
        chains, width, count = candidates.shape
        degree = group.degree
        instances = row(table, cls).reshape((1, width * degree))
        real = instances >= 0
        full = self.tables["full"][self.sites_of(cls)]
        site = xp.broadcast_to(full[:, None], (width, degree)).reshape((1, width * degree))
        spread = xp.broadcast_to(candidates[:, :, None, :], (chains, width, degree, count))
        spread = spread.reshape((chains, width * degree, count))
        if group.candidate.dtype == "bool":
            spread = spread != 0
        slots = {
            id(group.instance): xp.where(real, instances, xp.zeros_like(instances)),
            id(group.site): site,
            id(group.candidate): spread,
        }
        (energy,) = interpret(self.density.backend, [group.energy], {**bindings, **slots})
        axes = group.energy.axes
        if group.candidates not in axes:
            energy = energy[..., None]
        if group.touch not in axes:
            energy = energy[:, None]
        energy = xp.where(real[..., None], energy, xp.zeros_like(energy))
        lead = energy.shape[0]
        energy = energy.reshape((lead, width, degree, energy.shape[-1]))
        return xp.sum(energy, axis=2)

    def assign(self, position: Position, cls: Any, values: Array) -> Position:
        sites = self.sites_of(cls)
        held = position[self.name]
        xp = self.density.backend.xp
        # one column more takes what is written for padding
        room = xp.concat([held, held[:, :1]], axis=1)
        values = xp.astype(values, held.dtype)
        written = self.density.backend.set_at(room, (slice(None), sites), values)
        return {**position, self.name: written[:, : self.sites]}


def row(table: Array, cls: Any) -> Array:
    """The row of a class; torch would read a number out of a scalar array, which it cannot where it traces."""
    return table[cls] if isinstance(cls, int) else table[cls.reshape((1,))][0]
