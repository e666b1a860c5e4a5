"""Trees within a loopy graph, drawn jointly and exactly given what is around them (Hamze and de Freitas 2004).

A sweep draws each class of a block in turn, all its trees at once, by elimination and backward sampling. Each draw is
from the exact conditional, so it leaves the density invariant, also where classes overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.analyses.tree_cover import describe, forests
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.kernel import BoundKernel, ForestBlock, Kernel
from compose_lang.runtime.kernels.common.structure import Match


@dataclass(frozen=True)
class Trees:
    """A sweep over all classes of a block; it keeps no state."""

    block: ForestBlock
    backend: Backend

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {"value": NoiseSpec("uniform", (sum(self.block.sizes),))}

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        xp, name = self.backend.xp, self.block.name
        before, start = position[name], 0
        for cls, size in enumerate(self.block.sizes):
            position = self.block.draw(position, cls, noise["value"][:, start : start + size])
            start += size
        moved = xp.astype(position[name] != before, self.backend.real)
        return position, state, {"moved": xp.mean(moved, axis=1)}


def bind(block: ForestBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """Draws of the trees of a block."""
    return Trees(block, backend)


def finds(graph: FactorGraph, v: Variable, options: Mapping[str, Any]) -> Match | str:
    """Sets of sites that hang together as trees, and together hold all sites."""
    classes = forests(graph, v)
    if isinstance(classes, str):
        return f"`trees` draws sites of `{v.name}` jointly that hang together as trees, but {classes}"
    return Match(classes, describe(v, classes))


KERNEL = Kernel(
    name="trees",
    summary="draws whole trees of sites jointly, from their exact distribution given the rest",
    serves=frozenset({"finite"}),
    bind=bind,
    finds=finds,
    view="forests",
)
