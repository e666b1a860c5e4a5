"""What blocks share in which each chain reads and writes sites of its own, (chains, n), padded with their number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.protocol import Array, Position
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.views.classes import written


@dataclass(frozen=True, eq=False)
class OwnSites:
    """The free sites of one finite variable. local: has `variable`; tables: its index arrays on the backend."""

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
    def values(self) -> range:
        values: range = self.local.variable.support.values
        return values

    def read(self, position: Position, sites: Array) -> Array:
        """The values (chains, n) of sites, some value for padding."""
        xp = self.density.backend.xp
        return xp.take_along_axis(position[self.name], xp.where(sites < self.sites, sites, 0), axis=1)

    def write(self, position: Position, sites: Array, values: Array) -> Position:
        """The position with these values (chains, n)."""
        held, backend = position[self.name], self.density.backend
        chains = backend.xp.arange(held.shape[0], dtype=sites.dtype)[:, None]
        return {**position, self.name: written(backend, held, (chains, sites), values)}
