"""Finite variables of a density as one block: summed out of its energy, or drawn jointly given all else.

In: a density and what `compiler/analyses/sum_out` found of it. Out: what the kernel `exact` draws by, and the free
energy that continuous blocks see instead of the factors' energies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.elimination import Elimination
from compose_lang.compiler.analyses.sum_out import Exact
from compose_lang.compiler.ir.interpret import interpret
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.elimination.passes import Passes


@dataclass(frozen=True, eq=False)
class Summed:
    """What a density holds of finite variables that are summed out, or drawn jointly."""

    exact: Exact
    elimination: Elimination

    @cached_property
    def index(self) -> dict[str, Any]:
        """The index arrays that a backend holds."""
        loose = [np.flatnonzero((t.sites < 0).all(axis=1)) for t in self.exact.tables]
        return {**self.elimination.index, "loose": loose}

    def values(self, digits: Any, backend: Backend) -> dict[str, Array]:
        """The values (n, free sites) of each variable, given their sites' places among them, (n, sites)."""
        found, start = {}, 0
        for v in self.exact.sites.variables:
            stop = start + v.free_sites
            domain = v.type.domain.values
            found[v.name] = domain.start + domain.step * digits[:, start:stop]
            start = stop
        return found


@dataclass(frozen=True, eq=False)
class Joint:
    """Finite variables given everything else. index: `Summed.index`, on the backend."""

    density: Density
    summed: Summed
    index: dict[str, Any]
    level: Level = FULL

    @property
    def sites(self) -> int:
        return self.summed.exact.sites.count

    @property
    def passes(self) -> Passes:
        return Passes(self.summed.elimination, self.index, self.density.backend)

    def tables(self, bindings: Mapping[int, Any]) -> list[Array]:
        """The energies of all tables, (chains or 1, instances or 1, *choices), where leaves stand for these arrays."""
        backend = self.density.backend
        tables = self.summed.exact.tables
        arrays = interpret(backend, [t.energy for t in tables], bindings)
        return [t.arranged(backend.xp, a) for t, a in zip(tables, arrays, strict=True)]

    def loose(self, tables: list[Array]) -> Array:
        """The energy (chains or 1,) of instances that read none of the sites."""
        xp = self.density.backend.xp
        total = xp.zeros((1,), dtype=self.density.backend.real)
        for table, rows in zip(tables, self.index["loose"], strict=True):
            if rows.shape[0]:
                first = table[(slice(None), slice(None), *(0,) * (table.ndim - 2))]
                total = total + (
                    first[:, 0] * rows.shape[0] if first.shape[1] == 1 else xp.sum(first[:, rows], axis=1)
                )
        return total

    def free_energy(self, values: Mapping[str, Array]) -> Array:
        """-log Σ exp(-E) (chains or 1,) over the variables, of all factors that read them, with its gradient.

        The derivative by a table's entry is the entry's probability, so that nobody differentiates the elimination.
        """
        backend = self.density.backend
        tables = self.tables(self.density.bindings(values, self.level))
        passes = self.passes
        held = [backend.without_gradient(t) for t in tables]
        up = passes.upward(passes.gather(held))
        total = up.energy + self.loose(tables)
        if not backend.has_gradient:
            return total
        for table, share in zip(tables, passes.of_tables(passes.beliefs(up), held), strict=True):
            rate = backend.without_gradient(share)
            # what is impossible has an infinite energy and no share
            each = backend.xp.where(rate > 0.0, backend.xp.where(rate > 0.0, table, 0.0) * rate, 0.0)
            linear = backend.xp.sum(each, axis=tuple(range(1, each.ndim)))
            total = total + (linear - backend.without_gradient(linear))
        return total

    def draw(self, position: Position, uniform: Array) -> Position:
        """The position with the variables drawn jointly given all else. uniform (chains, sites): in (0, 1)."""
        xp = self.density.backend.xp
        drawn, possible = self.drawn(position, uniform)
        found = dict(position)
        for name, value in drawn.items():
            value = xp.astype(value, position[name].dtype)
            found[name] = xp.where(possible[:, None], value, position[name])
        return found

    def drawn(self, position: Position, uniform: Array) -> tuple[dict[str, Array], Array]:
        """Values (chains, free sites) of each variable, drawn jointly given all else; and whether any are possible."""
        density, passes = self.density, self.passes
        values, _ = density.constrain(position, self.level)
        tables = [
            density.weighed(table, self.level) for table in self.tables(density.bindings(values, self.level))
        ]
        up = passes.upward(passes.gather(tables))
        drawn = self.summed.values(passes.draw(up, uniform), density.backend)
        return drawn, density.backend.xp.isfinite(up.energy)
