"""Kempe chains: two values turned round in all of a component, which keeps every constraint that sites differ.

A site and another value for it are drawn uniformly. Of the sites that have either value, those that hang together with
it by constraints that they differ all change to the other one: none of these constraints then fails that held before.
The component is the same seen from the new state, so the move back is as likely, and Metropolis' rule accepts by the
rest of the program. On a set whose values are all different and all used, this exchanges two sites.

Wang, Swendsen and Kotecký, Antiferromagnetic Potts models, Physical Review Letters 63, 1989, for colourings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.compiler.constraints.moves import differing
from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common.kernel import BoundKernel, ChainBlock, Kernel
from compose_lang.runtime.kernels.common.metropolis import acceptance
from compose_lang.runtime.kernels.common.structure import Match

MOST_PROPOSALS = 32
MOST_WORK = 2 * 10**7  #: neighbours looked at in a round of all proposals


@dataclass(frozen=True)
class Kempe:
    """Some proposals one after another; it keeps no state."""

    block: ChainBlock
    backend: Backend

    @property
    def proposals(self) -> int:
        sites, degree = self.block.neighbours.shape
        most = min(MOST_PROPOSALS, MOST_WORK // (sites * degree))
        return max(1, min(int(self.block.moving.shape[0]), most))

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {"move": NoiseSpec("uniform", (self.proposals, 3))}

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, xp, backend = self.block, self.backend.xp, self.backend

        def propose(i: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            places, energy, accepted = carry
            uniform = noise["move"][:, i]
            proposed, is_free = self.turned(places, uniform)
            new_energy = block.energy(position, proposed)
            accept_prob = xp.where(is_free, acceptance(energy, new_energy, backend), 0.0)
            accept = uniform[:, 2] < accept_prob
            places = xp.where(accept[:, None], proposed, places)
            return places, xp.where(accept, new_energy, energy), accepted + accept_prob

        places = block.places(position)
        start = (places, block.energy(position, places), xp.zeros((places.shape[0],), dtype=backend.real))
        places, _, accepted = backend.loop(0, self.proposals, propose, start)
        return block.assign(position, places), state, {"accept_prob": accepted / self.proposals}

    def turned(self, places: Array, uniform: Array) -> tuple[Array, Array]:
        """Numbers of values (chains, sites) with two turned round in a component, and whether all of it may change."""
        block, xp, integer = self.block, self.backend.xp, self.backend.integer
        moving, count = block.moving, block.count
        chosen = xp.astype(xp.floor(uniform[:, 0] * moving.shape[0]), integer)
        site = moving[chosen][:, None]
        here = xp.take_along_axis(places, site, axis=1)
        step = 1 + xp.astype(xp.floor(uniform[:, 1:2] * (count - 1)), integer)
        there = (here + step) % count
        member = (places == here) | (places == there)
        reached = xp.arange(places.shape[1], dtype=site.dtype)[None] == site

        def further(state: Tree) -> Tree:
            reached, _ = state
            # one site more stands for no neighbour
            room = xp.concat([reached, xp.zeros_like(reached[:, :1])], axis=1)
            grown = reached | (member & xp.any(room[:, block.neighbours], axis=-1))
            return grown, xp.any(grown != reached)

        reached, _ = self.backend.repeat(lambda s: s[1], further, (reached, xp.any(reached)))
        is_free = ~xp.any(reached & block.frozen, axis=1)
        return xp.where(reached, here + there - places, places), is_free


def bind(block: ChainBlock, backend: Backend, options: Mapping[str, Any], warmup: int) -> BoundKernel:
    """Kempe chains of a block's graph."""
    return Kempe(block, backend)


def finds(graph: FactorGraph, v: Variable, options: Mapping[str, Any]) -> Match | str:
    """The graph of the sites that must differ."""
    edges = differing(graph, v)
    if edges is None:
        return f"`kempe` turns values round among sites that must differ, and nothing says so of `{v.name}`"
    return Match(edges)


KERNEL = Kernel(
    name="kempe",
    summary="turns two values round in a component of sites that must differ",
    serves=frozenset({"finite"}),
    bind=bind,
    finds=finds,
    view="chains",
)
