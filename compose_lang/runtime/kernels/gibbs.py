"""Gibbs sampling of finite variables, one colour class at a time (Geman and Geman 1984).

Every site of a class draws its value from its conditional distribution, softmax of minus the energies of its
values, by one uniform and the inverse of the distribution function. A value that breaks a hard constraint has
infinite energy and is never drawn; where every value does, the site keeps the one it has.

Variables whose factors are all over one site or two have faster forms, see `runtime/kernels/pairwise`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.analyses.gibbs_form import gibbs_form
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.arrays.categorical import place_of, softmax_weights
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.kernel import BoundKernel, DiscreteBlock, Kernel
from compose_lang.runtime.kernels.common.metropolis import sweep
from compose_lang.runtime.kernels.common.structure import Match
from compose_lang.runtime.kernels.pairwise.forms import by_form
from compose_lang.runtime.kernels.pairwise.held import PairwiseBlock


@dataclass(frozen=True)
class Gibbs:
    """A sweep over all classes of a block; it keeps no state."""

    block: DiscreteBlock
    backend: Backend
    values: Sequence[int]

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {"value": NoiseSpec("uniform", (self.block.classes, self.block.width))}

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, xp = self.block, self.backend.xp
        values = self.backend.asarray(list(self.values))

        def update(cls: Any, position: Position) -> tuple[Array, Array]:
            current = block.current(position, cls)
            candidates = xp.broadcast_to(values, (*current.shape, len(self.values)))
            weights = softmax_weights(block.energies(position, cls, candidates), self.backend)
            place, is_possible = place_of(weights, noise["value"][:, cls], self.backend)
            chosen = xp.where(is_possible, values[place], current)
            return chosen, chosen != current

        position, moved = sweep(block, position, update, self.backend)
        return position, state, {"moved": moved}


def bind(
    block: DiscreteBlock | PairwiseBlock, backend: Backend, options: Mapping[str, Any], warmup: int
) -> BoundKernel:
    """Gibbs over a block whose values can be listed."""
    if isinstance(block, PairwiseBlock):
        return by_form(block, backend)
    assert block.values is not None, "the planner gives gibbs finite blocks only"
    return Gibbs(block, backend, block.values)


def finds(graph: FactorGraph, v: Variable, options: Mapping[str, Any]) -> Match | str:
    """The fastest form in which a variable of pairs is updated."""
    return Match(*gibbs_form(graph, v))


KERNEL = Kernel(
    name="gibbs",
    summary="draws each site from its exact conditional distribution, a colour class at a time",
    serves=frozenset({"finite"}),
    bind=bind,
    finds=finds,
)
