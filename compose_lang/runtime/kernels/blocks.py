"""Small sets of sites drawn jointly from their exact conditional: blocked Gibbs sampling, by enumeration.

A sweep chooses some sets of a list at random, one after another, whatever the state is, and draws each from its joint
distribution given everything else, over all joint values that constraints leave it. So each draw is in detailed
balance, and their sequence leaves the density invariant. Sites that constraints let change only together do so.

Jensen, Kjærulff and Kong, Blocking Gibbs sampling in very large probabilistic expert systems, International Journal of
Human-Computer Studies 42, 1995.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.constraints.site_sets import LARGEST, size_of, subsets
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.arrays.categorical import place_of, softmax_weights
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.kernel import BoundKernel, Kernel, Option, SubsetBlock
from compose_lang.runtime.kernels.common.structure import Match

OFTEN, MOST_ROUNDS = 2, 40
"""How often a site is drawn in a sweep, on average; and how many sets are, at most."""


@dataclass(frozen=True)
class Blocks:
    """A sweep over some sets of a block; it keeps no state."""

    block: SubsetBlock
    backend: Backend

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {"set": NoiseSpec("uniform", (self.rounds,)), "value": NoiseSpec("uniform", (self.rounds,))}

    @property
    def rounds(self) -> int:
        return min(-(-OFTEN * self.block.sites // self.block.size), MOST_ROUNDS)

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, xp, backend = self.block, self.backend.xp, self.backend

        def draw(i: Any, carry: tuple[Position, Array]) -> tuple[Position, Array]:
            position, moved = carry
            number = xp.astype(xp.floor(noise["set"][:, i] * block.number), backend.integer)
            chosen = xp.clip(number, 0, block.number - 1)
            position, changed = self.draw(position, chosen, noise["value"][:, i])
            return position, moved + xp.astype(changed, backend.real)

        start = (position, xp.zeros((position[block.name].shape[0],), dtype=backend.real))
        position, moved = backend.loop(0, self.rounds, draw, start)
        return position, state, {"moved": moved / self.rounds}

    def draw(self, position: Position, chosen: Array, uniform: Array) -> tuple[Position, Array]:
        """Draw a set of each chain (chains,) from its conditional, and whether it changed."""
        block, xp = self.block, self.backend.xp
        held = block.current(position, chosen)
        joint, fits = block.candidates(position, chosen)
        energies = block.energies(position, chosen, joint)
        weights = softmax_weights(xp.where(fits, energies, xp.inf), self.backend)
        place, is_possible = place_of(weights, uniform, self.backend)
        found = xp.where(is_possible, xp.take_along_axis(joint, place[:, None], axis=1)[:, 0], held)
        return block.assign(position, chosen, found), found != held


def bind(block: SubsetBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """Draws of the sets of a block."""
    return Blocks(block, backend)


def finds(graph: FactorGraph, v: Variable, options: Mapping[str, Any]) -> Match | str:
    """Sets of sites that can change together while constraints hold."""
    size = size_of(graph, v, options)
    sets = subsets(graph, v, size)
    if isinstance(sets, str):
        return f"`blocks` draws small sets of sites of `{v.name}` jointly, but {sets}"
    return Match(sets, sets.description, {"size": size})


KERNEL = Kernel(
    name="blocks",
    summary="draws small sets of sites jointly, each from its exact conditional over what constraints leave it",
    serves=frozenset({"finite"}),
    bind=bind,
    finds=finds,
    options={
        "size": Option(
            None,
            "the most sites of a set; by default as many as are cheap to list",
            "whole number",
            most=LARGEST,
        )
    },
    view="subsets",
)
