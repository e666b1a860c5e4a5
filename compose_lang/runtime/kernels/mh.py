"""Metropolis–Hastings, by itself with symmetric proposals: random walks of continuous blocks, single discrete sites.

Continuous: u' = u + s L ξ for the whole block, with the scale s and the metric L learned in warm-up
towards the best acceptance, 0.44 in one dimension and 0.234 in many (Roberts, Gelman and Gilks 1997).

Finite: each site of a colour class proposes any of its values with equal probability. Its present value is
among them: if two sites were to change at every step, what they have in common never would.

Counts: each site proposes a jump of ±k with log-uniform k, so that one proposal in a few has the right scale
whatever it is; a jump out of bounds is a rejection, which keeps the proposal symmetric there.

Orderings: see `rearrangement`. A density that the program gives to propose from: see `proposing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_lang.runtime.arrays.noise import NoiseSpec
from compose_lang.runtime.arrays.protocol import Array, Backend, Position, Tree
from compose_lang.runtime.kernels.common import adaptation
from compose_lang.runtime.kernels.common.adaptation import Windows, first_step, schedule_of
from compose_lang.runtime.kernels.common.kernel import (
    BoundKernel,
    ContinuousBlock,
    DiscreteBlock,
    Kernel,
    Option,
    PermutationBlock,
    ProposalBlock,
)
from compose_lang.runtime.kernels.common.metric import push
from compose_lang.runtime.kernels.common.metropolis import acceptance, choose, sweep
from compose_lang.runtime.kernels.common.proposing import Proposing
from compose_lang.runtime.kernels.common.rearrangement import Rearrangement

TARGET_ONE, TARGET_MANY = 0.44, 0.234
LARGEST_JUMP = 1024


@dataclass(frozen=True)
class RandomWalk:
    """A random walk of a continuous block."""

    block: ContinuousBlock
    backend: Backend
    schedule: Windows
    scale: float

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        return {"normal": NoiseSpec("normal", (self.block.size,)), "accept": NoiseSpec("uniform", ())}

    def init(self, position: Position, keys: Array) -> Tree:
        u = self.block.ravel(position)
        return {
            "energy": self.block.energy(u, position),
            "adaptation": adaptation.begin(self.scale, u, self.schedule, self.backend, gradients=False),
        }

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, backend = self.block, self.backend
        u = block.ravel(position)
        energy = state["energy"] if block.alone else block.energy(u, position)
        learned = state["adaptation"]
        s = adaptation.step_size(learned, t, self.schedule, backend)
        proposed = u + s[:, None] * push(learned.metric, noise["normal"])
        new_energy = block.energy(proposed, position)
        accept_prob = acceptance(energy, new_energy, backend)
        accept = noise["accept"] < accept_prob
        u, energy = choose(accept, proposed, u, backend), choose(accept, new_energy, energy, backend)
        target = TARGET_ONE if block.size == 1 else TARGET_MANY
        learned = adaptation.adapt(learned, u, None, accept_prob, target, t, self.schedule, backend)
        statistics = {"accept_prob": accept_prob, "step_size": s, "energy": energy}
        return block.unravel(position, u), {"energy": energy, "adaptation": learned}, statistics


@dataclass(frozen=True)
class SingleSite:
    """A sweep over all classes of a discrete block; it keeps no state."""

    block: DiscreteBlock
    backend: Backend

    @property
    def noise(self) -> Mapping[str, NoiseSpec]:
        sites = NoiseSpec("uniform", (self.block.classes, self.block.width))
        return {"propose": sites, "accept": sites}

    def init(self, position: Position, keys: Array) -> Tree:
        return {}

    def step(
        self, position: Position, state: Tree, noise: Mapping[str, Array], t: Any
    ) -> tuple[Position, Tree, dict[str, Array]]:
        block, backend, xp = self.block, self.backend, self.backend.xp

        def update(cls: Any, position: Position) -> tuple[Array, Array]:
            current = block.current(position, cls)
            proposed = self.propose(current, noise["propose"][:, cls])
            energies = block.energies(position, cls, xp.stack([current, proposed], axis=-1))
            accept_prob = acceptance(energies[..., 0], energies[..., 1], backend)
            return xp.where(noise["accept"][:, cls] < accept_prob, proposed, current), accept_prob

        position, accept_prob = sweep(block, position, update, backend)
        return position, state, {"accept_prob": accept_prob}

    def propose(self, current: Array, uniform: Array) -> Array:
        """A value for each site, by one uniform; the present one where the jump leaves the bounds."""
        block, xp, integer = self.block, self.backend.xp, self.backend.integer
        if block.values is not None:
            first, count = block.values[0], len(block.values)  # they may be too many for an array
            step = block.values[1] - first if count > 1 else 0
            return first + step * xp.astype(xp.floor(uniform * count), integer)
        signed = 2.0 * uniform - 1.0
        jump = xp.astype(xp.floor(xp.exp(xp.abs(signed) * math.log(LARGEST_JUMP))), integer)
        proposed = current + xp.where(signed < 0.0, -jump, jump)
        return xp.where((proposed >= block.lower) & (proposed <= block.upper), proposed, current)


def bind(
    block: ContinuousBlock | DiscreteBlock | PermutationBlock | ProposalBlock,
    backend: Backend,
    options: Mapping[str, Any],
    warmup: int,
) -> BoundKernel:
    """Metropolis–Hastings over a block of any kind."""
    if isinstance(block, DiscreteBlock):
        return SingleSite(block, backend)
    if isinstance(block, ProposalBlock):
        return Proposing(block, backend)
    if isinstance(block, PermutationBlock):
        return Rearrangement(block, backend)
    scale = first_step(options, 2.38 * block.size**-0.5)
    return RandomWalk(block, backend, schedule_of(options, warmup), scale)


KERNEL = Kernel(
    name="mh",
    summary="proposes symmetric changes, or by a density of the program's, and accepts or rejects each",
    serves=frozenset({"continuous", "finite", "counts", "permutation"}),
    bind=bind,
    candidates=2,
    options={
        "step": Option(None, "scale of a continuous random walk; adapted where it is not given"),
        "proposal": Option(None, "a density that proposes; names in it read the present state", "proposal"),
    },
)
