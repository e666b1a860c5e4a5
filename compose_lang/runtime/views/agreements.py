"""A `BondBlock`: the sites of one finite variable as pairs that prefer to agree or to differ, in fields.

Before: `compiler/analyses/potts.py`. After: the kernel that flips clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.analyses.potts import Clusters
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.arrays.tree import tree_map
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.kernel import BondBlock
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.views.conditional import ValueIndices
from compose_lang.runtime.views.view import View, ViewKind


@dataclass(frozen=True, eq=False)
class Bonds(ValueIndices):
    """The block as a density gives it."""

    density: Density
    clusters: Clusters
    tables: dict[str, Any]
    level: Level = FULL

    @property
    def variable(self) -> Variable:
        return self.clusters.variable

    @property
    def pairs(self) -> int:
        return len(self.clusters.ends)

    @property
    def has_field(self) -> bool:
        return self.clusters.field is not None or bool(self.clusters.loose)

    @property
    def ends(self) -> tuple[Array, Array]:
        return self.tables["ends"][:, 0], self.tables["ends"][:, 1]

    @property
    def offsets(self) -> Array:
        return self.tables["offsets"]

    @property
    def couplings(self) -> Array:
        return self.density.weighed(self.tables["couplings"][None], self.level)

    def field(self, position: Position) -> Array:
        """Energies (chains or 1, sites, values) of what reads one site."""
        density, xp = self.density, self.density.backend.xp
        values, _ = density.constrain(position, self.level)
        bindings = density.bindings(values, self.level)
        chains, count = position[self.name].shape[0], len(self.values)
        # one site more takes what is added for none
        total = xp.zeros((chains, (self.sites + 1) * count), dtype=density.backend.real)
        for table, sites in zip(self.clusters.loose, self.tables["loose"], strict=True):
            (energy,) = interpret(density.backend, [table.energy], bindings)
            energy = table.arranged(xp, energy)
            energy = xp.broadcast_to(energy, (chains, sites.shape[0], count))
            place = xp.where(sites >= 0, sites, self.sites)[:, None] * count + xp.arange(
                count, dtype=sites.dtype
            )
            total = density.backend.add_at(
                total, place.reshape((1, -1)), energy.reshape((chains, sites.shape[0] * count))
            )
        total = total.reshape((chains, self.sites + 1, count))[:, : self.sites]
        if self.clusters.field is not None:
            total = total + self.tables["field"][None]
        return self.density.weighed(total, self.level)


def bonds(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Pairs that prefer to agree or to differ, in fields."""
    found = block.structure
    assert isinstance(found, Clusters)
    tables = tree_map(backend.asarray, found.tables)
    return View(found.energies, tables, lambda d, t, level, _: Bonds(d, found, t, level))


VIEWS = (ViewKind("bonds", BondBlock, bonds),)
