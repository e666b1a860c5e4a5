"""A `ForestBlock`: the sites of one finite variable in classes that hang together as trees.

Before: `compiler/analyses/tree_cover.py`. After: the kernel that draws trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compose_lang.compiler.analyses.elimination import COMPILED
from compose_lang.compiler.analyses.sum_out import Exact
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.arrays.protocol import Array, Backend, Position
from compose_lang.runtime.density.density import FULL, Density
from compose_lang.runtime.density.level import Level
from compose_lang.runtime.elimination.summed_out import Joint, Summed
from compose_lang.runtime.kernels.common.kernel import ForestBlock
from compose_lang.runtime.planning.block import Block
from compose_lang.runtime.views.view import View, ViewKind, integers


@dataclass(frozen=True, eq=False)
class TreeClass:
    """A class: how it is drawn, and for each free site of the variable where its value stands after those drawn."""

    summed: Summed
    place: np.ndarray

    @property
    def tables(self) -> dict[str, Any]:
        """The arrays of integers that a backend holds."""
        return {"summed": self.summed.index, "place": self.place}


def planted(v: Variable, part: Exact, padding: float) -> TreeClass:
    """A class of a variable, laid out for a backend; padding: as in `Exact.elimination`."""
    (drawn,) = part.sites.variables
    inside = drawn.free.reshape(-1)[v.free.reshape(-1)]
    place = np.where(inside, v.free_sites + np.cumsum(inside) - 1, np.arange(v.free_sites))
    return TreeClass(Summed(part, part.elimination(padding)), place)


@dataclass(frozen=True, eq=False)
class TreeView:
    """The block as a density gives it. tables: those of the classes, on the backend."""

    density: Density
    variable: Variable
    classes: Sequence[TreeClass]
    tables: Sequence[dict[str, Any]]
    level: Level = FULL

    @property
    def name(self) -> str:
        return self.variable.name

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(c.summed.exact.sites.count for c in self.classes)

    def draw(self, position: Position, cls: int, uniform: Array) -> Position:
        """The position with a class drawn jointly given all else, or as it is where nothing is possible."""
        xp, tables = self.density.backend.xp, self.tables[cls]
        joint = Joint(self.density, self.classes[cls].summed, tables["summed"], self.level)
        drawn, possible = joint.drawn(position, uniform)
        before = position[self.name]
        both = xp.concat([before, xp.astype(drawn[self.name], before.dtype)], axis=1)
        after = xp.where(possible[:, None], xp.take(both, tables["place"], axis=1), before)
        return {**position, self.name: after}


def groves(graph: FactorGraph, v: Variable, block: Block, backend: Backend) -> View:
    """Classes of sites that hang together as trees."""
    found = block.structure
    assert isinstance(found, tuple)
    padding = COMPILED if backend.compiles_whole else 1.0
    classes = [planted(v, part, padding) for part in found]
    return View(
        [t.energy for part in found for t in part.tables],
        integers([c.tables for c in classes], backend),
        lambda d, t, level, _: TreeView(d, v, classes, t, level),
        any(run.rounds > 1 for c in classes for run in c.summed.elimination.runs),
    )


VIEWS = (ViewKind("forests", ForestBlock, groves),)
