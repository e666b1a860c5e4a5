"""The block of a variable whose sites must differ: their graph, and what the rest of the program says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from compose_lang.compiler.constraints.moves import DisequalityGraph
from compose_lang.compiler.graph.factor_graph import FactorGraph, FactorGroup, Variable, groups_of, moved_with
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.kernels.common.kernel import ChainBlock
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.views.view import View, ViewKind, integers


@dataclass(frozen=True, eq=False)
class Chains:
    """A `ChainBlock`: all sites of one variable, observed ones among them; values are counted from 0."""

    density: Density
    differing: DisequalityGraph
    tables: dict[str, Any]
    level: Level = FULL

    @property
    def name(self) -> str:
        return self.differing.variable.name

    @property
    def count(self) -> int:
        return len(self.differing.variable.support.values)

    @property
    def neighbours(self) -> Array:
        return self.tables["neighbours"]

    @property
    def moving(self) -> Array:
        return self.tables["moving"]

    @property
    def frozen(self) -> Array:
        return self.tables["frozen"] != 0

    @cached_property
    def moved(self) -> frozenset[str]:
        return moved_with(self.density.graph, (self.name,))

    @cached_property
    def groups(self) -> list[FactorGroup]:
        """The groups that a chain turned round may change."""
        kept = {id(g) for g in self.differing.kept}
        return [g for g in groups_of(self.density.graph, self.moved) if id(g) not in kept]

    def places(self, position: Position) -> Array:
        values, _ = self.density.constrain(position, self.level)
        whole, possible = values[self.name], self.differing.variable.support.values
        xp = self.density.backend.xp
        whole = xp.astype(whole, self.density.backend.integer).reshape((whole.shape[0], -1))
        return (whole - possible.start) // possible.step

    def assign(self, position: Position, places: Array) -> Position:
        possible = self.differing.variable.support.values
        free = places[:, np.flatnonzero(self.differing.variable.free.reshape(-1))]
        held = position[self.name]
        values = self.density.backend.xp.astype(possible.start + possible.step * free, held.dtype)
        return {**position, self.name: values}

    def energy(self, position: Position, places: Array) -> Array:
        if not self.groups:
            return self.density.backend.xp.zeros((places.shape[0],), dtype=self.density.backend.real)
        return self.density.energy_of(self.assign(position, places), self.groups, self.moved, self.level)


def chains(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Sites that must differ."""
    found = block.structure
    assert isinstance(found, DisequalityGraph)
    return View([], integers(found.tables, backend), lambda d, t, level, _: Chains(d, found, t, level))


VIEWS = (ViewKind("chains", ChainBlock, chains),)
