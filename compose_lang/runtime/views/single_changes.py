"""A `ChangeBlock`: what every single change of a finite variable's sites does to the energy, all of them at once.

Before: `compiler/analyses/relaxation.py`. After: kernels that propose by it. The differences need not be right: they
only propose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.analyses.relaxation import Changes, changes
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.kernel import ChangeBlock
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.views.conditional import Sites, ValueIndices
from compose_lang.runtime.views.view import View, ViewKind, integers


@dataclass(frozen=True, eq=False)
class Changing(ValueIndices):
    """The block as a density gives it."""

    density: Density
    changes: Changes
    tables: Any  #: of the groups whose differences are exact
    level: Level = FULL
    compiled: Callable[[str], Callable[..., Any]] | None = (
        None  #: a method of its own, as the backend runs it
    )

    @property
    def variable(self) -> Variable:
        return self.changes.variable

    @property
    def ordered(self) -> bool:
        return self.changes.variable.type.domain.kind == "int"

    def energy_and_changes(self, position: Position) -> tuple[Array, Array]:
        run = self.changes_at if self.compiled is None else self.compiled("changes_at")
        energy, changes = run(position)
        return energy, changes

    def changes_at(self, position: Position) -> tuple[Array, Array]:
        """Energy (chains,) and its differences (chains, sites, values)."""
        backend, xp = self.density.backend, self.density.backend.xp
        chains = position[self.name].shape[0]
        energy = xp.zeros((chains,), dtype=backend.real)
        total = xp.zeros((chains, self.sites, len(self.values)), dtype=backend.real)
        if self.changes.exact:
            values, _ = self.density.constrain(position, self.level)
            for each in self.density.group_energies(self.changes.exact, values, self.level):
                energy = energy + each
            energy = self.density.weighed(energy, self.level)
            total = total + self.exact(position)
        if self.changes.relaxed:
            x = xp.astype(position[self.name], backend.real)
            each, gradient = backend.value_and_grad(lambda u: self.relaxed_energy(u, position))(x)
            gradient = xp.where(xp.isfinite(gradient), gradient, 0.0)
            values = backend.asarray(list(self.values), backend.real)
            energy = energy + self.density.weighed(each, self.level)
            total = total + self.density.weighed(gradient, self.level)[:, :, None] * (values - x[:, :, None])
        return energy, total

    def relaxed_energy(self, x: Array, position: Position) -> Array:
        """The energy (chains,) of the smooth groups where the sites are reals (chains, sites)."""
        density, v = self.density, self.changes.variable
        values, _ = density.constrain(position, self.level)
        whole = density.with_observed(v, x)
        bindings = {**density.bindings(values, self.level), id(self.changes.slot): whole}
        total = density.backend.xp.zeros((x.shape[0],), dtype=density.backend.real)
        for each in density.energies_in(self.changes.relaxed, bindings):
            total = total + each
        return total

    def exact(self, position: Position) -> Array:
        """Differences (chains, sites, values) by the factors around each site."""
        backend, xp = self.density.backend, self.density.backend.xp
        assert self.changes.local is not None
        sites = Sites(self.density, self.changes.local, self.tables, self.level)
        chains, count = position[self.name].shape[0], len(self.values)
        values = backend.asarray(list(self.values), backend.integer)
        places = self.places(position)

        def visit(cls: Any, found: Array) -> Array:
            current = sites.current(position, cls)
            candidates = xp.broadcast_to(values, (*current.shape, count))
            energies = sites.energies(position, cls, candidates)
            return backend.set_at(found, (slice(None), sites.sites_of(cls)), energies)

        # one site more takes what is written for padding; a site that constraints hold is in no class
        found = xp.full((chains, self.sites + 1, count), xp.inf, dtype=backend.real)
        found = backend.loop(0, sites.classes, visit, found)[:, : self.sites]
        now = xp.take_along_axis(found, places[:, :, None], axis=2)
        difference = found - now
        own = xp.arange(count, dtype=places.dtype) == places[:, :, None]
        return xp.where(own, 0.0, xp.where(xp.isnan(difference), xp.inf, difference))


def changing(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """All changes of single sites at once."""
    found = changes(graph, v, backend.has_gradient)
    tables = None if found.local is None else integers(found.local.tables, backend)
    return View(found.energies, tables, lambda d, t, level, compiled: Changing(d, found, t, level, compiled))


VIEWS = (ViewKind("changes", ChangeBlock, changing),)
