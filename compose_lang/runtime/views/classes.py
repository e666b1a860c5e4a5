"""What blocks share that go class by class: which free sites of one variable stand in a class, and writing to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level


@dataclass(frozen=True, eq=False)
class Classes:
    """The free sites of one variable, in the position as (chains, sites, …), in classes that share no factor.

    local: has `variable` and `classes` (classes, width), padded with the number of sites; tables: its index arrays on
    the backend.
    """

    density: Density
    local: Any
    tables: dict[str, Any]
    level: Level = FULL

    @property
    def name(self) -> str:
        name: str = self.local.variable.name
        return name

    @property
    def sites(self) -> int:
        return int(self.local.variable.free_sites)

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

    def assign(self, position: Position, cls: Any, values: Array) -> Position:
        index = (slice(None), self.sites_of(cls))
        return {**position, self.name: written(self.density.backend, position[self.name], index, values)}


def written(backend: Backend, held: Array, index: Any, values: Array) -> Array:
    """Values of sites (chains, sites, …) with some written at an index; the number of sites itself is padding."""
    xp = backend.xp
    # one site more takes what is written for padding
    room = xp.concat([held, held[:, :1]], axis=1)
    return backend.set_at(room, index, xp.astype(values, held.dtype))[:, : held.shape[1]]


def row(table: Array, cls: Any) -> Array:
    """The row of a class; torch would read a number out of a scalar array, which it cannot where it traces."""
    return table[cls] if isinstance(cls, int) else table[cls.reshape((1,))][0]
